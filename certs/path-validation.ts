/** Certification path building and validation (RFC 5280 §6), for chains as meshes have them. What it does not know it refuses. */
import { type Certificate, isIssuedBy } from "./certificate.ts";
import { ExtensionOid } from "./extensions.ts";
import { nameConstraintProblem } from "./name-constraints.ts";

/** The path from the leaf to the trust anchor, or why there is none. */
export type PathResult =
  | { readonly kind: "valid"; readonly path: readonly Certificate[] }
  | { readonly kind: "invalid"; readonly reason: string };

const UNDERSTOOD: ReadonlySet<string> = new Set(Object.values(ExtensionOid));
const MAX_PATH = 8;

/**
 * Finds a path from `leaf` over `intermediates` (in any order) to one of `anchors` that is valid at `nowMs`:
 * signatures, names, validity, CA and path length, key usage, name constraints, critical extensions.
 */
export function validatePath(
  leaf: Certificate,
  intermediates: readonly Certificate[],
  anchors: readonly Certificate[],
  nowMs: number,
): PathResult {
  let reason: string | undefined;
  // A peer chooses the chain: certificates that all could have signed each other must not cost more than this.
  let checksLeft = 64;
  const search = (path: readonly Certificate[]): readonly Certificate[] | undefined => {
    const last = path.at(-1);
    if (last === undefined) return undefined;
    const isAnchor = anchors.some((anchor) => anchor.der.equals(last.der));
    const problem = pathProblem(path, nowMs);
    if (problem !== undefined) {
      reason = problem;
      return undefined;
    }
    if (isAnchor) return path;
    if (path.length >= MAX_PATH) {
      reason ??= `the chain is longer than ${MAX_PATH} certificates`;
      return undefined;
    }
    const isCandidate = (issuer: Certificate): boolean =>
      !path.includes(issuer) && last.issuer.equals(issuer.subject) && checksLeft-- > 0 && isIssuedBy(last, issuer);
    for (const issuer of [...anchors.filter(isCandidate), ...intermediates.filter(isCandidate)]) {
      const found = search([...path, issuer]);
      if (found !== undefined) return found;
    }
    reason ??= `${describe(last)} is not signed by a certificate of the chain or the trust bundle (issuer "${last.issuerText}")`;
    return undefined;
  };
  const path = search([leaf]);
  return path === undefined ? { kind: "invalid", reason: reason ?? "there is no path" } : { kind: "valid", path };
}

/** Problems of the newest certificate at the end of the path, seen from everything below it. */
function pathProblem(path: readonly Certificate[], nowMs: number): string | undefined {
  const signer = path.at(-1);
  if (signer === undefined) return undefined;
  const own = ownProblem(signer, nowMs);
  if (own !== undefined || path.length === 1) return own;
  if (signer.basicConstraints?.ca !== true) return `${describe(signer)} signs certificates but is no CA`;
  if (signer.keyUsage !== undefined && !signer.keyUsage.has("keyCertSign")) {
    return `${describe(signer)} signs certificates without the key usage keyCertSign`;
  }
  const { pathLength } = signer.basicConstraints;
  // Self-issued certificates between signer and leaf do not count (RFC 5280 §4.2.1.9).
  const between = path.slice(1, -1).filter((certificate) => !certificate.issuer.equals(certificate.subject)).length;
  if (pathLength !== undefined && between > pathLength) {
    return `${describe(signer)} allows ${pathLength} intermediate certificates below it, there are ${between}`;
  }
  const constraints = signer.extensions.find((extension) => extension.oid === ExtensionOid.nameConstraints);
  if (constraints === undefined) return undefined;
  for (const below of path.slice(0, -1)) {
    const problem = nameConstraintProblem(constraints.value, below);
    if (problem !== undefined) return `${describe(below)}: ${problem}, by the name constraints of ${describe(signer)}`;
  }
  return undefined;
}

function ownProblem(certificate: Certificate, nowMs: number): string | undefined {
  if (nowMs < certificate.notBeforeMs) {
    return `${describe(certificate)} is not valid before ${new Date(certificate.notBeforeMs).toISOString()}`;
  }
  if (nowMs > certificate.notAfterMs) {
    return `${describe(certificate)} expired at ${new Date(certificate.notAfterMs).toISOString()}`;
  }
  const unknown = certificate.extensions.find((extension) => extension.critical && !UNDERSTOOD.has(extension.oid));
  return unknown === undefined
    ? undefined
    : `${describe(certificate)} has the critical extension ${unknown.oid}, which is not understood`;
}

/** The certificate by the name that says most: URI SAN, DNS SAN, subject, serial number. */
export function describe(certificate: Certificate): string {
  const { subjectAltName, subjectText, serialNumber } = certificate;
  const name = subjectAltName?.uris[0] ?? subjectAltName?.dnsNames[0] ?? (subjectText === "" ? undefined : subjectText);
  return name === undefined ? `certificate ${serialNumber}` : `certificate "${name}"`;
}
