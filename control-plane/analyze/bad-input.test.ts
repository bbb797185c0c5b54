/** Input of any kind has an answer, in seconds, and loses nothing beside it. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseManifests } from "../config/parse-manifests.ts";
import { crds } from "../validate/crds/crds.ts";
import type { CrdSchema } from "../validate/crds/crd-schema.ts";
import { verdictOn } from "../validate/verdict.ts";
import { readManifests } from "./read-manifests.ts";
import { analyzers } from "./registry.ts";
import { runAnalysis, type AnalysisResult } from "./run-analysis.ts";

const analyzed = (text: string, file = "f.yaml"): AnalysisResult & { readonly faults: number } => {
  const { objects, problems } = readManifests(text, file);
  for (const object of parseManifests(text, file).objects) verdictOn(object);
  return { ...runAnalysis(objects, analyzers, { namespace: undefined, isComplete: true }), faults: problems.length };
};

const good = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: good, namespace: a }
spec: { hosts: [x.com], http: [{ route: [{ destination: { host: x.com, subset: none } }] }] }
`;

describe("bad input", () => {
  const million = "x".repeat(1_000_000);
  test.each<readonly [string, string]>([
    ["a million characters in a host", good.replace("x.com,", `${million},`).replace("name: good", "name: bad")],
    [
      "a million characters in a regular expression",
      good
        .replace("http: [{", `http: [{ match: [{ uri: { regex: "(${million})" } }],`)
        .replace("name: good", "name: bad"),
    ],
    [
      "a million characters in a field's name",
      good.replace("spec: {", `spec: { ${million}: 1,`).replace("name: good", "name: bad"),
    ],
    [
      "a million characters in a duration",
      good.replace("http: [{", `http: [{ timeout: "${"1h".repeat(500_000)}",`).replace("name: good", "name: bad"),
    ],
    ["lists in lists", `a: ${"[".repeat(20_000)}`],
    ["lists in lists that end", `a: ${"[".repeat(20_000)}${"]".repeat(20_000)}`],
    ["maps in maps", `${"{a: ".repeat(20_000)}1${"}".repeat(20_000)}`],
    ["maps in maps by indentation", Array.from({ length: 3000 }, (_, at) => `${" ".repeat(at)}a:`).join("\n")],
    [
      "a bomb of aliases",
      `a: &a [x, x, x, x, x, x, x, x, x]\n${Array.from({ length: 10 }, (_, at) => `b${at}: &b${at} [${Array.from({ length: 9 }, () => (at === 0 ? "*a" : `*b${at - 1}`)).join(", ")}]`).join("\n")}`,
    ],
    ["a key twice", good.replace("kind: ", "kind: Gateway\nkind: ").replace("name: good", "name: bad")],
    ["an alias to itself", "apiVersion: v1\nkind: A\nmetadata: &m { name: a, labels: *m }"],
    ["bytes", "\u0000\u0001\u0002 \uFFFD \uD800"],
    [
      "names of Object's own",
      good
        .replace("spec: {", "spec: { __proto__: { hosts: [a] }, constructor: 1, toString: 2,")
        .replace("name: good", "name: bad"),
    ],
  ])(
    "%s: an answer, and the others count",
    (_, text) => {
      const { messages } = analyzed(`${text}\n---\n${good}`);
      expect(messages.some(({ origin }) => origin === "VirtualService a/good")).toBe(true);
    },
    20_000,
  );

  test("delegates in a circle", () => {
    const delegate = (name: string, to: string): string =>
      `apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: ${name}, namespace: a }\nspec: { hosts: ${name === "root" ? "[x.com]" : "[]"}, http: [{ match: [{ uri: { prefix: / } }], delegate: { name: ${to}, namespace: a } }] }\n`;
    const { messages } = analyzed([delegate("root", "b"), delegate("b", "c"), delegate("c", "b")].join("---\n"));
    expect(messages.map(({ type }) => type.code)).toEqual(["IST0106", "IST0106"]);
  });

  test("many objects, many hosts, many rules", () => {
    const one = (at: number): string =>
      [
        `apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: v${at}, namespace: a }\nspec: { hosts: [h${at}.com], http: [{ route: [{ destination: { host: s${at}, subset: v1 } }] }] }`,
        `apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: { name: d${at}, namespace: a }\nspec: { host: s${at}, subsets: [{ name: v1, labels: { app: s${at} } }] }`,
        `apiVersion: v1\nkind: Service\nmetadata: { name: s${at}, namespace: a }\nspec: { selector: { app: s${at} }, ports: [{ name: http, port: 80 }] }`,
        `apiVersion: v1\nkind: Pod\nmetadata: { name: p${at}, namespace: a, labels: { app: s${at} } }\nspec: { containers: [{ name: istio-proxy, image: x }] }`,
        `apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: { name: g${at}, namespace: a }\nspec: { selector: { istio: ingressgateway }, servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: [h${at}.com] }] }`,
      ].join("\n---\n");
    const { messages } = analyzed(Array.from({ length: 1000 }, (_, at) => one(at)).join("\n---\n"));
    expect(messages).toEqual([]);
  }, 60_000);

  test("one object with twenty thousand hosts and ten thousand rules", () => {
    const hosts = Array.from({ length: 20_000 }, (_, at) => `h${at}.com`);
    const http = Array.from({ length: 10_000 }, (_, at) => ({
      match: [{ uri: { prefix: `/${at}/` } }],
      route: [{ destination: { host: "x.com" } }],
    }));
    const object = {
      apiVersion: "networking.istio.io/v1",
      kind: "VirtualService",
      metadata: { name: "v" },
      spec: { hosts, http },
    };
    expect(analyzed(JSON.stringify(object), "f.json").faults).toBe(0);
  }, 60_000);
});

/** Any value, mostly of the right shape. */
function valueOf(schema: CrdSchema, depth = 0): fc.Arbitrary<unknown> {
  const wrong = fc.anything({ maxDepth: 1, withNullPrototype: false });
  const right = rightValueOf(typeof schema === "string" ? { type: schema } : schema, depth);
  return fc.oneof({ weight: 12, arbitrary: right }, { weight: 1, arbitrary: wrong });
}

