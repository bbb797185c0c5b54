/** istiod's checks of the kinds that have no test of their own beside this one. */
import { describe, expect, test } from "vitest";
import { parseManifests } from "../config/parse-manifests.ts";
import { istioKinds } from "./kinds.ts";
import { validateSemantics } from "./validate-object.ts";

function said(kind: string, spec: string): readonly string[] {
  const { group = "", versions = [] } = istioKinds[kind] ?? {};
  const yaml = `{apiVersion: ${group}/${versions[0] ?? ""}, kind: ${kind}, metadata: {name: x}, spec: ${spec}}`;
  const [object] = parseManifests(yaml, "f.yaml").objects;
  if (object === undefined) throw new Error(`no object in ${yaml}`);
  return validateSemantics(object).map(({ level, path, message }) => `${level} ${path}: ${message}`);
}

const wasm = (more: string): string => `{url: oci://example.com/p, ${more}}`;
const patch = (entry: string): string => `{configPatches: [${entry}]}`;
const listener = (match: string, applyTo = "HTTP_FILTER"): string =>
  patch(`{applyTo: ${applyTo}, match: {listener: {filterChain: {filter: ${match}}}}, patch: {operation: REMOVE}}`);
const manager = "name: envoy.filters.network.http_connection_manager";
const http = (rule: string): string => `{hosts: [a], http: [${rule}]}`;
const route = "route: [{destination: {host: a}}]";
const entry = (more: string): string => `{hosts: [a.com], ports: [{number: 80, name: http, protocol: HTTP}], ${more}}`;
const egress = (hosts: string): string => `{egress: [{hosts: [${hosts}]}]}`;
const ingress = (more: string, protocol = "HTTPS"): string =>
  `{ingress: [{port: {number: 9000, name: p, protocol: ${protocol}}, defaultEndpoint: "127.0.0.1:1", ${more}}]}`;

describe("istiod accepts", () => {
  test.each([
    [
      "Telemetry",
      "{tracing: [{providers: [{name: p}], randomSamplingPercentage: 100, customTags: {a: {literal: {value: x}}}}]}",
    ],
    [
      "Telemetry",
      "{metrics: [{overrides: [{match: {metric: ALL_METRICS}, tagOverrides: {a: {operation: REMOVE}, b: {value: x}}}]}]}",
    ],
    ["WorkloadGroup", "{template: {}, probe: {httpGet: {port: 80, path: /, httpHeaders: [{name: X-A, value: b}]}}}"],
    ["ProxyConfig", "{concurrency: 0}"],
    ["WasmPlugin", wasm("match: [{ports: [{number: 80}]}]")],
    ["WasmPlugin", "{url: example.com/p:v1}"],
    ["TrafficExtension", "{lua: {inlineCode: x}}"],
    ["Sidecar", egress(`"./*", "istio-system/*"`)],
    ["Sidecar", ingress("tls: {mode: SIMPLE, serverCertificate: /c, privateKey: /k}")],
    ["ServiceEntry", entry("resolution: DNS")],
    [
      "VirtualService",
      http(`{match: [{uri: {prefix: /a}}], ${route}}, {match: [{uri: {prefix: /b}}], ${route}}, {${route}}`),
    ],
  ])("%s %s", (kind, spec) => {
    expect(said(kind, spec)).toEqual([]);
  });

  test("an EnvoyFilter, with a warning", () => {
    const filter = listener(`{${manager}, subFilter: {name: envoy.filters.http.router}}`);
    expect(said("EnvoyFilter", filter)).toEqual([expect.stringMatching(/^warning : an EnvoyFilter reaches into/)]);
  });
});

