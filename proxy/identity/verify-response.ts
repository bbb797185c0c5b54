/** What the CA sent is believed only after this: the right key, the right form, a chain that holds. */
import { type Certificate, certificatesFromPem } from "#certs/certificate.ts";
import type { KeyPair } from "#certs/keys.ts";
import type { SpiffeId } from "#certs/spiffe-id.ts";
import { validateSvid } from "#certs/svid-validator.ts";
import { bundleToPem, distinct } from "#certs/trust-bundle.ts";
import { formatProblem, MeshError } from "#lib/problem.ts";
import type { CertificateResponse } from "./types.ts";

export interface VerifiedIdentity {
  readonly id: SpiffeId;
  readonly leaf: Certificate;
  /** What signed the leaf. */
  readonly signer: Certificate;
  /** The root of its chain. */
  readonly anchor: Certificate;
  /** PEM, leaf first, without the root: what a TLS peer is shown. */
  readonly certificateChain: string;
  /** PEM: the root of the chain and those of the CA's root file, each once. */
  readonly trustBundle: string;
}

/** Checks an answer of the CA to a CSR over these keys. Throws a `MeshError` `ca-answer-*`. */
export function verifyResponse(
  response: CertificateResponse,
  keys: KeyPair,
  trustDomain: string,
  nowMs: number,
): VerifiedIdentity {
  const { certChain, caRoots } = response;
  const rootText = certChain.at(-1);
  if (rootText === undefined || certChain.length < 2) {
    throw new MeshError(
      "ca-answer-incomplete",
      `The CA sent a chain of ${certChain.length}; a leaf and a root are the least. Its configuration lacks the root.`,
    );
  }
  const chain = certChain.slice(0, -1).flatMap((pem) => certificatesFromPem(pem, "certificate from the CA"));
  const roots = certificatesFromPem(rootText, "root from the CA");
  const [leaf] = chain;
  if (leaf === undefined || !leaf.publicKeyDer.equals(keys.publicKey.export({ type: "spki", format: "der" }))) {
    throw new MeshError(
      "ca-answer-other-key",
      "The CA certified another key than the one in the CSR; the answer is not used.",
    );
  }
  const bundle = { trustDomain, authorities: roots };
  const result = validateSvid(chain, (domain) => (domain === trustDomain ? bundle : undefined), nowMs);
  if (result.kind === "invalid") {
    const reasons = result.problems.map(formatProblem).join("; ");
    throw new MeshError(
      "ca-answer-invalid",
      `The CA's answer is no SVID of the trust domain "${trustDomain}": ${reasons}.`,
      result.problems,
    );
  }
  const authorities = distinct([...roots, ...certificatesFromPem(caRoots, "the CA's root file")]);
  return {
    id: result.id,
    leaf,
    signer: result.path[1] ?? leaf,
    anchor: result.path.at(-1) ?? leaf,
    certificateChain: certChain.slice(0, -1).join(""),
    trustBundle: bundleToPem({ authorities }),
  };
}
