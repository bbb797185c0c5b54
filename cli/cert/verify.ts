/** `glassmesh cert verify`: every rule of SVID validation for one chain, and which of them does not hold. */
import type { Certificate } from "#certs/certificate.ts";
import { validatePath } from "#certs/path-validation.ts";
import { parseSpiffeId, spiffeIdProblem } from "#certs/spiffe-id.ts";
import { leafProblems, signerProblems } from "#certs/svid-validator.ts";
import type { TrustBundle } from "#certs/trust-bundle.ts";
import { MeshError } from "#lib/problem.ts";
import { readArguments, textOption } from "../arguments.ts";
import { bundleOf, certificatesOf } from "./read-certificates.ts";
import type { CertAction } from "./types.ts";

/** The rules in the order in which they are told, by the codes of what breaks them. */
const RULES: readonly { readonly text: string; readonly codes: readonly string[] }[] = [
  { text: "one URI name, its SPIFFE ID", codes: ["svid-uri-san"] },
  { text: "the SPIFFE ID is well formed", codes: ["svid-spiffe-id"] },
  { text: "the SPIFFE ID names a workload", codes: ["svid-path-missing"] },
  { text: "alternative names are critical where the subject is empty", codes: ["svid-san-not-critical"] },
  { text: "the leaf is no CA", codes: ["svid-leaf-is-ca"] },
  { text: "key usage is there and critical", codes: ["svid-key-usage-missing"] },
  { text: "the leaf signs data, and no certificates", codes: ["svid-key-usage"] },
  { text: "extended key usage, if any, is for servers and clients", codes: ["svid-extended-key-usage"] },
  { text: "signers are CAs that may sign certificates", codes: ["svid-signer-not-ca", "svid-signer-key-usage"] },
  { text: "signers' SPIFFE IDs have no path", codes: ["svid-signer-path"] },
  { text: "the trust domain is the expected one", codes: ["svid-trust-domain"] },
  { text: "the chain leads to a root, valid now, within every constraint", codes: ["svid-path"] },
];

export interface Verdict {
  readonly rule: string;
  /** Undefined: it holds. */
  readonly failure: string | undefined;
}

/** Pure: what each rule says of a chain, leaf first. */
export function verdictsOf(chain: readonly Certificate[], bundle: TrustBundle, nowMs: number): readonly Verdict[] {
  const [leaf, ...intermediates] = chain;
  if (leaf === undefined) return [];
  const path = validatePath(leaf, intermediates, bundle.authorities, nowMs);
  const anchor = path.kind === "valid" ? path.path.at(-1) : undefined;
  const signers = anchor === undefined || anchor === leaf ? intermediates : [...intermediates, anchor];
  const problems: { readonly code: string; readonly message: string }[] = [
    ...leafProblems(leaf),
    ...[...new Set(signers)].flatMap(signerProblems),
  ];
  const uri = leaf.subjectAltName?.uris[0] ?? "";
  const trustDomain = spiffeIdProblem(uri) === undefined ? parseSpiffeId(uri).trustDomain : undefined;
  if (trustDomain !== bundle.trustDomain) {
    const found = trustDomain === undefined ? "there is none" : `it is "${trustDomain}"`;
    problems.push({ code: "svid-trust-domain", message: `${found}, the roots are those of "${bundle.trustDomain}"` });
  }
  if (path.kind === "invalid") problems.push({ code: "svid-path", message: path.reason });
  return RULES.map(({ text, codes }) => ({
    rule: text,
    failure:
      problems
        .filter(({ code }) => codes.includes(code))
        .map(({ message }) => message)
        .join("; ") || undefined,
  }));
}

export const verifyCommand: CertAction = async (args, io) => {
  const read = readArguments("cert", args, { roots: { type: "string" }, "trust-domain": { type: "string" } });
  const [file, ...more] = read.positionals;
  const rootsFile = textOption(read, "roots");
  if (file === undefined || more.length > 0 || rootsFile === undefined) {
    throw new MeshError("usage", "cert verify takes FILE --roots FILE; see `glassmesh cert --help`");
  }
  const chain = certificatesOf(file, io);
  const uri = chain[0]?.subjectAltName?.uris[0] ?? "";
  const own = spiffeIdProblem(uri) === undefined ? parseSpiffeId(uri).trustDomain : "";
  const bundle = bundleOf(textOption(read, "trust-domain") ?? own, rootsFile, io);
  const verdicts = verdictsOf(chain, bundle, Date.now());
  const failed = verdicts.filter(({ failure }) => failure !== undefined);
  for (const { rule, failure } of verdicts)
    io.out(failure === undefined ? `ok    ${rule}\n` : `FAIL  ${rule}: ${failure}\n`);
  io.out(
    failed.length === 0
      ? `${uri} is a valid SVID\n`
      : `no valid SVID: ${failed.length} of ${verdicts.length} rules do not hold\n`,
  );
  return await Promise.resolve(failed.length === 0 ? 0 : 1);
};
