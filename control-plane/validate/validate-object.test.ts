import { describe, expect, test } from "vitest";
import { formatProblem } from "#lib/problem.ts";
import { parseManifests } from "../config/parse-manifests.ts";
import { validateObject } from "./validate-object.ts";

const findings = (text: string): readonly string[] => {
  const { objects, problems } = parseManifests(text, "f.yaml");
  expect(problems).toEqual([]);
  return objects.flatMap(validateObject).map((problem) => `${problem.level} ${problem.code} ${formatProblem(problem)}`);
};

const virtualService = (http: string, head = "hosts: [a]"): string => `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: x }
spec:
  ${head}
  http:
    - ${http}
`;
const to = "route: [{ destination: { host: a } }]";
const destinationRule = (policy: string): string => `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: x }
spec:
  host: a
  ${policy}
`;
const serviceEntry = (spec: string): string => `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: x }
spec: { ${spec} }
`;

describe("the schema", () => {
  test.each([
    [
      "an unknown field",
      virtualService(`timout: 1s\n      ${to}`),
      /f\.yaml:7:7: VirtualService default\/x spec\.http\[0\]\.timout: unknown field timout; did you mean timeout\?/,
    ],
    [
      "an unknown field that is like none",
      virtualService(`zzz: 1s\n      ${to}`),
      /unknown field zzz; allowed are corsPolicy, .*timeout\./,
    ],
    [
      "an unknown field deep down",
      virtualService("route: [{ destination: { host: a, sub: b } }]"),
      /f\.yaml:7:\d+: .*destination\.sub: unknown field sub; did you mean subset\?/,
    ],
    [
      "a wrong type",
      virtualService("route: [{ destination: { host: a }, weight: many }]"),
      /weight: must be a whole number, found the string "many"/,
    ],
    ["a map for a list", virtualService(to, "hosts: { a: b }"), /spec\.hosts: must be a list, found a map/],
    [
      "a word outside an enum",
      destinationRule("trafficPolicy: { loadBalancer: { simple: ROUND_ROBBIN } }"),
      /must be one of .*ROUND_ROBIN.*found the string "ROUND_ROBBIN"/,
    ],
    [
      "two of one kind of match",
      virtualService(`match: [{ uri: { exact: /a, prefix: /b } }]\n      ${to}`),
      /uri: set only one of exact, prefix/,
    ],
    [
      "a missing field",
      virtualService("route: [{ destination: { subset: a } }]"),
      /destination: host is missing; it is required/,
    ],
  ])("%s is refused, by line and with what is allowed", (_, text, expected) => {
    expect(findings(text).join("\n")).toMatch(expected);
    expect(findings(text).some((line) => line.startsWith("error"))).toBe(true);
  });

  test("`fault: null` loads, with a note", () => {
    expect(findings(virtualService(`fault: null\n      ${to}`))).toEqual([
      "info null-field f.yaml:7:7: VirtualService default/x spec.http[0].fault: null counts as absent; an API server refuses it. Remove the key.",
    ]);
  });

  test("all served versions load; others are refused, naming them", () => {
    for (const version of ["v1", "v1beta1", "v1alpha3"]) {
      expect(findings(virtualService(to).replace("/v1", `/${version}`))).toEqual([]);
    }
    expect(findings(virtualService(to).replace("/v1", "/v2")).join()).toMatch(
      /f\.yaml:1:1: .*no version networking\.istio\.io\/v2; served are networking\.istio\.io\/v1, /,
    );
  });

  test("a kind that Istio's groups do not have is refused with the nearest", () => {
    expect(findings(virtualService(to).replace("VirtualService", "VirtualServise")).join()).toMatch(
      /f\.yaml:2:1: .*did you mean VirtualService\?/,
    );
    expect(findings(virtualService(to).replace("networking.", "security.")).join()).toMatch(
      /VirtualService is of the group networking\.istio\.io/,
    );
  });
});

