import { describe, expect, test } from "vitest";
import { formatProblem } from "#lib/problem.ts";
import { parseManifests } from "../config/parse-manifests.ts";
import { crds, crdOf } from "./crds/crds.ts";
import type { CrdSchema } from "./crds/crd-schema.ts";
import { crdRules } from "./crds/rules.ts";
import { createFindings } from "./findings.ts";
import { istioKinds } from "./kinds.ts";
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

describe("the CRDs of Istio", () => {
  test("every kind that we know has one, with the versions that we serve", () => {
    for (const { kind, group, versions } of crds) {
      expect({ group: istioKinds[kind]?.group, versions: [...(istioKinds[kind]?.versions ?? [])].sort() }).toEqual({
        group,
        versions: [...versions].sort(),
      });
    }
    expect(crds.map(({ kind }) => kind).sort()).toEqual(Object.keys(istioKinds).sort());
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
    for (const { kind, spec } of crds) visit(spec, kind);
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
