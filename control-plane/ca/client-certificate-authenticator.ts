/** Authenticates by the client certificate of mutual TLS, as a proxy does that renews. */
import { parseCertificate } from "#certs/certificate.ts";
import { parseSpiffeId } from "#certs/spiffe-id.ts";
import { isRevoked, revocationListsFromPem } from "#certs/revocation-list.ts";
import { leafProblems } from "#certs/svid-validator.ts";
import { MeshError } from "#lib/problem.ts";
import type { Clock } from "#lib/runtime.ts";
import type { AuthenticationResult, Authenticator, Credentials } from "./authenticator.ts";

export interface ClientCertificateOptions {
  readonly clock: Clock;
  /** Identities of other trust domains are refused: this CA cannot speak for them. */
  readonly trustDomain: string;
  /** PEM of the revocation lists in force; asked at every call. */
  readonly crl?: (() => string | undefined) | undefined;
}

/** Accepts SVIDs of one trust domain. The chain has been verified by TLS; that the SVID may authenticate is checked here. */
export function clientCertificateAuthenticator({ clock, trustDomain, crl }: ClientCertificateOptions): Authenticator {
  return {
    name: "client certificate",
    authenticate: ({ clientCertificate }: Credentials) => Promise.resolve(decide(clientCertificate)),
  };

  function decide(der: Uint8Array | undefined): AuthenticationResult {
    if (der === undefined) return { kind: "absent" };
    try {
      const certificate = parseCertificate(der, "client certificate");
      const [problem] = leafProblems(certificate);
      if (problem !== undefined) return { kind: "refused", reason: problem.message };
      // A connection may outlive the certificate that it was made with.
      if (clock.now() > certificate.notAfterMs) {
        const end = new Date(certificate.notAfterMs).toISOString();
        return { kind: "refused", reason: `it expired at ${end}. Connect anew, with a token` };
      }
      const lists = crl?.();
      if (lists !== undefined && isRevoked(certificate, revocationListsFromPem(lists, "revocation lists"))) {
        return { kind: "refused", reason: `its serial number ${certificate.serialNumber} is revoked` };
      }
      const identity = parseSpiffeId(certificate.subjectAltName?.uris[0] ?? "");
      if (identity.trustDomain !== trustDomain) {
        return { kind: "refused", reason: `${identity.uri} is not of the trust domain "${trustDomain}"` };
      }
      return { kind: "authenticated", identity, by: "client certificate" };
    } catch (error) {
      if (error instanceof MeshError) return { kind: "refused", reason: error.message };
      throw error;
    }
  }
}
