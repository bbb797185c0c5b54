import { describe, expect, test } from "vitest";
import { createWorld, type World } from "../testing/world.ts";

const labelled: readonly (readonly [string, object])[] = [
  ["10.0.0.1", { version: "1", stage: "prod" }],
  ["10.0.0.2", { version: "2", stage: "prod" }],
  ["10.0.0.3", { version: "2", stage: "dev" }],
];

function worldWith(lbSubsetConfig: object): World {
  const world = createWorld();
  const lbEndpoints = labelled.map(([address, labels]) => ({
    endpoint: { address: { socketAddress: { address, portValue: 80 } } },
    metadata: { filterMetadata: { "envoy.lb": labels } },
  }));
  const problems = world.add({
    name: "c",
    lbSubsetConfig,
    loadAssignment: { clusterName: "c", endpoints: [{ lbEndpoints }] },
  });
  expect(problems).toEqual([]);
  return world;
}

function chosen(world: World, metadataMatch?: Record<string, unknown>): string[] {
  const cluster = world.cluster("c");
  const found = new Set<string>();
  for (let i = 0; i < 60; i++) found.add(cluster.chooseHost({ metadataMatch })?.addressText ?? "none");
  return [...found].toSorted((a, b) => a.localeCompare(b));
}

describe("subset load balancing", () => {
  const subsetSelectors = [{ keys: ["version", "stage"] }, { keys: ["version"] }];

  test("L-26: the hosts whose labels are those that the route asks for", () => {
    const world = worldWith({ subsetSelectors });
    expect(chosen(world, { version: "2" })).toEqual(["10.0.0.2:80", "10.0.0.3:80"]);
    expect(chosen(world, { stage: "dev", version: "2" })).toEqual(["10.0.0.3:80"]);
    expect(world.gauge("cluster.c.lb_subsets_active")).toBe(5);
    expect(world.counter("cluster.c.lb_subsets_selected")).toBe(120);
  });

  test("L-26: fallback policies, for a subset that is not there and for no question at all", () => {
    expect(chosen(worldWith({ subsetSelectors }), { version: "9" })).toEqual(["none"]);
    expect(chosen(worldWith({ subsetSelectors }))).toEqual(["none"]);
    const any = worldWith({ subsetSelectors, fallbackPolicy: "ANY_ENDPOINT" });
    expect(chosen(any, { version: "9" })).toHaveLength(3);
    expect(any.counter("cluster.c.lb_subsets_fallback")).toBe(60);
    const defaults = worldWith({ subsetSelectors, fallbackPolicy: "DEFAULT_SUBSET", defaultSubset: { stage: "prod" } });
    expect(chosen(defaults, { version: "9" })).toEqual(["10.0.0.1:80", "10.0.0.2:80"]);
    // No selector has these keys.
    expect(chosen(defaults, { stage: "dev" })).toEqual(["10.0.0.1:80", "10.0.0.2:80"]);
  });

  test("L-26: a selector may have a fallback of its own", () => {
    const keysSubset = { keys: ["version", "stage"], fallbackPolicy: "KEYS_SUBSET", fallbackKeysSubset: ["version"] };
    const world = worldWith({ subsetSelectors: [keysSubset, { keys: ["version"] }] });
    expect(chosen(world, { version: "2", stage: "test" })).toEqual(["10.0.0.2:80", "10.0.0.3:80"]);
    expect(chosen(world, { version: "9", stage: "test" })).toEqual(["none"]);
  });

  test("L-26: panic_mode_any takes any host before none", () => {
    const world = worldWith({ subsetSelectors, panicModeAny: true });
    expect(chosen(world, { version: "9" })).toHaveLength(3);
    expect(world.counter("cluster.c.lb_subsets_fallback_panic")).toBe(60);
  });

  test("what is not done is refused by name", () => {
    const world = createWorld();
    const cluster = (lbSubsetConfig: object): object => ({ name: "c", lbSubsetConfig });
    expect(world.add(cluster({ subsetSelectors, scaleLocalityWeight: true }))).toMatchObject([
      { code: "unsupported-field", path: "lb_subset_config.scale_locality_weight" },
    ]);
    const wrong = { keys: ["a"], fallbackPolicy: "KEYS_SUBSET", fallbackKeysSubset: ["b"] };
    expect(world.add(cluster({ subsetSelectors: [wrong] }))).toMatchObject([{ code: "invalid-value" }]);
  });
});