describe("kinds without effect", () => {
  const object = (apiVersion: string, kind: string): string =>
    `{apiVersion: ${apiVersion}, kind: ${kind}, metadata: {name: x}, spec: {}}`;

  test.each([
    ["linkerd.io/v1alpha2", "Server", "warning GM0101"],
    ["gateway.networking.k8s.io/v1", "UDPRoute", "warning GM0101"],
    ["v1", "ConfigMap", "info GM0101"],
    ["install.istio.io/v1alpha1", "IstioOperator", "info GM0101"],
  ])("%s %s is loaded, and a finding says so", (apiVersion, kind, expected) => {
    const said = findings(object(apiVersion, kind)).join();
    expect(said).toContain(expected);
    expect(said).toContain(`${kind} default/x`);
  });

  test("policies take effect; those that are attached to something else than a Gateway do not, and say so", () => {
    const rules = "jwtRules: [{ issuer: a }]";
    const custom = "action: CUSTOM, provider: { name: p }, rules: [{}]";
    const attached = (kind: string): string =>
      `targetRefs: [{ group: gateway.networking.k8s.io, kind: ${kind}, name: g }]`;
    const said = (kind: string, spec: string): readonly string[] =>
      findings(`{apiVersion: security.istio.io/v1, kind: ${kind}, metadata: {name: x}, spec: { ${spec} }}`);
    expect(said("AuthorizationPolicy", "")).toEqual([]);
    expect(said("AuthorizationPolicy", custom)).toEqual([]);
    expect(said("RequestAuthentication", rules)).toEqual([]);
    expect(said("AuthorizationPolicy", attached("Gateway"))).toEqual([]);
    expect(said("AuthorizationPolicy", attached("GatewayClass")).join()).toMatch(/warning GM0101 .*no effect/);
    expect(said("RequestAuthentication", attached("GatewayClass")).join()).toMatch(/warning GM0101 .*no effect/);
  });

  test("Kubernetes' own kinds that take part say nothing", () => {
    expect(findings(object("v1", "Namespace") + "\n---\n" + object("v1", "ServiceAccount"))).toEqual([]);
  });
});

