import { describe, expect, test } from "vitest";
import { formatProblem } from "#lib/problem.ts";
import { parseManifests } from "../config/parse-manifests.ts";
import { crds, crdOf } from "./crds/crds.ts";
import type { CrdSchema } from "./crds/crd-schema.ts";
import { gatewayApiCrds } from "./crds/gateway-api-crds.ts";
import { crdRules } from "./crds/rules.ts";
import { createFindings } from "./findings.ts";
import { gatewayApiKinds, istioKinds } from "./kinds.ts";
import { checkSchema } from "./schema.ts";

const findings = (kind: string, group: string, spec: unknown): readonly string[] => {
  const text = JSON.stringify({ apiVersion: `${group}/v1`, kind, metadata: { name: "x" }, spec });
  const [object] = parseManifests(text, "f.json").objects;
  const crd = crdOf(kind, group);
  if (object === undefined || crd === undefined) throw new Error("no object, or no CRD");
  const found = createFindings(object);
  checkSchema(crd, found);
  return found.problems.map(({ level, ...problem }) => `${level} ${formatProblem({ level, ...problem })}`);
};

const virtualService = (http: unknown): readonly string[] =>
  findings("VirtualService", "networking.istio.io", { hosts: ["a"], http: [http] });

describe("the CRDs of Istio and of the Gateway API", () => {
  test("every kind that we know has one, with the versions that we serve", () => {
    for (const { kind, group, versions } of crds) {
      expect({ group: istioKinds[kind]?.group, versions: [...(istioKinds[kind]?.versions ?? [])].sort() }).toEqual({
        group,
        versions: [...versions].sort(),
      });
    }
    expect(crds.map(({ kind }) => kind).sort()).toEqual(Object.keys(istioKinds).sort());
  });

  test("every kind of the Gateway API has one, with the versions that we serve", () => {
    const served = Map.groupBy(gatewayApiCrds, ({ kind }) => kind);
    for (const [kind, known] of Object.entries(gatewayApiKinds)) {
      const versions = (served.get(kind) ?? []).flatMap((crd) => crd.versions).sort();
      expect(versions, kind).toEqual([...known.versions].sort());
    }
    expect([...served.keys()].sort()).toEqual(Object.keys(gatewayApiKinds).sort());
  });

  test("every pattern is one that we can read", () => {
    const patterns = [...crds, ...gatewayApiCrds].flatMap(
      (crd) => JSON.stringify(crd).match(/"pattern":"(?:[^"\\]|\\.)*"/g) ?? [],
    );
    expect(patterns.length).toBeGreaterThan(0);
    for (const text of patterns) {
      const { pattern } = JSON.parse(`{${text}}`) as { pattern: string };
      expect(() => new RegExp(pattern, "u"), pattern).not.toThrow();
    }
  });

  test("every schema is of the notation, and every rule of CEL has its predicate", () => {
    const used = new Set<string>();
    const visit = (schema: CrdSchema, path: string): void => {
      if (typeof schema === "string") {
        expect(["string", "integer", "number", "boolean"], path).toContain(schema);
        return;
      }
      for (const rule of schema.rules ?? []) {
        used.add(rule);
        expect(crdRules, `${path}: ${rule}`).toHaveProperty([rule]);
      }
      if (schema.type === "object") {
        for (const [name, field] of Object.entries(schema.fields)) visit(field, `${path}.${name}`);
      } else if (schema.type === "map") visit(schema.values, `${path}{}`);
      else if (schema.type === "list") visit(schema.items, `${path}[]`);
      else expect(["string", "integer", "number", "boolean", "any"], path).toContain(schema.type);
    };
    for (const { kind, spec } of [...crds, ...gatewayApiCrds]) visit(spec, kind);
    expect(Object.keys(crdRules).filter((rule) => !used.has(rule))).toEqual([]);
  });
});