describe("istiod refuses", () => {
  test.each([
    ["Telemetry", "{tracing: [{randomSamplingPercentage: 101}]}", /randomSamplingPercentage: must be from 0 to 100/],
    ["Telemetry", `{accessLogging: [{providers: [{name: ""}]}]}`, /providers\[0\]\.name: a provider needs the name/],
    ["Telemetry", "{metrics: [{overrides: [{tagOverrides: {a: {}}}]}]}", /UPSERT needs a value/],
    [
      "Telemetry",
      "{metrics: [{overrides: [{tagOverrides: {a: {operation: REMOVE, value: x}}}]}]}",
      /REMOVE takes no value/,
    ],
    ["Telemetry", `{tracing: [{customTags: {a: {header: {name: ""}}}}]}`, /a header needs a name/],
    [
      "Telemetry",
      "{selector: {matchLabels: {a: b}}, targetRefs: [{kind: Service, name: s}]}",
      /set only one of selector, targetRefs/,
    ],
    [
      "Telemetry",
      "{targetRefs: [{kind: Deployment, group: apps, name: s}]}",
      /attached to .*, not to apps\/Deployment/,
    ],
    ["WorkloadGroup", "{}", /template is missing/],
    [
      "WorkloadGroup",
      "{template: {}, probe: {periodSeconds: -1, tcpSocket: {port: 0}}}",
      /periodSeconds: must be 0 or more[\s\S]*tcpSocket\.port/,
    ],
    ["WorkloadGroup", "{template: {}, probe: {exec: {command: []}}}", /command is missing/],
    ["WorkloadGroup", "{template: {}, probe: {}}", /says nothing to ask/],
    [
      "Gateway",
      `{selector: {a: b}, servers: [{port: {number: 443, name: h, protocol: HTTPS}, hosts: ["*"], tls: {mode: SIMPLE, credentialName: c, caCrl: /crl}}]}`,
      /caCrl: is part of the Secret/,
    ],
    ["ProxyConfig", "{concurrency: -1}", /concurrency: must be 0 or more/],
    ["WasmPlugin", "{}", /url is missing/],
    ["WasmPlugin", "{url: ftp://a}", /must be a URL of file, http, https or oci, found ftp/],
    ["WasmPlugin", wasm("sha256: abc"), /must be 64 digits/],
    ["WasmPlugin", wasm("vmConfig: {env: [{name: A}, {name: A}]}"), /A stands there twice/],
    ["WasmPlugin", wasm("vmConfig: {env: [{name: A, valueFrom: HOST, value: x}]}"), /the value comes from the host/],
    ["WasmPlugin", wasm("match: [{ports: [{number: 70000}]}]"), /must be a port/],
    ["TrafficExtension", "{}", /set exactly one of wasm and lua/],
    ["TrafficExtension", `{lua: {inlineCode: ""}}`, /the program is empty/],
    ["EnvoyFilter", patch("{patch: {operation: REMOVE}}"), /applyTo is missing/],
    ["EnvoyFilter", patch("{applyTo: CLUSTER}"), /patch is missing/],
    ["EnvoyFilter", patch("{applyTo: CLUSTER, patch: {}}"), /operation is missing/],
    ["EnvoyFilter", patch("{applyTo: CLUSTER, patch: {operation: MERGE}}"), /MERGE needs a value/],
    [
      "EnvoyFilter",
      patch("{applyTo: CLUSTER, match: {listener: {}}, patch: {operation: REMOVE}}"),
      /matched by cluster, not by listener/,
    ],
    [
      "EnvoyFilter",
      patch(`{applyTo: CLUSTER, match: {proxy: {proxyVersion: "("}}, patch: {operation: REMOVE}}`),
      /missing closing \)/,
    ],
    [
      "EnvoyFilter",
      patch("{applyTo: CLUSTER, patch: {operation: MERGE, value: {connect_timeout: [1]}}}"),
      /error .*value\.connect_timeout/,
    ],
    ["EnvoyFilter", listener("{subFilter: {name: a}}"), /name of the filter is missing/],
    [
      "EnvoyFilter",
      listener(`{${manager}, subFilter: {name: a}}`, "NETWORK_FILTER"),
      /subFilter goes with applyTo HTTP_FILTER only/,
    ],
    ["EnvoyFilter", listener("{name: other, subFilter: {name: a}}"), /subFilter goes with the filter envoy/],
    ["Sidecar", "{}", /the Sidecar says nothing/],
    ["Sidecar", "{outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}}", /is a mode of the whole mesh/],
    [
      "Sidecar",
      "{outboundTrafficPolicy: {egressProxy: {host: a, port: {number: 80}}}}",
      /goes with the mode ALLOW_ANY only/,
    ],
    ["Sidecar", ingress("tls: {mode: ISTIO_MUTUAL}"), /no mode of a sidecar's listener/],
    ["Sidecar", ingress("tls: {mode: SIMPLE, credentialName: c}"), /credentialName: is not supported/],
    [
      "Sidecar",
      ingress("tls: {mode: SIMPLE, serverCertificate: /c, privateKey: /k}", "HTTP"),
      /protocol HTTPS or TLS only/,
    ],
    ["VirtualService", http(`{mirrorPercent: 101, mirror: {host: a}, ${route}}`), /mirrorPercent: must be at most 100/],
    [
      "VirtualService",
      "{hosts: [a, a, '*.b.com', c.b.com], http: [{route: [{destination: {host: a}}]}]}",
      /hosts\[1\]: a and a overlap[\s\S]*hosts\[3\]: c\.b\.com and \*\.b\.com overlap/,
    ],
  ])("%s %s", (kind, spec, expected) => {
    const errors = said(kind, spec).filter((line) => line.startsWith("error"));
    expect(errors.join("\n")).toMatch(expected);
  });
});

