import { describe, expect, test } from "vitest";
import { formatProblem } from "#lib/problem.ts";
import type { MeshIndex } from "../model/mesh-index.ts";
import { validateObject } from "../validate/validate-object.ts";
import { createMemorySource } from "./memory-source.ts";
import { createConfigStore } from "./store.ts";

const rule = (name: string, host: string, extra = ""): string =>
  `apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: { name: ${name} }\nspec:\n  host: ${host}\n${extra}---\n`;

async function stored(files: Readonly<Record<string, string>>) {
  const source = createMemorySource(files);
  const changes: MeshIndex[] = [];
  const store = createConfigStore({
    sources: [source],
    validate: validateObject,
    onChange: (mesh) => changes.push(mesh),
  });
  await store.start();
  const hosts = (): readonly string[] =>
    store.mesh
      .objects<{ readonly host: string }>("DestinationRule")
      .map(({ metadata, spec }) => `${metadata.name}=${spec.host}`);
  const said = (): string => store.mesh.problems.map(formatProblem).join("\n");
  return { source, store, hosts, said, changes };
}

describe("the config store", () => {
  test("a changed file is a new mesh", async () => {
    const { source, hosts, changes } = await stored({ "a.yaml": rule("a", "one") });
    source.set("a.yaml", rule("a", "two"));
    expect(hosts()).toEqual(["a=two"]);
    expect(changes).toHaveLength(1);
    source.set("a.yaml", undefined);
    expect(hosts()).toEqual([]);
  });

  test("a file that is no YAML any more keeps its last good objects in force", async () => {
    const { source, hosts, said } = await stored({
      "a.yaml": rule("a", "one") + rule("b", "one"),
      "c.yaml": rule("c", "one"),
    });
    source.set("a.yaml", `${rule("a", "two")}kind: [\n`);
    expect(hosts()).toEqual(["a=one", "b=one", "c=one"]);
    expect(said()).toMatch(/a\.yaml:8:/);
    source.set("a.yaml", rule("a", "three"));
    expect(hosts()).toEqual(["a=three", "c=one"]);
    expect(said()).toBe("");
  });

  test("a file that was never whole gives what could be read of it", async () => {
    const { hosts, said } = await stored({ "a.yaml": `kind: [\n---\n${rule("a", "one")}` });
    expect(hosts()).toEqual(["a=one"]);
    expect(said()).toMatch(/a\.yaml:/);
  });

  test("113: a refused object keeps its last version, and takes no other down with it", async () => {
    const { source, hosts, said } = await stored({ "a.yaml": rule("a", "one") + rule("b", "one") });
    source.set("a.yaml", rule("a", "two", "  subset: []\n") + rule("b", "two"));
    expect(hosts()).toEqual(["a=one", "b=two"]);
    expect(said()).toMatch(
      /a\.yaml:6:3: DestinationRule default\/a spec\.subset: unknown field subset; did you mean subsets\?/,
    );
    source.set("a.yaml", rule("b", "two"));
    expect(hosts()).toEqual(["b=two"]);
  });

  test("a policy that was never accepted stays as a refused one", async () => {
    const policy = (rest: string): string =>
      `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: a }\nspec: { ${rest} }\n`;
    const { source, store } = await stored({ "a.yaml": policy("action: DENY") });
    const names = (kind: string): readonly string[] => store.mesh.objects(kind).map(({ metadata }) => metadata.name);
    expect([names("AuthorizationPolicy"), names("RefusedAuthorizationPolicy")]).toEqual([[], ["a"]]);
    source.set("a.yaml", policy("action: DENY, rules: [{}]"));
    expect([names("AuthorizationPolicy"), names("RefusedAuthorizationPolicy")]).toEqual([["a"], []]);
    source.set("a.yaml", policy("action: DENY"));
    expect([names("AuthorizationPolicy"), names("RefusedAuthorizationPolicy")]).toEqual([["a"], []]);
  });

  test("of two objects with one name the later counts, and both places are said", async () => {
    const { hosts, said } = await stored({ "a.yaml": rule("a", "one"), "b.yaml": rule("a", "two") });
    expect(hosts()).toEqual(["a=two"]);
    expect(said()).toMatch(/b\.yaml:3:\d+: DestinationRule default\/a .*a\.yaml:1 and at b\.yaml:1; the latter counts/);
  });

  test("versions of one kind are one object", async () => {
    const { hosts } = await stored({ "a.yaml": rule("a", "one") + rule("a", "two").replace("/v1\n", "/v1alpha3\n") });
    expect(hosts()).toEqual(["a=two"]);
  });

  test("mesh configuration: ConfigMap over IstioOperator; an error keeps what was good", async () => {
    const operator =
      "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nspec:\n  meshConfig: { accessLogFile: /dev/stdout, enableTracing: false }\n";
    const map = (text: string): string =>
      `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: istio, namespace: istio-system }\ndata:\n  mesh: |\n    ${text}\n`;
    const { source, store, said } = await stored({ "operator.yaml": operator, "map.yaml": map("connectTimeout: 3s") });
    expect(store.mesh.meshConfig).toMatchObject({
      accessLogFile: "/dev/stdout",
      enableTracing: false,
      connectTimeoutMs: 3000,
    });
    source.set("map.yaml", map("connectTimeout: soon"));
    expect(store.mesh.meshConfig.connectTimeoutMs).toBe(3000);
    expect(said()).toMatch(/map\.yaml:6:1: .*connectTimeout: must be a duration/);
    source.set("map.yaml", map("conectTimeout: 1s"));
    expect(said()).toMatch(/no field conectTimeout.*did you mean connectTimeout\?/);
    expect(store.mesh.meshConfig.connectTimeoutMs).toBe(10_000);
  });
});
