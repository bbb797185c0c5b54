import { describe, expect, test } from "vitest";
import { simulatedRandom } from "#lib/simulated-random.ts";
import { buildHostSet, type HostSet } from "../host-set.ts";
import { hostAt } from "../testing/hosts.ts";
import { createWorld, endpointsOf, type World } from "../testing/world.ts";
import { pickZone, planZones, zoneAwareDefaults, type ZonePlan } from "./zone-aware.ts";

const zone = (name: string) => ({ region: "", zone: name, subZone: "" });

/** Healthy hosts by zone: `[3, 1]` are three in z1, one in z2. */
function hostsIn(...counts: number[]): HostSet {
  const hosts = counts.flatMap((count, z) =>
    Array.from({ length: count }, (_value, i) => hostAt(`10.0.${z}.${i}:80`, { locality: zone(`z${z + 1}`) })),
  );
  return buildHostSet(0, hosts, new Map());
}

const plan = (upstream: HostSet, local: HostSet, config = {}): ZonePlan =>
  planZones(upstream, local, zone("z1"), { ...zoneAwareDefaults, minClusterSize: 1, ...config });

describe("zone aware routing", () => {
  test("L-13: all stays in the zone when its share of the upstream is at least its share of the callers", () => {
    expect(plan(hostsIn(5, 5), hostsIn(1, 1)).kind).toBe("direct");
    expect(plan(hostsIn(6, 4), hostsIn(1, 1)).kind).toBe("direct");
  });

  test("L-13: otherwise the part that fits, the rest by the room that other zones have", () => {
    expect(plan(hostsIn(2, 4, 4), hostsIn(2, 1, 1))).toMatchObject({
      kind: "residual",
      localShare: 4000,
      residual: [1500, 3000],
    });
  });

  test.each<[string, ZonePlan, string | undefined]>([
    ["one locality", plan(hostsIn(6), hostsIn(1, 1)), undefined],
    ["too few hosts", plan(hostsIn(2, 3), hostsIn(1, 1), { minClusterSize: 6 }), "lb_zone_cluster_too_small"],
    ["no host in the proxy's zone", plan(hostsIn(0, 3, 3), hostsIn(1, 1)), "lb_local_cluster_not_ok"],
    ["an empty local cluster", plan(hostsIn(3, 3), hostsIn()), "lb_local_cluster_not_ok"],
  ])("%s: no zone aware routing", (_name, made, reason) => {
    expect(made).toEqual(reason === undefined ? { kind: "none" } : { kind: "none", reason });
  });

  test("force_locality_direct_routing keeps all in the zone", () => {
    expect(plan(hostsIn(1, 9), hostsIn(1, 1), { forcesDirect: true }).kind).toBe("direct");
  });

  test("callers of all zones together load each host alike, whatever the shares are", () => {
    const random = simulatedRandom(7);
    for (let round = 0; round < 20; round++) {
      const counts = [1, 2, 3].map(() => 1 + (random.uint32() % 6));
      const callers = [1, 2, 3].map(() => 1 + (random.uint32() % 6));
      const upstream = hostsIn(...counts);
      const local = hostsIn(...callers);
      const perZone = [0, 0, 0];
      const requests = 6000;
      const total = callers.reduce((a, b) => a + b, 0);
      for (const [index, count] of callers.entries()) {
        const made = planZones(upstream, local, zone(`z${index + 1}`), { ...zoneAwareDefaults, minClusterSize: 1 });
        if (made.kind === "none") throw new Error("no plan");
        for (let i = 0; i < (requests * count) / total; i++) {
          const { locality } = pickZone(made, random, () => {});
          const at = Number(locality.zone.slice(1)) - 1;
          perZone[at] = (perZone[at] ?? 0) + 1;
        }
      }
      const hosts = counts.reduce((a, b) => a + b, 0);
      for (const [index, count] of counts.entries())
        expect((perZone[index] ?? 0) / requests).toBeCloseTo(count / hosts, 1);
    }
  });
});

