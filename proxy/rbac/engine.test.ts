import { describe, expect, test } from "vitest";
import type { Connection, PeerCertificate, SocketAddress } from "#lib/connection.ts";
import type { RBAC } from "#protos/gen/envoy/config/rbac/v3/rbac_pb.js";
import { messageFromJson } from "#protos/json.ts";
import { MessageReader } from "#protos/reader.ts";
import type { Problem } from "#lib/problem.ts";
import { HeaderMap } from "../http/header-map.ts";
import { StreamInfo } from "../stream-info.ts";
import { parseRbacRules } from "./engine.ts";

type Json = Readonly<Record<string, unknown>>;

const ANY = [{ any: true }];

function read(rules: Json): { rules: ReturnType<typeof parseRbacRules>; problems: readonly Problem[] } {
  const { value, problems } = messageFromJson("envoy.config.rbac.v3.RBAC", rules);
  if (value === undefined) throw new Error(JSON.stringify(problems));
  const found: Problem[] = [];
  return { rules: parseRbacRules(new MessageReader(value as RBAC, "rules", found)), problems: found };
}

interface Ask {
  readonly headers?: Readonly<Record<string, string>>;
  readonly peer?: Partial<PeerCertificate>;
  readonly tls?: boolean;
  readonly remote?: string;
  readonly forwardedFor?: string;
  readonly local?: { readonly address: string; readonly port: number };
  readonly sni?: string;
  readonly metadata?: Json;
  readonly filterState?: Json;
}

function infoOf({ peer, tls, remote, forwardedFor, local, sni, metadata, filterState }: Ask): StreamInfo {
  const ip = (address: string, port: number): SocketAddress => ({ kind: "ip", address, port });
  const certificate = { verified: true, uriSans: [], dnsSans: [], subject: "", ...peer };
  const info = new StreamInfo();
  info.connection = {
    remoteAddress: ip(remote ?? "10.0.0.9", 1234),
    localAddress: ip(local?.address ?? "10.1.2.3", local?.port ?? 8080),
    ...((peer !== undefined || tls === true) && { tls: peer === undefined ? {} : { peer: certificate } }),
  } as unknown as Connection;
  info.downstreamRemoteAddress = forwardedFor ?? "";
  info.requestedServerName = sni ?? "";
  if (metadata !== undefined) info.dynamicMetadata = new Map(Object.entries(metadata) as [string, Json][]);
  if (filterState !== undefined) info.filterState = new Map(Object.entries(filterState));
  return info;
}

function headersOf(fields: Readonly<Record<string, string>> = {}): HeaderMap {
  return HeaderMap.of({ ":method": "GET", ":path": "/", ":authority": "shop", ...fields });
}

/** Whether a policy of one permission and one principal matches. */
function matches(part: { permission?: Json; principal?: Json }, ask: Ask): boolean {
  const policy = { permissions: [part.permission ?? { any: true }], principals: [part.principal ?? { any: true }] };
  const { rules, problems } = read({ policies: { p: policy } });
  expect(problems).toEqual([]);
  return rules?.policies[0]?.matches(headersOf(ask.headers), infoOf(ask)) === true;
}

const exactly = (name: string): Json => ({ authenticated: { principalName: { exact: name } } });
const header = (name: string, exact: string): Json => ({ header: { name, stringMatch: { exact } } });
const path = (matcher: Json): Json => ({ urlPath: { path: matcher } });
const cidr = (addressPrefix: string, prefixLen: number): Json => ({ addressPrefix, prefixLen });
const template = (pathTemplate: string): Json => ({
  uriTemplate: {
    name: "uri-template",
    typedConfig: {
      "@type": "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig",
      pathTemplate,
    },
  },
});

