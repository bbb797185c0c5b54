/** security.istio.io RequestAuthentication, as istiod checks it. */
import { type Fields, fieldsOf, listOf, stringOf } from "../model/read-fields.ts";
import type { Findings } from "./findings.ts";
import { expectDuration, expectSelector, expectTargetRefs } from "./shared-checks.ts";

export function validateRequestAuthentication(findings: Findings, spec: Fields): void {
  expectSelector(findings, "spec.selector", spec["selector"]);
  expectTargetRefs(findings, spec);
  for (const [index, rule] of listOf(spec["jwtRules"]).entries()) {
    if (rule !== null) checkRule(findings, `spec.jwtRules[${index}]`, fieldsOf(rule));
  }
}

function checkRule(findings: Findings, path: string, rule: Fields): void {
  const { jwks, jwksUri, outputClaimToHeaders, timeout } = rule;
  const [keysText, uri] = [stringOf(jwks) ?? "", stringOf(jwksUri) ?? ""];
  expectNames(findings, `${path}.audiences`, rule["audiences"]);
  if ((stringOf(rule["issuer"]) ?? "") === "" && uri === "") {
    findings.refuse(`${path}.issuer`, "is missing, and so is jwksUri; one of them says where keys come from.");
  }
  if (uri !== "") checkUri(findings, `${path}.jwksUri`, uri);
  if (keysText !== "") checkKeys(findings, `${path}.jwks`, keysText);
  for (const [index, location] of listOf(rule["fromHeaders"]).entries()) {
    if ((stringOf(fieldsOf(location)["name"]) ?? "") !== "") continue;
    findings.refuse(`${path}.fromHeaders[${index}].name`, "is empty; name the header.");
  }
  expectNames(findings, `${path}.fromParams`, rule["fromParams"]);
  expectNames(findings, `${path}.fromCookies`, rule["fromCookies"]);
  for (const [index, item] of listOf(outputClaimToHeaders).entries()) {
    checkClaimToHeader(findings, `${path}.outputClaimToHeaders[${index}]`, fieldsOf(item));
  }
  expectDuration(findings, `${path}.timeout`, timeout);
}

function expectNames(findings: Findings, path: string, values: unknown): void {
  for (const [index, value] of listOf(values).entries()) {
    if (value === "") findings.refuse(`${path}[${index}]`, "is empty; write a name, or remove it.");
  }
}

function checkUri(findings: Findings, path: string, uri: string): void {
  const url = URL.parse(uri);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    findings.refuse(path, `${JSON.stringify(uri)} must be a URI that begins with http:// or https://.`);
  }
}

const KEY_TYPES: ReadonlySet<unknown> = new Set(["RSA", "EC", "oct", "OKP"]);

/** A key set, or one key, in JSON. */
function checkKeys(findings: Findings, path: string, text: string): void {
  let set: unknown;
  try {
    set = JSON.parse(text);
  } catch {
    findings.refuse(path, "is no JSON; write a JSON Web Key Set (RFC 7517).");
    return;
  }
  const fields = fieldsOf(set);
  const isSet = Array.isArray(fields["keys"]);
  for (const key of isSet ? listOf(fields["keys"]) : [fields]) {
    const { kty, d } = fieldsOf(key);
    if (kty === "oct" || d !== undefined) {
      findings.warn(
        path,
        "a key holds its private part; only public keys are needed, and everybody can read this one.",
      );
    }
    if (KEY_TYPES.has(kty)) continue;
    findings.refuse(path, `a key has the type ${JSON.stringify(kty)}; kty is one of RSA, EC, oct and OKP.`);
    return;
  }
}

function checkClaimToHeader(findings: Findings, path: string, { header, claim }: Fields): void {
  const name = stringOf(header) ?? "";
  if (name === "" || (stringOf(claim) ?? "") === "") {
    findings.refuse(path, "needs both a header and a claim.");
  } else if (!/^[-A-Za-z0-9_]+$/.test(name)) {
    findings.refuse(`${path}.header`, `${JSON.stringify(name)} is no name of a header: letters, digits, - and _.`);
  }
}
