/** Trust by trust domain: a SPIFFE ID counts only when a root of its own domain stands behind it (`envoy.tls.cert_validator.spiffe`). */
import { type Certificate, certificatesFromPem } from "#certs/certificate.ts";
import { validatePath } from "#certs/path-validation.ts";
import { parseSpiffeId, spiffeIdProblem } from "#certs/spiffe-id.ts";

/** PEM of the roots by trust domain, without `spiffe://`. */
export type TrustDomains = ReadonlyMap<string, string>;

export class TrustDomainValidator {
  readonly #roots: ReadonlyMap<string, readonly Certificate[]>;

  /** Throws when a bundle is no PEM; an empty one trusts nobody. */
  constructor(bundles: TrustDomains) {
    this.#roots = new Map(
      [...bundles].map(([name, pem]) => [name, pem.trim() === "" ? [] : certificatesFromPem(pem, `roots of ${name}`)]),
    );
  }

  /** Why a peer's chain does not prove the SPIFFE ID in it; undefined: it does. `chain` is leaf first. */
  failure(chain: readonly Certificate[], nowMs: number): string | undefined {
    const [leaf, ...others] = chain;
    const uris = leaf?.subjectAltName?.uris ?? [];
    const [uri] = uris;
    if (leaf === undefined || uri === undefined || uris.length > 1 || spiffeIdProblem(uri) !== undefined) {
      return "peer certificate does not contain a SPIFFE ID";
    }
    const { trustDomain } = parseSpiffeId(uri);
    const roots = this.#roots.get(trustDomain);
    if (roots === undefined) return `no trust bundle found for trust domain ${trustDomain}`;
    // Whatever else the peer sent along, only roots of this domain end the path.
    return validatePath(leaf, others, roots, nowMs).kind === "valid"
      ? undefined
      : `not signed by a root of trust domain ${trustDomain}`;
  }
}