describe("permissions", () => {
  test.each<[string, Json, Ask, boolean]>([
    ["any", { any: true }, {}, true],
    ["not", { notRule: { any: true } }, {}, false],
    ["and: all", { andRules: { rules: [header(":method", "GET"), path({ exact: "/" })] } }, {}, true],
    ["and: one is missing", { andRules: { rules: [header(":method", "PUT"), path({ exact: "/" })] } }, {}, false],
    ["or", { orRules: { rules: [header(":method", "PUT"), header(":method", "GET")] } }, {}, true],
    ["a header's name in any case", header("X-Role", "admin"), { headers: { "x-role": "admin" } }, true],
    ["host is :authority", header("Host", "shop"), {}, true],
    ["a header that is missing", header("x-role", ""), {}, false],
    ["the path without query", path({ exact: "/a" }), { headers: { ":path": "/a?b=/c" } }, true],
    ["the path without fragment", path({ exact: "/a" }), { headers: { ":path": "/a#b" } }, true],
    ["a suffix of the path, not of the query", path({ suffix: ".css" }), { headers: { ":path": "/a?x=.css" } }, false],
    ["no path (CONNECT)", path({ safeRegex: { regex: ".*" } }), { headers: { ":path": "" } }, false],
    ["no path, negated", { notRule: path({ prefix: "/" }) }, { headers: { ":path": "" } }, true],
    [
      "bytes beyond ASCII are seen by expressions",
      path({ safeRegex: { regex: "/a.*" } }),
      { headers: { ":path": "/a\xff" } },
      true,
    ],
    ["{*} is one segment", template("/a/*/c"), { headers: { ":path": "/a/b/c?q" } }, true],
    ["{*} is not two", template("/a/*/c"), { headers: { ":path": "/a/b/b/c" } }, false],
    ["{*} may be a star", template("/a/*/c"), { headers: { ":path": "/a/*/c" } }, true],
    ["{**} is any number", template("/a/**"), { headers: { ":path": "/a/b/c" } }, true],
    ["destination port", { destinationPort: 8080 }, {}, true],
    ["another port", { destinationPort: 80 }, {}, false],
    ["a port range without its end", { destinationPortRange: { start: 80, end: 8080 } }, {}, false],
    ["a port range", { destinationPortRange: { start: 8080, end: 8081 } }, {}, true],
    ["destination address", { destinationIp: cidr("10.1.0.0", 16) }, {}, true],
    ["another address", { destinationIp: cidr("10.2.0.0", 16) }, {}, false],
    ["server name", { requestedServerName: { suffix: ".example" } }, { sni: "a.example" }, true],
    ["no server name", { requestedServerName: { exact: "a" } }, {}, false],
  ])("%s", (_what, permission, ask, expected) => {
    expect(matches({ permission }, ask)).toBe(expected);
  });
});

describe("principals", () => {
  const spiffe = "spiffe://cluster.local/ns/default/sa/sleep";
  const peer = { uriSans: [spiffe] };
  const nested = { filter: "f", path: [{ key: "a" }, { key: "b" }], value: { stringMatch: { exact: "x" } } };
  test.each<[string, Json, Ask, boolean]>([
    ["a name", exactly(spiffe), { peer }, true],
    ["another name", exactly("spiffe://cluster.local/ns/default/sa/other"), { peer }, false],
    ["plaintext has no name", { authenticated: { principalName: { safeRegex: { regex: ".*" } } } }, {}, false],
    ["plaintext is not authenticated", { authenticated: {} }, {}, false],
    ["TLS is", { authenticated: {} }, { tls: true }, true],
    ["a certificate that nobody verified names nobody", exactly(spiffe), { peer: { ...peer, verified: false } }, false],
    ["a namespace", { authenticated: { principalName: { safeRegex: { regex: ".*/ns/default/.*" } } } }, { peer }, true],
    ["a DNS name", exactly("a.example"), { peer: { dnsSans: ["a.example"] } }, true],
    ["the subject", exactly("CN=a"), { peer: { subject: "CN=a" } }, true],
    ["not a name: plaintext matches", { notId: exactly(spiffe) }, {}, true],
    ["the peer's address", { directRemoteIp: cidr("10.0.0.0", 8) }, { forwardedFor: "192.0.2.1:0" }, true],
    ["source_ip is the peer's, too", { sourceIp: cidr("10.0.0.0", 8) }, { forwardedFor: "192.0.2.1:0" }, true],
    ["the client's address", { remoteIp: cidr("192.0.2.0", 24) }, { forwardedFor: "192.0.2.1:0" }, true],
    ["the client's address, IPv6", { remoteIp: cidr("2001:db8::", 32) }, { forwardedFor: "[2001:db8::1]:0" }, true],
    ["the client's is the peer's", { remoteIp: cidr("10.0.0.9", 32) }, {}, true],
    ["a range of another family", { directRemoteIp: cidr("::", 0) }, {}, false],
    ["a header", header("x-a", "1"), { headers: { "x-a": "1" } }, true],
    ["a value with a comma is one value", header("x-a", "1"), { headers: { "x-a": "1,2" } }, false],
    ["metadata", { metadata: nested }, { metadata: { f: { a: { b: "x" } } } }, true],
    ["metadata that is not there", { metadata: nested }, {}, false],
    ["filter state", { filterState: { key: "k", stringMatch: { exact: "v" } } }, { filterState: { k: "v" } }, true],
    ["or", { orIds: { ids: [exactly("x"), exactly(spiffe)] } }, { peer }, true],
    ["and", { andIds: { ids: [exactly(spiffe), header("x-a", "1")] } }, { peer }, false],
    ["the path", path({ prefix: "/" }), {}, true],
  ])("%s", (_what, principal, ask, expected) => {
    expect(matches({ principal }, ask)).toBe(expected);
  });

  test("a further value of a header hides none", () => {
    const { rules } = read({ policies: { p: { permissions: ANY, principals: [header("x-a", "1")] } } });
    const headers = headersOf({ "x-a": "0" });
    headers.add("x-a", "1");
    expect(rules?.policies[0]?.matches(headers, infoOf({}))).toBe(true);
    const inverted = { header: { name: "x-a", stringMatch: { exact: "1" }, invertMatch: true } };
    const others = read({ policies: { p: { permissions: ANY, principals: [inverted] } } }).rules;
    expect(others?.policies[0]?.matches(headers, infoOf({}))).toBe(false);
    expect(others?.policies[0]?.matches(headersOf(), infoOf({}))).toBe(false);
  });

  test("an address that comes again gets the same answer, another gets its own", () => {
    const { rules } = read({
      policies: { p: { permissions: ANY, principals: [{ directRemoteIp: cidr("10.0.0.0", 8) }] } },
    });
    const ask = (remote: string): boolean | undefined => rules?.policies[0]?.matches(headersOf(), infoOf({ remote }));
    expect(["10.1.1.1", "10.1.1.1", "11.1.1.1", "10.1.1.1", "nonsense"].map(ask)).toEqual([
      true,
      true,
      false,
      true,
      false,
    ]);
  });
});

