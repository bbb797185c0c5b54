import { describe, expect, test } from "vitest";
import { formatProblem } from "#lib/problem.ts";
import { parseManifests } from "./parse-manifests.ts";

const lines = (text: string): readonly string[] => parseManifests(text, "f.yaml").problems.map(formatProblem);

describe("parseManifests", () => {
  test("reads every document of a file, and keeps the place of each field", () => {
    const { objects, problems, isMalformed } = parseManifests(
      `# comment
apiVersion: v1
kind: Service
metadata:
  name: a
---
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: b, namespace: shop }
spec:
  hosts: [b]
  http:
    - match:
        - headers:
            x-user: { exact: ann }
      route:
        - destination: { host: b }
          weight: 3
`,
      "f.yaml",
    );
    expect([problems, isMalformed]).toEqual([[], false]);
    expect(objects.map(({ kind, metadata }) => `${kind} ${metadata.namespace}/${metadata.name}`)).toEqual([
      "Service default/a",
      "VirtualService shop/b",
    ]);
    const source = objects[1]?.source;
    expect(source?.location).toEqual({ file: "f.yaml", line: 8, column: 1 });
    expect(source?.locate("spec.http[0].route[0].weight")).toEqual({ file: "f.yaml", line: 19, column: 11 });
    expect(source?.locate('spec.http[0].match[0].headers["x-user"].exact')).toMatchObject({ line: 16, column: 23 });
    expect(source?.locate("spec.http[0].timeout")).toMatchObject({ line: 14 });
    expect(source?.locate("spec.http[7].timeout")).toMatchObject({ line: 13 });
    expect(source?.locate("metadata.labels.app")).toMatchObject({ line: 10 });
  });

  test("a key with dots in it has its place, too", () => {
    const { objects } = parseManifests(
      "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  labels:\n    app.kubernetes.io/name: web\n",
      "f.yaml",
    );
    expect(objects[0]?.source.locate("metadata.labels.app.kubernetes.io/name")).toMatchObject({ line: 6, column: 5 });
  });

  test("a malformed document is a problem with its place, and loses none of the others", () => {
    const text = `apiVersion: v1\nkind: Service\nmetadata: { name: a }\n---\nkind: [\n---\napiVersion: v1\nkind: Service\nmetadata: { name: c }\n`;
    const { objects, problems, isMalformed } = parseManifests(text, "f.yaml");
    expect(objects.map(({ metadata }) => metadata.name)).toEqual(["a", "c"]);
    expect(isMalformed).toBe(true);
    expect(problems.map(formatProblem).join("\n")).toMatch(/^f\.yaml:[56]:\d+: .*brackets/);
  });

  test.each([
    ["a key written twice", "apiVersion: v1\nkind: A\nkind: B\n", /f\.yaml:3:1: .*unique.*Keep one/],
    ["a tab as indentation", "a:\n\tb: 1\n", /f\.yaml:2:1: .*[Tt]abs.*spaces/],
    ["text with a colon", "a: b: c\n", /f\.yaml:1:\d+: .*quotes/],
    ["an alias without its anchor", "apiVersion: v1\nkind: *none\n", /f\.yaml:1:1: .*none/],
    [
      "an alias to itself",
      "apiVersion: v1\nkind: A\nmetadata: &m { name: a, labels: *m }\n",
      /itself; write the value out/,
    ],
    [
      "nothing but text",
      "hello\n",
      /f\.yaml:1:1: expected a map with apiVersion, kind and metadata, found the string "hello"/,
    ],
    ["a list", "- a\n", /found a list/],
    ["no kind", "apiVersion: v1\nmetadata: { name: a }\n", /kind is missing.*kind: VirtualService/],
    ["no apiVersion", "kind: Service\nmetadata: { name: a }\n", /apiVersion is missing/],
    [
      "no name",
      "apiVersion: v1\nkind: Service\nmetadata: {}\n",
      /f\.yaml:3:\d+: Service metadata\.name: .*non-empty string, found nothing/,
    ],
    ["a bad name", "apiVersion: v1\nkind: Service\nmetadata: { name: A_b }\n", /"A_b" is no name.*a-z/],
    [
      "a label that is a number",
      "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  labels:\n    version: 1\n",
      /f\.yaml:6:5: .*must be a string, found a number \(1\): put it in quotes/,
    ],
    ["a time that is none", "apiVersion: v1\nkind: Pod\nmetadata: { name: a, creationTimestamp: soon }\n", /RFC 3339/],
  ])("%s is refused with its place and the way out", (_, text, expected) => {
    const { problems, isMalformed } = parseManifests(text, "f.yaml");
    expect(problems.map(formatProblem).join("\n")).toMatch(expected);
    expect(isMalformed).toBe(true);
  });

  test("a bomb of aliases is refused at once", () => {
    let text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
    for (let level = 1; level < 12; level += 1) {
      text += `a${level}: &a${level} [${Array.from({ length: 10 }, () => `*a${level - 1}`).join(", ")}]\n`;
    }
    expect(lines(text).join()).toMatch(/aliases repeat their content/);
  });

  test("nesting without end is refused", () => {
    expect(lines(`a: ${"[".repeat(50_000)}`).join()).not.toBe("");
  });

  test("YAML that is no Kubernetes object is passed over, with a word", () => {
    const { objects, problems, isMalformed } = parseManifests("services: { web: { image: x } }\n", "compose.yaml");
    expect([objects, isMalformed]).toEqual([[], false]);
    expect(problems).toMatchObject([{ level: "warning", code: "not-an-object" }]);
  });

  test("JSON, with tabs, and lists of objects are taken apart", () => {
    const item = (name: string): unknown => ({ apiVersion: "v1", kind: "Service", metadata: { name } });
    const list = {
      apiVersion: "v1",
      kind: "List",
      items: [item("a"), { kind: "ServiceList", apiVersion: "v1", items: [item("b")] }],
    };
    const { objects, problems } = parseManifests(JSON.stringify(list, undefined, "\t"), "f.json");
    expect(problems).toEqual([]);
    expect(objects.map(({ metadata, source }) => [metadata.name, source.location.line])).toEqual([
      ["a", 5],
      ["b", 16],
    ]);
    expect(objects[1]?.source.locate("metadata.name").line).toBe(20);
  });

  test("null is absent, and the words of YAML 1.1 are booleans, as Kubernetes reads them", () => {
    const { objects } = parseManifests(
      "apiVersion: v1\nkind: A\nmetadata: { name: a }\nspec: { fault: null, on1: yes, off1: Off, text: 'yes', list: [{ x: null }] }\n",
      "f",
    );
    expect(objects[0]?.spec).toEqual({ on1: true, off1: false, text: "yes", list: [{}] });
  });

  test("cluster-scoped kinds have no namespace, others are in default", () => {
    const { objects } = parseManifests(
      "{apiVersion: v1, kind: Node, metadata: {name: n}}\n---\n{apiVersion: v1, kind: Pod, metadata: {name: p}}\n",
      "f",
    );
    expect(objects.map(({ metadata }) => metadata.namespace)).toEqual(["", "default"]);
  });

  test("a key named __proto__ is a key", () => {
    const { objects } = parseManifests(
      "apiVersion: v1\nkind: A\nmetadata: { name: a, labels: { __proto__: x } }\n",
      "f",
    );
    expect(Object.keys(objects[0]?.metadata.labels ?? {})).toEqual(["__proto__"]);
    expect(Object.getPrototypeOf(objects[0]?.metadata.labels)).toBe(Object.prototype);
  });
});
