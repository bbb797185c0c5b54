/** Who is who in a local mesh: the CA's root that everybody trusts, and a token for each workload to prove itself with. */
import { join } from "node:path";
import { nodeRuntime } from "#lib/node-runtime.ts";
import { openPluggedInAuthority, openSelfSignedRoot } from "#certs/ca-files.ts";
import { openTokenIssuer } from "#control-plane/ca/token-issuer.ts";

export interface Identities {
  /** PEM of the root that signs the control plane's and everybody's certificates. */
  readonly rootCertificateFile: string;
  /** A service account token as Kubernetes would project it; valid for a day. */
  mintToken(namespace: string, serviceAccount: string): Promise<string>;
}

/**
 * Opens (and at first makes) the root and the token key in the control plane's state directory, so that sidecars may
 * start before the control plane does. With a plugged-in CA its `root-cert.pem` is the root.
 * Throws a `MeshError` that names the file when either can't be used.
 */
export async function createIdentities(
  stateDirectory: string,
  options: { readonly trustDomain: string; readonly cacerts: string | undefined },
): Promise<Identities> {
  const { clock } = nodeRuntime({ logLevel: "warning" });
  if (options.cacerts === undefined) await openSelfSignedRoot(stateDirectory, options.trustDomain, clock.now());
  else openPluggedInAuthority(options.cacerts, clock.now());
  const issuer = await openTokenIssuer(stateDirectory, clock);
  return {
    rootCertificateFile:
      options.cacerts === undefined ? join(stateDirectory, "ca-cert.pem") : join(options.cacerts, "root-cert.pem"),
    mintToken: (namespace, serviceAccount) => issuer.mintToken({ namespace, serviceAccount }),
  };
}
