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

  test("single_host_per_subset: the first host that has the value", () => {
    const world = worldWith({ subsetSelectors: [{ keys: ["version"], singleHostPerSubset: true }] });
    expect(chosen(world, { version: "2" })).toEqual(["10.0.0.2:80"]);
  });

  test("FALLBACK_LIST: the route's list is tried one after the other", () => {
    const world = worldWith({ subsetSelectors, metadataFallbackPolicy: "FALLBACK_LIST" });
    const list = [{ version: "9" }, { version: "2", stage: "dev" }, { version: "1" }];
    expect(chosen(world, { fallback_list: list })).toEqual(["10.0.0.3:80"]);
    expect(chosen(world, { version: "2", fallback_list: [{ stage: "x" }, { stage: "prod" }] })).toEqual([
      "10.0.0.2:80",
    ]);
    expect(chosen(world, { fallback_list: [{ version: "9" }] })).toEqual(["none"]);
    expect(chosen(world, { version: "1" })).toEqual(["10.0.0.1:80"]);
  });

  test.each<[string, object, number]>([
    ["not without locality_weight_aware", {}, 0.8],
    ["as they are with it", { localityWeightAware: true }, 0.5],
    ["scaled to the hosts that are there", { localityWeightAware: true, scaleLocalityWeight: true }, 0.8],
  ])("weights of localities hold within subsets %s", (_name, more, expected) => {
    const world = createWorld();
    const hosts = (zone: string, versions: readonly string[]): object => ({
      locality: { zone },
      loadBalancingWeight: 100,
      lbEndpoints: versions.map((version, index) => ({
        endpoint: { address: { socketAddress: { address: `10.0.${zone}.${index}`, portValue: 80 } } },
        metadata: { filterMetadata: { "envoy.lb": { version } } },
      })),
    });
    world.add({
      name: "c",
      lbSubsetConfig: { subsetSelectors: [{ keys: ["version"] }], ...more },
      commonLbConfig: { localityWeightedLbConfig: {} },
      loadAssignment: {
        clusterName: "c",
        endpoints: [hosts("1", ["a", "a", "a", "a"]), hosts("2", ["a", "b", "b", "b"])],
      },
    });
    let first = 0;
    for (let i = 0; i < 1000; i++)
      if (world.cluster("c").chooseHost({ metadataMatch: { version: "a" } })?.locality.zone === "1") first++;
    expect(first / 1000).toBeCloseTo(expected, 1);
  });

  test("what is not done is refused by name", () => {
    const world = createWorld();
    const cluster = (lbSubsetConfig: object): object => ({ name: "c", lbSubsetConfig });
    expect(world.add(cluster({ subsetSelectors, scaleLocalityWeight: true }))).toMatchObject([
      { code: "invalid-value", path: "lb_subset_config.scale_locality_weight" },
    ]);
    const wrong = { keys: ["a"], fallbackPolicy: "KEYS_SUBSET", fallbackKeysSubset: ["b"] };
    expect(world.add(cluster({ subsetSelectors: [wrong] }))).toMatchObject([{ code: "invalid-value" }]);
  });
});