describe("cluster_manager.local_cluster_name", () => {
  const cluster = (name: string, extra: object = {}): object => ({
    name,
    type: "EDS",
    edsClusterConfig: { edsConfig: { ads: {} } },
    ...extra,
  });
  const localities = (zones: Readonly<Record<string, readonly string[]>>): object => ({
    endpoints: Object.entries(zones).map(([name, addresses]) => ({
      locality: { zone: name },
      lbEndpoints: endpointsOf(...addresses),
    })),
  });
  const six = { z1: ["10.0.1.1:80", "10.0.1.2:80", "10.0.1.3:80"], z2: ["10.0.2.1:80", "10.0.2.2:80", "10.0.2.3:80"] };

  function setUp(extra: object = {}): World {
    const world = createWorld(3, "me");
    world.add(cluster("me"));
    world.xds.answer("me", localities({ z1: ["10.1.1.1:80"], z2: ["10.1.2.1:80"] }));
    expect(world.add(cluster("c", extra))).toEqual([]);
    world.xds.answer("c", localities(six));
    return world;
  }
  const zones = (world: World, count = 40): Set<string> => {
    const seen = new Set<string>();
    for (let i = 0; i < count; i++) seen.add(world.cluster("c").chooseHost({})?.locality.zone ?? "none");
    return seen;
  };

  test("traffic stays in the proxy's zone", () => {
    const world = setUp();
    expect([...zones(world)]).toEqual(["z1"]);
    expect(world.counter("cluster.c.lb_zone_routing_all_directly")).toBe(40);
  });

  test("a change of the local cluster is heeded at once", () => {
    const world = setUp();
    world.xds.answer("me", localities({ z1: ["10.1.1.1:80", "10.1.1.2:80", "10.1.1.3:80"], z2: ["10.1.2.1:80"] }));
    expect([...zones(world)].toSorted()).toEqual(["z1", "z2"]);
    expect(world.counter("cluster.c.lb_zone_routing_sampled")).toBeGreaterThan(20);
    expect(world.counter("cluster.c.lb_zone_routing_cross_zone")).toBeGreaterThan(2);
  });

  test("routing_enabled: 0, or locality weights, switch it off", () => {
    for (const commonLbConfig of [
      { zoneAwareLbConfig: { routingEnabled: {} } },
      { zoneAwareLbConfig: { minClusterSize: 7 } },
    ])
      expect([...zones(setUp({ commonLbConfig }))].toSorted()).toEqual(["z1", "z2"]);
    expect(
      setUp({ commonLbConfig: { localityWeightedLbConfig: {} } }).counter("cluster.c.lb_recalculate_zone_structures"),
    ).toBe(0);
  });

  test("the typed policies have the same settings", () => {
    const typedConfig = {
      "@type": "type.googleapis.com/envoy.extensions.load_balancing_policies.random.v3.Random",
      localityLbConfig: { zoneAwareLbConfig: { minClusterSize: 2 } },
    };
    const world = setUp({ loadBalancingPolicy: { policies: [{ typedExtensionConfig: { name: "r", typedConfig } }] } });
    expect([...zones(world)]).toEqual(["z1"]);
  });

  test("a local cluster in panic tells nothing: all hosts are used, or none", () => {
    for (const [failTrafficOnPanic, expected] of [
      [false, ["z1", "z2"]],
      [true, ["none"]],
    ] as const) {
      const world = setUp({ commonLbConfig: { zoneAwareLbConfig: { failTrafficOnPanic } } });
      const sick = endpointsOf("10.1.1.1:80", "10.1.1.2:80", "10.1.1.3:80").map((one) => ({
        ...one,
        healthStatus: "UNHEALTHY",
      }));
      const lbEndpoints = [...sick, ...endpointsOf("10.1.1.4:80")];
      world.xds.answer("me", { endpoints: [{ locality: { zone: "z1" }, lbEndpoints }] });
      expect([...zones(world)].toSorted()).toEqual(expected);
      expect(world.counter("cluster.c.lb_local_cluster_not_ok")).toBeGreaterThan(0);
    }
  });
});