describe("the schema of a CRD", () => {
  test.each([
    ["a number for a string", { name: 3 }, /http\[0\]\.name: must be a string, found a number \(3\)/],
    ["a string for a list", { match: "x" }, /match: must be a list, found the string "x"/],
    ["a list for a map", { retries: [] }, /retries: must be a map, found a list/],
    ["a fraction for a whole number", { retries: { attempts: 1.5 } }, /attempts: must be a whole number/],
    [
      "a word that is no enum value",
      { redirect: { redirectPort: 1, derivePort: "X" } },
      /must be one of FROM_PROTOCOL_DEFAULT/,
    ],
    ["a name that is not known", { timeouts: "1s" }, /unknown field timeouts; did you mean timeout\?/],
    [
      "a list that is too short",
      { match: [{ uri: { exact: "" } }], route: [{}] },
      /destination is missing; it is required/,
    ],
    ["two of a oneof", { match: [{ uri: { exact: "a", prefix: "b" } }] }, /set only one of exact, prefix/],
    ["a rule", { timeout: "0s" }, /timeout: must be a duration of at least 1ms/],
  ])("%s is refused by name", (_, http, expected) => {
    const found = virtualService(http);
    expect(found.join("\n")).toMatch(expected);
    expect(found.every((line) => line.startsWith("error"))).toBe(true);
  });

  test("null is absent, with a note; where the CRD takes null it says nothing", () => {
    expect(virtualService({ fault: null, name: "a" })).toEqual([
      expect.stringMatching(/^info .*fault: null counts as absent; an API server refuses it/),
    ]);
    expect(virtualService({ retries: { attempts: 1, retryRemoteLocalities: null } })).toEqual([]);
  });

  test("a field beside spec is refused, and a spec that must be there", () => {
    const text = `{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"name":"x"},"hosts":["a"]}`;
    const [object] = parseManifests(text, "f.json").objects;
    const crd = crdOf("ServiceEntry", "networking.istio.io");
    if (object === undefined || crd === undefined) throw new Error("no object");
    const found = createFindings(object);
    checkSchema(crd, found);
    expect(found.problems.map(({ message }) => message)).toEqual([
      expect.stringMatching(/unknown field hosts/),
      "spec is missing; it is required.",
    ]);
  });

  test("what an EnvoyFilter patches in is free", () => {
    const spec = {
      configPatches: [{ applyTo: "CLUSTER", patch: { operation: "MERGE", value: { anything: [null, 1, "x", {}] } } }],
    };
    expect(findings("EnvoyFilter", "networking.istio.io", spec)).toEqual([]);
  });

  test("ten thousand faults are a hundred and a word", () => {
    const hosts = Array.from({ length: 256 }, () => 1);
    const found = findings("VirtualService", "networking.istio.io", {
      hosts,
      http: Array.from({ length: 10_000 }, () => 1),
    });
    expect(found).toHaveLength(101);
    expect(found.at(-1)).toMatch(/more than 100 faults/);
  });
});

