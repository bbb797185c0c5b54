import { describe, expect, test } from "vitest";
import { createWorld, type World } from "../testing/world.ts";

function dnsCluster(type: string, extra: object = {}): object {
  const socketAddress = { address: "shop.test", portValue: 80 };
  return {
    name: "c",
    type,
    dnsRefreshRate: "5s",
    loadAssignment: { clusterName: "c", endpoints: [{ lbEndpoints: [{ endpoint: { address: { socketAddress } } }] }] },
    ...extra,
  };
}

function resolvesTo(world: World, ...addresses: string[]): void {
  world.runtime.world.names.set(
    "shop.test",
    addresses.map((address) => ({ address, family: address.includes(":") ? (6 as const) : (4 as const) })),
  );
}

function addresses(world: World): string[] {
  return [...world.cluster("c").hosts()].map((host) => host.addressText);
}

describe("STRICT_DNS", () => {
  test("L-27: every address is a host; the name is resolved anew after dns_refresh_rate", async () => {
    const world = createWorld();
    resolvesTo(world, "10.0.0.1", "10.0.0.2");
    expect(world.add(dnsCluster("STRICT_DNS"))).toEqual([]);
    expect(world.manager.get("c")).toBeUndefined();
    await world.runtime.settle();
    expect(addresses(world)).toEqual(["10.0.0.1:80", "10.0.0.2:80"]);
    expect([...world.cluster("c").hosts()][0]?.hostname).toBe("shop.test");
    resolvesTo(world, "10.0.0.2", "10.0.0.3");
    await world.runtime.advance(4900);
    expect(addresses(world)).toEqual(["10.0.0.1:80", "10.0.0.2:80"]);
    await world.runtime.advance(200);
    expect(addresses(world)).toEqual(["10.0.0.2:80", "10.0.0.3:80"]);
    expect(world.counter("cluster.c.update_success")).toBe(2);
  });

  test("L-27: a failure keeps the hosts and is tried again at the failure rate", async () => {
    const world = createWorld();
    resolvesTo(world, "10.0.0.1");
    world.add(dnsCluster("STRICT_DNS", { dnsFailureRefreshRate: { baseInterval: "1s", maxInterval: "2s" } }));
    await world.runtime.settle();
    world.runtime.world.names.set("shop.test", new Error("SERVFAIL"));
    await world.runtime.advance(5100);
    expect(addresses(world)).toEqual(["10.0.0.1:80"]);
    expect(world.counter("cluster.c.update_failure")).toBe(1);
    await world.runtime.advance(1000);
    expect(world.counter("cluster.c.update_failure")).toBe(2);
    resolvesTo(world, "10.0.0.9");
    await world.runtime.advance(2000);
    expect(addresses(world)).toEqual(["10.0.0.9:80"]);
  });

  test("X-57: a name that can't be resolved does not hold the cluster back", async () => {
    const world = createWorld();
    world.add(dnsCluster("STRICT_DNS"));
    await world.runtime.settle();
    expect(addresses(world)).toEqual([]);
  });

  test("L-27: respect_dns_ttl refreshes when the answer runs out", async () => {
    const world = createWorld();
    world.runtime.world.names.set("shop.test", [{ address: "10.0.0.1", family: 4, ttlSeconds: 2 }]);
    world.add(dnsCluster("STRICT_DNS", { respectDnsTtl: true, dnsRefreshRate: "60s" }));
    await world.runtime.settle();
    resolvesTo(world, "10.0.0.2");
    await world.runtime.advance(2100);
    expect(addresses(world)).toEqual(["10.0.0.2:80"]);
  });

  test.each([
    ["AUTO", ["[2001:db8::1]:80"]],
    ["V4_PREFERRED", ["10.0.0.1:80"]],
    ["V4_ONLY", ["10.0.0.1:80"]],
    ["V6_ONLY", ["[2001:db8::1]:80"]],
    ["ALL", ["10.0.0.1:80", "[2001:db8::1]:80"]],
  ])("dns_lookup_family %s", async (dnsLookupFamily, expected) => {
    const world = createWorld();
    resolvesTo(world, "10.0.0.1", "2001:db8::1");
    world.add(dnsCluster("STRICT_DNS", { dnsLookupFamily }));
    await world.runtime.settle();
    expect(addresses(world)).toEqual(expected);
  });

  test("a removed cluster asks no more", async () => {
    const world = createWorld();
    resolvesTo(world, "10.0.0.1");
    world.add(dnsCluster("STRICT_DNS"));
    await world.runtime.settle();
    const attempts = world.cluster("c").membership.updateAttempt;
    world.manager.remove("c");
    await world.runtime.advance(20_000);
    expect(attempts.value).toBe(1);
  });
});

describe("LOGICAL_DNS", () => {
  test("L-27: only the first address counts", async () => {
    const world = createWorld();
    resolvesTo(world, "10.0.0.2", "10.0.0.1");
    expect(world.add(dnsCluster("LOGICAL_DNS"))).toEqual([]);
    await world.runtime.settle();
    expect(addresses(world)).toEqual(["10.0.0.2:80"]);
  });
});
