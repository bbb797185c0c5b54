/** Makes and verifies what a certificate authority signs with. */
import { createPublicKey, type KeyObject } from "node:crypto";
import { MeshError } from "#lib/problem.ts";
import { BACKDATE_MS, type SigningMaterial } from "./certificate-authority.ts";
import { type Certificate, isSelfSigned } from "./certificate.ts";
import { issueRoot } from "./issue-certificate.ts";
import { describe, validatePath } from "./path-validation.ts";
import { parseSpiffeId } from "./spiffe-id.ts";
import { signerProblems } from "./svid-validator.ts";
import { distinct } from "./trust-bundle.ts";

const ROOT_TTL_MS = 3650 * 24 * 3_600_000;

/** A self-signed root for a trust domain over this key; ten years, as Istio's. Throws `spiffe-id-invalid`. */
export function selfSignedRoot(key: KeyObject, trustDomain: string, nowMs: number): Certificate {
  return issueRoot(key, {
    organization: trustDomain,
    commonName: "Glassmesh root",
    uri: parseSpiffeId(`spiffe://${trustDomain}`).uri,
    validity: { notBeforeMs: nowMs - BACKDATE_MS, notAfterMs: nowMs + ROOT_TTL_MS },
  });
}

/** Where each part came from, for messages. */
export interface MaterialNames {
  readonly certificate: string;
  readonly key: string;
  readonly roots: string;
  readonly chain: string;
}

export interface RawMaterial {
  readonly certificate: Certificate;
  readonly key: KeyObject;
  /** Any certificates between signer and root, in any order; the signer and roots may be among them. */
  readonly chain: readonly Certificate[];
  readonly roots: readonly Certificate[];
}

/** Verifies that key, signer, chain and roots belong together now. Throws `ca-key-mismatch`, `ca-certificate-unfit`, `ca-chain-invalid`. */
export function verifiedMaterial(raw: RawMaterial, names: MaterialNames, nowMs: number): SigningMaterial {
  const { certificate, key, chain, roots } = raw;
  const ownKey = createPublicKey(key).export({ type: "spki", format: "der" });
  if (!ownKey.equals(certificate.publicKeyDer)) {
    throw new MeshError(
      "ca-key-mismatch",
      `${names.key} is not the private key of the certificate in ${names.certificate}. Put the two that were made together there.`,
    );
  }
  const [unfit] = signerProblems(certificate);
  if (unfit !== undefined) {
    throw new MeshError(
      "ca-certificate-unfit",
      `${names.certificate}: ${describe(certificate)} cannot sign workload certificates: ${unfit.message}.`,
    );
  }
  const result = validatePath(certificate, chain, roots, nowMs);
  if (result.kind === "invalid") {
    throw new MeshError(
      "ca-chain-invalid",
      `${names.certificate} does not chain to ${names.roots} over ${names.chain}: ${result.reason}. ${remedy(result.reason, names)}`,
    );
  }
  const root = result.path.at(-1) ?? certificate;
  const intermediates = result.path.filter((link) => link !== root && !isSelfSigned(link));
  return { certificate, key, intermediates, roots: distinct([root, ...roots]) };
}

function remedy(reason: string, names: MaterialNames): string {
  if (/expired/.test(reason)) return "Replace the expired certificate.";
  if (/not valid before/.test(reason)) return "Check the clock of this machine.";
  return `Put every certificate between the two into ${names.chain}, and the root itself into ${names.roots}.`;
}
