/** The control plane's certificate authority and who may ask it: from files that are kept between starts. */
import { join } from "node:path";
import { openPluggedInAuthority, openSelfSignedRoot } from "#certs/ca-files.ts";
import { createCertificateAuthority, type CertificateAuthority } from "#certs/certificate-authority.ts";
import type { Problem } from "#lib/problem.ts";
import type { Runtime } from "#lib/runtime.ts";
import type { Authenticator } from "./ca/authenticator.ts";
import { clientCertificateAuthenticator } from "./ca/client-certificate-authenticator.ts";
import { tokenAuthenticator } from "./ca/token-authenticator.ts";
import { CA_AUDIENCE, keysFromFile, openTokenIssuer } from "./ca/token-issuer.ts";

export interface AuthorityFiles {
  /** Root and token key; made when they are not there. */
  readonly stateDirectory: string;
  /** A plugged-in CA in Istio's layout, in place of the self-signed root. */
  readonly caCertsDirectory?: string | undefined;
  readonly trustDomain: string;
  readonly workloadCertTtlMs?: number | undefined;
}

export interface OpenedAuthority {
  readonly authority: CertificateAuthority;
  readonly authenticators: readonly Authenticator[];
  readonly problems: readonly Problem[];
}

/** Throws a MeshError that names the file that can't be used. */
export async function openAuthority(runtime: Runtime, files: AuthorityFiles): Promise<OpenedAuthority> {
  const { clock } = runtime;
  const { stateDirectory, caCertsDirectory, trustDomain, workloadCertTtlMs } = files;
  const { material, problems } =
    caCertsDirectory === undefined
      ? await openSelfSignedRoot(stateDirectory, trustDomain, clock.now())
      : openPluggedInAuthority(caCertsDirectory, clock.now());
  const authority = createCertificateAuthority({ material, clock, defaultTtlMs: workloadCertTtlMs });
  const { issuer } = await openTokenIssuer(stateDirectory, clock);
  const keys = keysFromFile(join(stateDirectory, "token-jwks.json"));
  return {
    authority,
    problems,
    authenticators: [
      clientCertificateAuthenticator({ clock, trustDomain }),
      tokenAuthenticator({ clock, trustDomain, issuers: [{ issuer, keys }], audiences: [CA_AUDIENCE] }),
    ],
  };
}