function rightValueOf(schema: Exclude<CrdSchema, string>, depth: number): fc.Arbitrary<unknown> {
  switch (schema.type) {
    case "object": {
      const fields = Object.entries(schema.fields).filter(() => depth < 7);
      const model = Object.fromEntries(fields.map(([name, field]) => [name, valueOf(field, depth + 1)]));
      return fc.record(model, { requiredKeys: [] }) as fc.Arbitrary<unknown>;
    }
    case "map":
      return fc.dictionary(fc.string({ maxLength: 5 }), valueOf(schema.values, depth + 1), { maxKeys: 2 });
    case "list":
      return fc.array(valueOf(schema.items, depth + 1), { maxLength: 3 });
    case "any":
      return fc.jsonValue({ maxDepth: 3 });
    case "boolean":
      return fc.boolean();
    case "integer":
      return fc.oneof(fc.integer({ min: -1, max: 70_000 }), fc.maxSafeInteger());
    case "number":
      return fc.double();
    case "string":
      return schema.enum === undefined
        ? fc.oneof(fc.string(), fc.constantFrom("5s", "*", "", "a.com", "10.0.0.0/8", "HTTP", "unix:///a", "a/b", "("))
        : fc.constantFrom(...schema.enum);
  }
}

describe("an object of any kind", () => {
  test.each(crds.map((crd) => [crd.kind, crd] as const))("%s of any content has an answer", (kind, crd) => {
    fc.assert(
      fc.property(valueOf(crd.spec), (spec) => {
        const object = { apiVersion: `${crd.group}/${crd.storage}`, kind, metadata: { name: "x" }, spec };
        const text = JSON.stringify(object, (_, item: unknown) => (typeof item === "bigint" ? String(item) : item));
        const { messages, faults } = analyzed(`${text}\n---\n${good}`, "f.json");
        expect(faults + messages.length).toBeGreaterThan(0);
        expect(messages.some(({ origin }) => origin === "VirtualService a/good")).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  test("text of any kind has an answer", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({ unit: "binary" }), fc.json()), (text) => {
        analyzed(text);
      }),
      { numRuns: 300 },
    );
  });
});