describe("VirtualService, as istiod checks it", () => {
  test.each([
    [
      "23: weights that add up to 0",
      virtualService("route: [{ destination: { host: a } }, { destination: { host: b } }]"),
      /add up to 0/,
    ],
    ["23: a negative weight", virtualService("route: [{ destination: { host: a }, weight: -1 }]"), /can't be negative/],
    ["28: a timeout of 0s", virtualService(`timeout: 0s\n      ${to}`), /timeout: must be at least 1ms/],
    ["28: a timeout that is no time", virtualService(`timeout: fast\n      ${to}`), /timeout: must be a duration/],
    [
      "25: a pseudo header",
      virtualService(`headers: { request: { set: { ':path': /x } } }\n      ${to}`),
      /pseudo header/,
    ],
    [
      "25: the Host twice",
      virtualService(`rewrite: { authority: a }\n      headers: { request: { set: { Host: b } } }\n      ${to}`),
      /already set to "a"/,
    ],
    [
      "a line break in a header",
      virtualService(`headers: { request: { set: { x: "a\\r\\nb" } } }\n      ${to}`),
      /control characters/,
    ],
    [
      "21: an empty prefix of a header",
      virtualService(`match: [{ headers: { x: { prefix: '' } } }]\n      ${to}`),
      /empty prefix/,
    ],
    [
      "20: a regular expression that RE2 does not take",
      virtualService(`match: [{ uri: { regex: '(?=a)' } }]\n      ${to}`),
      /RE2/,
    ],
    [
      "22: claims outside gateways",
      virtualService(`match: [{ headers: { '@request.auth.claims.a': { exact: b } } }]\n      ${to}`),
      /gateways only/,
    ],
    ["route and redirect", virtualService(`redirect: { uri: /b }\n      ${to}`), /both route and redirect/],
    ["a rule that does nothing", virtualService("timeout: 1s"), /does nothing/],
    ["27: a redirect with a wrong code", virtualService("redirect: { uri: /b, redirectCode: 200 }"), /3xx/],
    [
      "29: retries that are none",
      virtualService(`retries: { attempts: 0, retryOn: 5xx }\n      ${to}`),
      /attempts is 0/,
    ],
    [
      "29: an unknown condition",
      virtualService(`retries: { attempts: 1, retryOn: 'sometimes' }\n      ${to}`),
      /"sometimes" is no condition.*5xx/,
    ],
    [
      "32: an exponential delay",
      virtualService(`fault: { delay: { exponentialDelay: 1s } }\n      ${to}`),
      /exponentialDelay: is not supported; use fixedDelay/,
    ],
    ["32: a fault without content", virtualService(`fault: {}\n      ${to}`), /abort, a delay, or both/],
    [
      "36: a body above 1 MiB",
      virtualService(`directResponse: { status: 200, body: { string: ${"x".repeat(1024 * 1024 + 1)} } }`),
      /at most 1 MiB/,
    ],
    ["overlapping hosts", virtualService(to, "hosts: ['*.example.com', a.example.com]"), /overlap/],
    ["`*` for sidecars", virtualService(to, "hosts: ['*']"), /not allowed for sidecars/],
    ["35: a delegate with gateways", virtualService(to, "gateways: [g]"), /is a delegate/],
    ["a bad exportTo", virtualService(to, "exportTo: ['*', x]\n  hosts: [a]"), /can't stand beside others/],
    [
      "no rules",
      "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: x }\nspec: { hosts: [a] }\n",
      /no rules/,
    ],
  ])("%s is refused", (_, text, expected) => {
    expect(
      findings(text)
        .filter((line) => line.startsWith("error"))
        .join("\n"),
    ).toMatch(expected);
  });

  test.each([
    ["29: retries: {}", virtualService(`retries: {}\n      ${to}`)],
    [
      "21: presence",
      virtualService(
        `match: [{ headers: { x: {} }, withoutHeaders: { y: { regex: '*' } }, uri: { prefix: '' } }]\n      ${to}`,
      ),
    ],
    [
      "22: pseudo headers in matches",
      virtualService(`match: [{ headers: { ':method': { exact: GET } } }]\n      ${to}`),
    ],
    ["weird header names", virtualService(`match: [{ headers: { "a!#$%&'*+-.^_\`|~z": { exact: a } } }]\n      ${to}`)],
    ["25: Host in a header operation", virtualService(`headers: { request: { set: { Host: b } } }\n      ${to}`)],
    ["an IP as host", virtualService(to, "hosts: [10.0.0.1]")],
  ])("%s is taken", (_, text) => expect(findings(text).filter((line) => line.startsWith("error"))).toEqual([]));
});

describe("DestinationRule, as istiod checks it", () => {
  test.each([
    ["an empty policy", "trafficPolicy: {}", /empty/],
    [
      "51: UPGRADE and useClientProtocol",
      "trafficPolicy: { connectionPool: { http: { h2UpgradePolicy: UPGRADE, useClientProtocol: true } } }",
      /UPGRADE/,
    ],
    ["a pool without content", "trafficPolicy: { connectionPool: {} }", /tcp, http, or both/],
    ["a percentage above 100", "trafficPolicy: { outlierDetection: { maxEjectionPercent: 101 } }", /from 0 to 100/],
    ["MUTUAL without certificates", "trafficPolicy: { tls: { mode: MUTUAL } }", /clientCertificate/],
    ["a bad subset name", "subsets: [{ name: 'a b' }]", /no name of a subset/],
    [
      "48: shares that are not 100",
      "trafficPolicy: { loadBalancer: { localityLbSetting: { distribute: [{ from: a/*, to: { b/*: 90 } }] } } }",
      /add up to 100/,
    ],
    [
      "a table that is no prime",
      "trafficPolicy: { loadBalancer: { consistentHash: { httpHeaderName: x, maglev: { tableSize: 100 } } } }",
      /prime/,
    ],
    [
      "41: exportTo with a workloadSelector",
      "workloadSelector: { matchLabels: { a: b } }\n  exportTo: ['*']",
      /own namespace only/,
    ],
  ])("%s is refused", (_, policy, expected) => {
    expect(
      findings(destinationRule(policy))
        .filter((line) => line.startsWith("error"))
        .join("\n"),
    ).toMatch(expected);
  });

  test("53: consecutiveErrors is taken, with a word", () => {
    expect(findings(destinationRule("trafficPolicy: { outlierDetection: { consecutiveErrors: 3 } }"))).toEqual([
      expect.stringMatching(
        /^warning deprecated-field .*consecutiveErrors: is deprecated and has no effect; use consecutive5xxErrors/,
      ),
    ]);
  });
});

describe("ServiceEntry, WorkloadEntry and PeerAuthentication, as istiod checks them", () => {
  const port = "ports: [{ number: 80, name: http, protocol: HTTP }]";
  test.each([
    [
      "a wildcard that is to be looked up",
      `hosts: ['*.example.com'], ${port}, resolution: DNS`,
      /without endpoints the host itself is looked up/,
    ],
    [
      "endpoints with NONE",
      `hosts: [a.com], ${port}, resolution: NONE, endpoints: [{ address: 10.0.0.1 }]`,
      /resolution NONE/,
    ],
    [
      "a name with STATIC",
      `hosts: [a.com], ${port}, resolution: STATIC, endpoints: [{ address: b.com }]`,
      /"b\.com" is no IP address/,
    ],
    [
      "endpoints and a selector",
      `hosts: [a.com], ${port}, resolution: STATIC, workloadSelector: { labels: { a: b } }, endpoints: [{ address: 10.0.0.1 }]`,
      /exclude each other/,
    ],
    [
      "a port twice",
      "hosts: [a.com], ports: [{ number: 80, name: a, protocol: HTTP }, { number: 80, name: b, protocol: HTTP }], resolution: DNS",
      /port 80 is used twice/,
    ],
    [
      "an unknown protocol",
      "hosts: [a.com], ports: [{ number: 80, name: a, protocol: SMTP }], resolution: DNS",
      /"SMTP" must be one of HTTP/,
    ],
    [
      "a port that the entry lacks",
      `hosts: [a.com], ${port}, resolution: DNS, endpoints: [{ address: b.com, ports: { web: 81 } }]`,
      /web is no port of this ServiceEntry/,
    ],
    ["a prefix with DNS", `hosts: [a.com], addresses: [10.0.0.0/8], ${port}, resolution: DNS`, /NONE or STATIC only/],
    [
      "several hosts on TCP",
      "hosts: [a.com, b.com], ports: [{ number: 80, name: a, protocol: TCP }], resolution: DNS",
      /told apart/,
    ],
    ["`*`", `hosts: ['*'], ${port}, resolution: NONE`, /`\*` is not allowed/],
  ])("%s is refused", (_, spec, expected) => {
    expect(
      findings(serviceEntry(spec))
        .filter((line) => line.startsWith("error"))
        .join("\n"),
    ).toMatch(expected);
  });

  test("a WorkloadEntry needs an address", () => {
    const entry =
      "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: { name: x }\nspec: { serviceAccount: a }\n";
    expect(findings(entry).join()).toMatch(/spec\.address: an address is required/);
  });

  test("55: port-level modes without a selector are refused", () => {
    const policy =
      "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: { name: x }\nspec: { portLevelMtls: { 8080: { mode: DISABLE } } }\n";
    expect(findings(policy).join()).toMatch(/counts only for selected workloads/);
  });
});

describe("Kubernetes' kinds", () => {
  test.each([
    [
      "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 0}]}}",
      /port: must be a port from 1 to 65535/,
    ],
    [
      "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80, protocol: HTTP}]}}",
      /must be TCP, UDP or SCTP, found "HTTP"; the application protocol goes/,
    ],
    [
      "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {clusterIP: x, ports: [{port: 80}]}}",
      /"x" is no IP address/,
    ],
    ["{apiVersion: v1, kind: Pod, metadata: {name: a}, status: {podIP: nowhere}}", /"nowhere" is no IP address/],
    [
      "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: b}}}}}",
      /select none of its own Pods/,
    ],
    [
      "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a, labels: {kubernetes.io/service-name: a}}, addressType: IPv4, endpoints: [{addresses: [a.b]}]}",
      /"a\.b" is no IP address/,
    ],
  ])("%s is refused", (text, expected) => {
    expect(
      findings(text)
        .filter((line) => line.startsWith("error"))
        .join("\n"),
    ).toMatch(expected);
  });
});