describe("what can't be read is refused by name", () => {
  const policy = (fields: Json): Json => ({ policies: { p: { permissions: ANY, principals: ANY, ...fields } } });
  test.each<[string, Json, string, RegExp]>([
    [
      "a condition",
      policy({ condition: { constExpr: { boolValue: true } } }),
      'rules.policies["p"].condition',
      /not supported/,
    ],
    [
      "an audit logger",
      { ...policy({}), auditLoggingOptions: { auditCondition: "ON_DENY" } },
      "rules.audit_logging_options",
      /not supported/,
    ],
    [
      "a matcher extension",
      policy({ permissions: [{ matcher: { name: "upstream" } }] }),
      'rules.policies["p"].permissions[0].matcher',
      /upstream is not supported/,
    ],
    [
      "a principal extension",
      policy({ principals: [{ custom: { name: "mtls" } }] }),
      'rules.policies["p"].principals[0].custom',
      /mtls is not supported/,
    ],
    [
      "metadata of the route",
      policy({ principals: [{ sourcedMetadata: { metadataMatcher: { filter: "f" }, metadataSource: "ROUTE" } }] }),
      'rules.policies["p"].principals[0].sourced_metadata.metadata_source',
      /DYNAMIC/,
    ],
    ["no rule", policy({ permissions: [{}] }), 'rules.policies["p"].permissions[0].rule', /needs a rule/],
    [
      "no identifier",
      policy({ principals: [{}] }),
      'rules.policies["p"].principals[0].identifier',
      /needs an identifier/,
    ],
    ["no permissions", policy({ permissions: [] }), 'rules.policies["p"].permissions', /at least one/],
    ["no principals", policy({ principals: [] }), 'rules.policies["p"].principals', /at least one/],
    [
      "an empty set",
      policy({ permissions: [{ orRules: {} }] }),
      'rules.policies["p"].permissions[0].or_rules.rules',
      /at least one/,
    ],
    [
      "an empty set of principals",
      policy({ principals: [{ notId: { orIds: {} } }] }),
      'rules.policies["p"].principals[0].not_id.or_ids.ids',
      /at least one/,
    ],
    ["any: false", policy({ permissions: [{ any: false }] }), 'rules.policies["p"].permissions[0].any', /only be true/],
    [
      "an address that is none",
      policy({ principals: [{ remoteIp: cidr("10.0.0", 8) }] }),
      'rules.policies["p"].principals[0].remote_ip.address_prefix',
      /not an IP/,
    ],
    [
      "a prefix that is too long",
      policy({ principals: [{ remoteIp: cidr("10.0.0.0", 33) }] }),
      'rules.policies["p"].principals[0].remote_ip.prefix_len',
      /longer/,
    ],
    [
      "a look-ahead",
      policy({ permissions: [path({ safeRegex: { regex: "(?=a)" } })] }),
      'rules.policies["p"].permissions[0].url_path.path.safe_regex.regex',
      /RE2/,
    ],
    [
      "a template that is none",
      policy({ permissions: [template("/a/**/b/**")] }),
      'rules.policies["p"].permissions[0].uri_template.typed_config.path_template',
      /./,
    ],
    ["an unknown action", { action: 7 }, "rules.action", /ALLOW/],
    [
      "metadata without a value",
      policy({ principals: [{ metadata: { filter: "f", path: [{ key: "a" }] } }] }),
      'rules.policies["p"]',
      /incomplete/,
    ],
  ])("%s", (_what, json, at, message) => {
    const { rules, problems } = read(json);
    expect(rules === undefined || problems.length > 0).toBe(true);
    expect(problems).toContainEqual(expect.objectContaining({ path: at, message: expect.stringMatching(message) }));
  });

  test("policies are tried in the order of their names", () => {
    const one = { permissions: ANY, principals: ANY };
    const { rules } = read({ policies: { b: one, a: one, "a b": one } });
    expect(rules?.policies.map(({ name }) => name)).toEqual(["a", "a b", "b"]);
  });
});