describe("istiod warns of", () => {
  test.each([
    ["Telemetry", "{tracing: [{}, {}]}", /spec\.tracing: only the first entry counts/],
    ["Telemetry", "{selector: {}}", /selects every workload/],
    ["EnvoyFilter", patch("{applyTo: CLUSTER, patch: {operation: MERGE, value: {no_such_field: 1}}}"), /no_such_field/],
    [
      "EnvoyFilter",
      listener("{name: a}", "FILTER_CHAIN"),
      /matching by filter has no effect on a patch of FILTER_CHAIN/,
    ],
    ["Sidecar", egress(`"./*", "./a.com"`), /\.\/a\.com is imported by another entry/],
    ["Sidecar", egress(`"*/*", "b/c.com"`), /imports everything/],
    [
      "Sidecar",
      ingress("connectionPool: {http: {maxRetries: 1}}", "TCP"),
      /has no effect on a port of the protocol TCP/,
    ],
    ["ServiceEntry", "{hosts: [a.com], ports: [{number: 80, name: t, protocol: TCP}]}", /a TCP port without addresses/],
    [
      "ServiceEntry",
      entry("resolution: NONE, workloadSelector: {labels: {a: b}}"),
      /workloadSelector: has no effect with the resolution NONE/,
    ],
    [
      "ServiceEntry",
      "{hosts: ['*a.com'], ports: [{number: 80, name: h, protocol: HTTP}]}",
      /a wildcard stands for whole labels only/,
    ],
    ["WorkloadEntry", "{network: n}", /reached through the gateways of its network/],
    ["VirtualService", http(`{mirrorPercent: 10, mirror: {host: a}, ${route}}`), /mirrorPercent: is deprecated/],
    ["VirtualService", http(`{fault: {abort: {percentage: {value: 1}}}, ${route}}`), /nothing is aborted/],
    ["VirtualService", `{hosts: [a], gateways: [gw.ns.svc], http: [{${route}}]}`, /write ns\/gw/],
    [
      "RequestAuthentication",
      `{jwtRules: [{issuer: i, jwks: '{"keys": [{"kty": "oct", "k": "AA"}]}'}]}`,
      /a key holds its private part/,
    ],
    [
      "AuthorizationPolicy",
      "{action: DENY, rules: [{from: [{source: {trustDomains: [a]}}]}]}",
      /on TCP ports this DENY rule refuses everything/,
    ],
    [
      "Gateway",
      `{selector: {a: b}, servers: [{port: {number: 443, name: h, protocol: HTTPS}, hosts: ["*"], tls: {mode: SIMPLE, credentialName: c, minProtocolVersion: TLSV1_0}}]}`,
      /below TLS 1\.2 no default cipher suite fits/,
    ],
    ["VirtualService", http(`{${route}}, {${route}}`), /http\[1\]: the rule #1 is never used/],
    [
      "VirtualService",
      http(`{match: [{uri: {prefix: /}}], ${route}}, {match: [{uri: {prefix: /}}], ${route}}`),
      /rules before it have all of its matches/,
    ],
  ])("%s %s", (kind, spec, expected) => {
    const lines = said(kind, spec);
    expect(lines.filter((line) => line.startsWith("warning")).join("\n")).toMatch(expected);
    expect(lines.filter((line) => line.startsWith("error"))).toEqual([]);
  });

  test("a match that another takes first, as a note", () => {
    const rules = http(`{match: [{uri: {prefix: /a}}], ${route}}, {match: [{uri: {prefix: /a/b}}], ${route}}`);
    expect(said("VirtualService", rules)).toEqual([
      expect.stringMatching(/^info spec\.http\[1\]\.match\[0\]: .*is never used/),
    ]);
  });
});
