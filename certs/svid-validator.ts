/** Every MUST of the X.509-SVID standard, as rows 1 to 11 of its checks; the bundle is trust-bundle.ts. */
import type { Problem } from "#lib/problem.ts";
import type { Certificate } from "./certificate.ts";
import { CLIENT_AUTH, SERVER_AUTH } from "./extensions.ts";
import { describe, validatePath } from "./path-validation.ts";
import { parseSpiffeId, type SpiffeId, spiffeIdProblem } from "./spiffe-id.ts";
import type { TrustBundle } from "./trust-bundle.ts";

export type SvidResult =
  | { readonly kind: "valid"; readonly id: SpiffeId; readonly path: readonly Certificate[] }
  | { readonly kind: "invalid"; readonly problems: readonly Problem[] };

/**
 * Decides who a peer is: `chain` is what it presented, leaf first; `bundles` are the trust bundles by trust domain.
 * The leaf is checked against the bundle of its own trust domain and no other.
 */
export function validateSvid(
  chain: readonly Certificate[],
  bundles: (trustDomain: string) => TrustBundle | undefined,
  nowMs: number,
): SvidResult {
  const [leaf, ...intermediates] = chain;
  if (leaf === undefined) return invalid("svid-missing", "no certificate was presented");
  const problems = [...leafProblems(leaf), ...intermediates.flatMap(signerProblems)];
  if (problems.length > 0) return { kind: "invalid", problems };
  const id = parseSpiffeId(leaf.subjectAltName?.uris[0] ?? "");
  const bundle = bundles(id.trustDomain);
  if (bundle === undefined) {
    return invalid(
      "svid-trust-domain",
      `there is no trust bundle for the trust domain "${id.trustDomain}" of ${id.uri}`,
    );
  }
  const result = validatePath(leaf, intermediates, bundle.authorities, nowMs);
  if (result.kind === "invalid") return invalid("svid-path", result.reason);
  const anchor = result.path.at(-1);
  const anchorProblems = anchor === undefined || anchor === leaf ? [] : signerProblems(anchor);
  return anchorProblems.length > 0
    ? { kind: "invalid", problems: anchorProblems }
    : { kind: "valid", id, path: result.path };
}

/** What keeps a certificate from being a leaf SVID (rows 1 to 4, 5 to 7, 9). */
export function leafProblems(leaf: Certificate): readonly Problem[] {
  const problems: Problem[] = [];
  const add = (code: string, message: string): void => void problems.push(problemOf(code, leaf, message));
  const uris = leaf.subjectAltName?.uris ?? [];
  const [uri] = uris;
  if (uri === undefined) add("svid-uri-san", "it has no URI name; an SVID has exactly one, its SPIFFE ID");
  else if (uris.length > 1)
    add("svid-uri-san", `it has ${uris.length} URI names (${uris.join(", ")}); an SVID has exactly one`);
  else {
    const problem = spiffeIdProblem(uri);
    if (problem !== undefined) add("svid-spiffe-id", `its URI ${JSON.stringify(uri)} is no SPIFFE ID: ${problem}`);
    else if (parseSpiffeId(uri).path === "")
      add("svid-path-missing", `its SPIFFE ID ${uri} names a trust domain and no workload`);
  }
  const names = leaf.extensions.find((extension) => extension.oid === "2.5.29.17");
  if (leaf.subjectText === "" && names?.critical === false) {
    add("svid-san-not-critical", "its subject is empty, so its alternative names must be critical");
  }
  if (leaf.basicConstraints?.ca === true)
    add("svid-leaf-is-ca", "it is a CA certificate and must not authenticate a workload");
  keyUsageProblems(leaf, add);
  if (leaf.keyUsage !== undefined) {
    if (!leaf.keyUsage.has("digitalSignature"))
      add("svid-key-usage", "a leaf must have the key usage digitalSignature");
    for (const forbidden of ["keyCertSign", "cRLSign"] as const) {
      if (leaf.keyUsage.has(forbidden)) add("svid-key-usage", `a leaf must not have the key usage ${forbidden}`);
    }
  }
  const purposes = leaf.extendedKeyUsage;
  if (purposes !== undefined && !(purposes.includes(SERVER_AUTH) && purposes.includes(CLIENT_AUTH))) {
    add("svid-extended-key-usage", "its extended key usage must name both serverAuth and clientAuth");
  }
  return problems;
}

/** What keeps a certificate from signing SVIDs (rows 5, 6, 8, 10). */
export function signerProblems(signer: Certificate): readonly Problem[] {
  const problems: Problem[] = [];
  const add = (code: string, message: string): void => void problems.push(problemOf(code, signer, message));
  if (signer.basicConstraints?.ca !== true) add("svid-signer-not-ca", "it signs but is no CA");
  keyUsageProblems(signer, add);
  if (signer.keyUsage !== undefined && !signer.keyUsage.has("keyCertSign")) {
    add("svid-signer-key-usage", "a signer must have the key usage keyCertSign");
  }
  const spiffeUris = (signer.subjectAltName?.uris ?? []).filter((uri) => /^spiffe:/i.test(uri));
  if (spiffeUris.length > 1) add("svid-uri-san", `it has ${spiffeUris.length} SPIFFE IDs`);
  for (const uri of spiffeUris) {
    const problem = spiffeIdProblem(uri);
    if (problem !== undefined) add("svid-spiffe-id", `its URI ${JSON.stringify(uri)} is no SPIFFE ID: ${problem}`);
    else if (parseSpiffeId(uri).path !== "")
      add("svid-signer-path", `a signer's SPIFFE ID must not have a path, this is ${uri}`);
  }
  return problems;
}

function keyUsageProblems(certificate: Certificate, add: (code: string, message: string) => void): void {
  const usage = certificate.extensions.find((extension) => extension.oid === "2.5.29.15");
  if (usage === undefined) add("svid-key-usage-missing", "it has no key usage extension");
  else if (!usage.critical) add("svid-key-usage-missing", "its key usage extension is not critical");
}

function problemOf(code: string, certificate: Certificate, message: string): Problem {
  return { code, level: "error", path: "", object: describe(certificate), message };
}

function invalid(code: string, message: string): SvidResult {
  return { kind: "invalid", problems: [{ code, level: "error", path: "", message }] };
}
