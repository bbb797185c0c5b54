import { describe, expect, test } from "vitest";
import { formatProblem } from "#lib/problem.ts";
import { parseManifests } from "../config/parse-manifests.ts";
import { validateObject } from "./validate-object.ts";

function findings(spec: string): readonly string[] {
  const text = `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: x }\nspec: ${spec}\n`;
  const { objects } = parseManifests(text, "f.yaml");
  return objects.flatMap(validateObject).map((problem) => `${problem.level} ${formatProblem(problem)}`);
}

const source = (fields: string): string => `{ rules: [{ from: [{ source: { ${fields} } }] }] }`;
const operation = (fields: string): string => `{ rules: [{ to: [{ operation: { ${fields} } }] }] }`;
const when = (fields: string): string => `{ rules: [{ when: [{ ${fields} }] }] }`;
const custom = (rule: string): string => `{ action: CUSTOM, provider: { name: p }, rules: [{ ${rule} }] }`;

describe("AuthorizationPolicy, as istiod checks it", () => {
  test.each([
    ["nothing: it denies all", "{}"],
    ["an empty rule", "{ rules: [{}] }"],
    ["an empty rule of DENY", "{ action: DENY, rules: [{}] }"],
    ["trust domains, which the model of the CRD does not know", source("trustDomains: [a], notTrustDomains: [b]")],
    ["service accounts", source("serviceAccounts: [a, b/c]")],
    ["addresses and prefixes", source('ipBlocks: [10.0.0.1, 10.0.0.0/8], notRemoteIpBlocks: ["2001:db8::/32"]')],
    ["templates", operation('paths: ["/a/{*}/b", "/{**}"]')],
    ["port 0", operation('ports: ["0"]')],
    ["a header", when('key: "request.headers[x]", values: [a]')],
    ["nested claims", when('key: "request.auth.claims[a][b]", notValues: [a]')],
  ])("%s is taken", (_, spec) => {
    expect(findings(spec)).toEqual([]);
  });

  test.each([
    ["65: DENY without rules", "{ action: DENY }", /spec\.rules: DENY without rules never takes effect/],
    ["75: CUSTOM without rules", "{ action: CUSTOM, provider: { name: p } }", /CUSTOM without rules/],
    ["75: CUSTOM without a provider", "{ action: CUSTOM, rules: [{}] }", /spec\.provider\.name/],
    ["a provider of another action", "{ provider: { name: p } }", /counts only with the action CUSTOM, found ALLOW/],
    [
      "75: principals with CUSTOM",
      custom("from: [{ source: { principals: [a] } }]"),
      /principals: is not supported with/,
    ],
    ["75: a principal with CUSTOM", custom("when: [{ key: source.principal, values: [a] }]"), /not supported with the/],
    ["75: claims with CUSTOM", custom('when: [{ key: "request.auth.claims[a]", values: [a] }]'), /not supported with/],
    ["an empty from", "{ rules: [{ from: [] }] }", /spec\.rules\[0\]\.from: is empty/],
    ["an empty to", "{ rules: [{ to: [] }] }", /spec\.rules\[0\]\.to: is empty/],
    ["no source", "{ rules: [{ from: [{}] }] }", /from\[0\]\.source: source is missing/],
    ["an empty source", source(""), /from\[0\]\.source: is empty; write one of principals/],
    ["an empty operation", operation(""), /to\[0\]\.operation: is empty/],
    ["70: accounts beside namespaces", source("serviceAccounts: [a], namespaces: [b]"), /write only one of them/],
    ["70: an account with a star", source('serviceAccounts: ["a*"]'), /no wildcards/],
    ["70: an account of three parts", source("serviceAccounts: [a/b/c]"), /must be `name` or `namespace\/name`/],
    ["an empty principal", source('principals: [""]'), /principals\[0\]: an empty value matches nothing/],
    ["trust domains that are no list", source("trustDomains: a"), /trustDomains: must be a list/],
    ["an address that is none", source("ipBlocks: [10.0.0]"), /ipBlocks\[0\]: "10\.0\.0" is no IP address/],
    ["a prefix that is too long", source("notIpBlocks: [10.0.0.0/33]"), /notIpBlocks\[0\]/],
    ["a port that is none", operation('ports: ["http"]'), /ports\[0\]: "http" is no port/],
    ["a port that is too high", operation('notPorts: ["65536"]'), /notPorts\[0\]: "65536" is no port/],
    ["71: a template inside a segment", operation('paths: ["/a{*}"]'), /each a whole segment/],
    ["71: something after {**}", operation('notPaths: ["/{**}/{*}"]'), /may follow \{\*\*\}/],
    ["71: a star beside a template", operation('paths: ["/{*}/a*"]'), /characters that a path has not/],
    ["a condition without values", when("key: source.ip"), /source\.ip needs values or notValues/],
    ["an unknown attribute", when("key: source.colour, values: [a]"), /no attribute that a condition may ask for/],
    ["a header without a name", when("key: request.headers, values: [a]"), /must name what is meant/],
    ["an address in a condition", when("key: remote.ip, values: [a]"), /"a" is no IP address/],
    ["a port in a condition", when("key: destination.port, notValues: [a]"), /"a" is no port/],
    [
      "a selector beside a target",
      "{ selector: { matchLabels: { a: b } }, targetRefs: [{ kind: Gateway, name: g, group: g }] }",
      /set only one of/,
    ],
    ["a misspelt field", source("principal: [a]"), /unknown field principal; did you mean principals/],
  ])("%s is refused", (_, spec, expected) => {
    const said = findings(spec);
    expect(said.join("\n")).toMatch(expected);
    expect(said.some((line) => line.startsWith("error"))).toBe(true);
  });

  test("67: a DENY rule that asks only for HTTP closes TCP ports, and is told so", () => {
    const deny = (rule: string): string => findings(`{ action: DENY, rules: [${rule}] }`).join();
    expect(deny("{ to: [{ operation: { paths: [/a] } }] }")).toMatch(/^warning .*on TCP ports this DENY rule refuses/);
    expect(deny('{ from: [{ source: { requestPrincipals: ["*"] } }] }')).toMatch(/on TCP ports/);
    expect(deny('{ to: [{ operation: { paths: [/a], ports: ["80"] } }] }')).toBe("");
    expect(deny("{ from: [{ source: { namespaces: [a] } }] }")).toBe("");
  });
});
