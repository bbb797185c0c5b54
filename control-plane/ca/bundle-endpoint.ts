/** Shell: the SPIFFE bundle endpoint (SPIFFE Federation §5): our roots as a JWK set, for other trust domains. */
import type { CertificateAuthority } from "#certs/certificate-authority.ts";
import { createKeyPair, privateKeyToPem } from "#certs/keys.ts";
import { readTextFile } from "#certs/private-files.ts";
import { type Expiring, startRotation } from "#certs/rotation.ts";
import { istioSpiffeId } from "#certs/spiffe-id.ts";
import { bundleToJwks } from "#certs/trust-bundle.ts";
import type { Runtime } from "#lib/runtime.ts";
import { openHttpsPort, type ServingCertificate } from "../debug/https-port.ts";

export interface BundleEndpointOptions {
  readonly runtime: Runtime;
  readonly address: string;
  readonly port: number;
  readonly trustDomain: string;
  readonly authority: () => CertificateAuthority;
  /** PEM files of a certificate of the Web PKI (`https_web`); undefined: our own SVID (`https_spiffe`). */
  readonly web?: { readonly certificateFile: string; readonly keyFile: string } | undefined;
  readonly refreshHintSeconds: number;
}

export interface BundleEndpoint {
  readonly port: number;
  /** Roots or signer are others now. */
  authorityChanged(): void;
  close(): Promise<void>;
}

type Serving = ServingCertificate & Expiring;

/** How often files of a certificate are read again. */
const REREAD_MS = 60_000;

/** The SPIFFE ID of a control plane that shows its bundle. */
export function bundleEndpointId(trustDomain: string): string {
  return istioSpiffeId({ trustDomain, namespace: "istio-system", serviceAccount: "istiod" }).uri;
}

export async function openBundleEndpoint(options: BundleEndpointOptions): Promise<BundleEndpoint> {
  const { runtime, address, port: wanted, trustDomain, authority, web, refreshHintSeconds } = options;
  const { clock } = runtime;
  const log = runtime.log.child("ca");
  // Grows with every change, over restarts too.
  let sequence = Math.floor(clock.now() / 1000);

  async function renew(): Promise<Serving> {
    if (web !== undefined) {
      const [cert, key] = [readTextFile(web.certificateFile), readTextFile(web.keyFile)];
      return { cert, key, notAfterMs: clock.now() + 2 * REREAD_MS };
    }
    const { publicKey, privateKey } = await createKeyPair("ECDSA_P256");
    const publicKeyDer = publicKey.export({ type: "spki", format: "der" });
    const id = istioSpiffeId({ trustDomain, namespace: "istio-system", serviceAccount: "istiod" });
    const { chain, notAfterMs } = authority().signWorkload({ publicKey, publicKeyDer }, id);
    return { cert: chain.slice(0, -1).join(""), key: privateKeyToPem(privateKey), notAfterMs };
  }

  const port = await openHttpsPort({ address, port: wanted, flag: "--spiffe-bundle-port" }, await renew(), () =>
    JSON.stringify(bundleToJwks({ trustDomain, authorities: authority().roots, sequence, refreshHintSeconds })),
  );
  const rotation = startRotation({
    clock,
    random: runtime.random,
    renew,
    onRenewed: (serving) => {
      try {
        port.setCertificate(serving);
      } catch (error) {
        log.error(`the bundle endpoint keeps its certificate, the new one can't be used: ${String(error)}`);
      }
    },
    onFailure: ({ error }) => log.error(`the bundle endpoint's certificate can't be renewed: ${String(error)}`),
  });
  return {
    port: port.port,
    authorityChanged() {
      sequence = Math.max(sequence + 1, Math.floor(clock.now() / 1000));
      if (web === undefined) rotation.renewNow();
    },
    close() {
      rotation.close();
      return port.close();
    },
  };
}
