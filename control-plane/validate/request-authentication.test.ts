import { describe, expect, test } from "vitest";
import { formatProblem } from "#lib/problem.ts";
import { parseManifests } from "../config/parse-manifests.ts";
import { validateObject } from "./validate-object.ts";

function findings(spec: string): readonly string[] {
  const yaml = `{apiVersion: security.istio.io/v1, kind: RequestAuthentication, metadata: {name: x}, spec: ${spec}}`;
  const [object] = parseManifests(yaml, "x.yaml").objects;
  if (object === undefined) throw new Error("no object");
  return validateObject(object).map((problem) => `${problem.level} ${formatProblem(problem)}`);
}

const rule = (fields: string): string => `{ jwtRules: [{ issuer: a, ${fields} }] }`;

describe("RequestAuthentication", () => {
  test.each([
    "{}",
    "{ jwtRules: [{ jwksUri: 'https://a/keys' }] }",
    rule(`jwks: '{"keys":[{"kty":"RSA","n":"AAAA","e":"AQAB"}]}'`),
    rule(`jwks: '{"kty":"RSA","n":"AAAA","e":"AQAB"}'`),
    rule("fromHeaders: [{ name: x, prefix: 'Bearer ' }], fromParams: [a], fromCookies: [b], timeout: 2s"),
    rule("outputClaimToHeaders: [{ header: x-a_b, claim: a.b }], spaceDelimitedClaims: [a]"),
    "{ targetRefs: [{ group: gateway.networking.k8s.io, kind: Gateway, name: g }] }",
  ])("%s is right", (spec) => {
    expect(findings(spec)).toEqual([]);
  });

  test.each([
    ["{ jwtRules: [{ audiences: [a] }] }", "issuer"],
    [rule("audiences: ['']"), "audiences[0]"],
    [rule("jwksUri: 'ftp://a/keys'"), "jwksUri"],
    [rule("jwksUri: keys"), "jwksUri"],
    [rule("jwks: nonsense"), "jwks"],
    [rule(`jwks: '{"keys":[{"kty":"XX"}]}'`), "jwks"],
    [rule("fromHeaders: [{ name: '' }]"), "fromHeaders[0].name"],
    [rule("fromParams: ['']"), "fromParams[0]"],
    [rule("fromCookies: ['']"), "fromCookies[0]"],
    [rule("outputClaimToHeaders: [{ header: 'a b', claim: c }]"), "outputClaimToHeaders[0].header"],
    [rule("outputClaimToHeaders: [{ header: a, claim: '' }]"), "outputClaimToHeaders[0]"],
    [rule("timeout: soon"), "timeout"],
    ["{ selector: { matchLabels: { a: 'b*' } } }", "selector"],
    ["{ selector: { matchLabels: { a: b } }, targetRef: { kind: Gateway, name: g } }", "spec"],
  ])("%s is refused at %s", (spec, path) => {
    const errors = findings(spec).filter((line) => line.startsWith("error"));
    expect(errors.length).toBeGreaterThan(0);
    expect(errors.join()).toContain(path);
  });
});