describe("the schemas of the Gateway API", () => {
  const gatewayApi = (kind: string, spec: unknown): readonly string[] =>
    findings(kind, "gateway.networking.k8s.io", spec);
  const rule = (fields: unknown): readonly string[] => gatewayApi("HTTPRoute", { rules: [fields] });
  const listener = (fields: Record<string, unknown>): readonly string[] =>
    gatewayApi("Gateway", { gatewayClassName: "istio", listeners: [{ name: "a", port: 80, ...fields }] });
  const backend = { name: "a", port: 80 };

  test.each([
    ["a rule with nothing but backends", rule({ backendRefs: [backend] })],
    ["a path without a type", rule({ matches: [{ path: { value: "/a" } }] })],
    [
      "a prefix that is replaced",
      rule({
        filters: [
          { type: "URLRewrite", urlRewrite: { path: { type: "ReplacePrefixMatch", replacePrefixMatch: "/" } } },
        ],
      }),
    ],
    ["a redirect by number", rule({ filters: [{ type: "RequestRedirect", requestRedirect: { statusCode: 301 } }] })],
    ["TLS that ends here, by default", listener({ protocol: "HTTPS", tls: { certificateRefs: [{ name: "c" }] } })],
    [
      "a Gateway at a Service",
      gatewayApi("Gateway", {
        gatewayClassName: "istio",
        listeners: [{ name: "a", port: 80, protocol: "HTTP" }],
        addresses: [{ type: "Hostname", value: "edge" }],
      }),
    ],
  ])("%s is taken", (_what, found) => {
    expect(found).toEqual([]);
  });

  test.each([
    [
      "an unknown field",
      rule({ backendRef: backend }),
      /rules\[0\]\.backendRef: unknown field backendRef; did you mean backendRefs/,
    ],
    [
      "a Service without a port",
      rule({ backendRefs: [{ name: "a" }] }),
      /backendRefs\[0\]: a reference to a Service needs a port/,
    ],
    [
      "a filter without its field",
      rule({ filters: [{ type: "CORS" }] }),
      /filters\[0\]: a filter of type CORS needs cors/,
    ],
    [
      "a field of another filter",
      rule({ filters: [{ type: "CORS", cors: {}, urlRewrite: {} }] }),
      /urlRewrite belongs to filters of type URLRewrite/,
    ],
    [
      "a filter twice",
      rule({
        filters: [
          { type: "CORS", cors: {} },
          { type: "CORS", cors: {} },
        ],
      }),
      /only one filter of type CORS/,
    ],
    [
      "a redirect with backends",
      rule({ backendRefs: [backend], filters: [{ type: "RequestRedirect", requestRedirect: {} }] }),
      /a rule that redirects has no backendRefs/,
    ],
    ["a path that climbs", rule({ matches: [{ path: { value: "/a/../b" } }] }), /must not contain \/\.\.\//],
    ["a path that is relative", rule({ matches: [{ path: { value: "a" } }] }), /a path begins with \//],
    [
      "a prefix replaced where the path is exact",
      rule({
        matches: [{ path: { type: "Exact", value: "/a" } }],
        filters: [
          { type: "URLRewrite", urlRewrite: { path: { type: "ReplacePrefixMatch", replacePrefixMatch: "/" } } },
        ],
      }),
      /needs exactly one match of the rule, of type PathPrefix/,
    ],
    [
      "a backend slower than the request",
      rule({ timeouts: { request: "1s", backendRequest: "2s" } }),
      /backendRequest must not be longer/,
    ],
    [
      "one parent twice",
      gatewayApi("HTTPRoute", { parentRefs: [{ name: "g" }, { name: "g" }] }),
      /no two parentRefs may mean the same/,
    ],
    [
      "one parent as a whole and in part",
      gatewayApi("HTTPRoute", { parentRefs: [{ name: "g" }, { name: "g", sectionName: "a" }] }),
      /each must say its sectionName or port/,
    ],
    [
      "TLS on plain HTTP",
      listener({ protocol: "HTTP", tls: { certificateRefs: [{ name: "c" }] } }),
      /tls goes with the protocols HTTPS and TLS/,
    ],
    ["TLS without a certificate", listener({ protocol: "HTTPS", tls: {} }), /to terminate TLS set certificateRefs/],
    [
      "HTTPS that passes through",
      listener({ protocol: "HTTPS", tls: { mode: "Passthrough" } }),
      /the tls mode is Terminate/,
    ],
    [
      "an address that is no IP",
      gatewayApi("Gateway", {
        gatewayClassName: "istio",
        listeners: [{ name: "a", port: 80, protocol: "HTTP" }],
        addresses: [{ value: "edge" }],
      }),
      /is an IP; say type: Hostname/,
    ],
    [
      "a policy without a CA",
      gatewayApi("BackendTLSPolicy", {
        targetRefs: [{ group: "", kind: "Service", name: "a" }],
        validation: { hostname: "a" },
      }),
      /set caCertificateRefs or wellKnownCACertificates/,
    ],
  ])("%s is refused", (_what, found, message) => {
    expect(found.join("\n")).toMatch(message);
  });

  test("a version with a schema of its own has it", () => {
    expect(crdOf("TLSRoute", "gateway.networking.k8s.io", "v1alpha2")?.spec.required).toEqual(["rules"]);
    expect(crdOf("TLSRoute", "gateway.networking.k8s.io", "v1alpha3")?.spec.required).toEqual(["hostnames", "rules"]);
  });
});
