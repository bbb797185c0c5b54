import { describe, expect, test } from "vitest";
import { createWorld, request, TestRequest, TestServer, type World } from "./testing/world.ts";

const cluster = (cache: object = {}, extra: object = {}): object => ({
  name: "c",
  lbPolicy: "CLUSTER_PROVIDED",
  clusterType: {
    name: "envoy.clusters.dynamic_forward_proxy",
    typedConfig: {
      "@type": "type.googleapis.com/envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig",
      dnsCacheConfig: { name: "cache", ...cache },
    },
  },
  ...extra,
});

function setUp(cache: object = {}): World {
  const world = createWorld();
  world.runtime.world.names.set("a.test", [{ address: "10.0.0.1", family: 4 }]);
  expect(world.add(cluster(cache))).toEqual([]);
  return world;
}

/** What a request for the name is told, once it is known. */
async function prepared(world: World, authority: string): Promise<unknown> {
  const { dynamicHosts } = world.cluster("c");
  let outcome: boolean | undefined;
  const state = dynamicHosts?.prepare(authority, (isThere) => (outcome = isThere));
  await world.runtime.settle();
  return typeof state === "string" ? state : outcome;
}
const chosen = (world: World, authority: string): string | undefined =>
  world.cluster("c").chooseHost({ authority })?.addressText;
const counter = (world: World, name: string): number => world.counter(`dns_cache.cache.${name}`);

describe("envoy.clusters.dynamic_forward_proxy", () => {
  test("a name is resolved when it is first asked for, and kept", async () => {
    const world = setUp();
    expect(chosen(world, "a.test")).toBeUndefined();
    expect(await prepared(world, "a.test")).toBe(true);
    expect(await prepared(world, "a.test:80")).toBe("ready");
    expect(chosen(world, "a.test")).toBe("10.0.0.1:80");
    expect(await prepared(world, "a.test:8080")).toBe(true);
    expect(chosen(world, "a.test:8080")).toBe("10.0.0.1:8080");
    expect(counter(world, "dns_query_success")).toBe(2);
    expect(world.gauge("dns_cache.cache.num_hosts")).toBe(2);
    expect(world.gauge("cluster.c.membership_total")).toBe(2);
  });

  test("requests are carried to it", async () => {
    const world = setUp();
    const server = await TestServer.listen(world.runtime, "10.0.0.1", 80);
    await prepared(world, "a.test");
    const host = world.cluster("c").chooseHost({ authority: "a.test" });
    if (host === undefined) throw new Error("no host");
    const sent = new TestRequest(world.cluster("c"), host);
    await world.runtime.settle();
    expect([sent.status, server.requests.length]).toEqual([200, 1]);
    expect(() => request(world.cluster("c"))).toThrow("no healthy upstream");
  });

  test("an address needs no name server", async () => {
    const world = setUp();
    expect(await prepared(world, "10.9.9.9")).toBe("ready");
    expect(chosen(world, "10.9.9.9")).toBe("10.9.9.9:80");
    expect(await prepared(world, "[fd00::1]:81")).toBe("ready");
    expect(chosen(world, "[fd00::1]:81")).toBe("[fd00::1]:81");
    expect(counter(world, "dns_query_attempt")).toBe(0);
  });

  test.each(["", "a b", "a.test:0", "a.test:70000", "[::1", "a:b:c"])("%j is no name", async (authority) => {
    expect(await prepared(setUp(), authority)).toBe("failed");
  });

  test("a name that can't be resolved fails; it is asked again later", async () => {
    const world = setUp({ dnsFailureRefreshRate: { baseInterval: "2s", maxInterval: "4s" } });
    expect(await prepared(world, "b.test")).toBe(false);
    expect(await prepared(world, "b.test")).toBe("failed");
    world.runtime.world.names.set("b.test", [{ address: "10.0.0.2", family: 4 }]);
    await world.runtime.advance(2001);
    expect(await prepared(world, "b.test")).toBe("ready");
  });

  test("another address replaces the host", async () => {
    const world = setUp();
    await prepared(world, "a.test");
    world.runtime.world.names.set("a.test", [{ address: "10.0.0.7", family: 4 }]);
    await world.runtime.advance(60_001);
    expect(chosen(world, "a.test")).toBe("10.0.0.7:80");
    expect([...world.cluster("c").hosts()].map(({ addressText }) => addressText)).toEqual(["10.0.0.7:80"]);
    expect(counter(world, "host_address_changed")).toBe(2);
  });

  test("host_ttl: a name that nobody wants is forgotten", async () => {
    const world = setUp({ hostTtl: "90s" });
    await prepared(world, "a.test");
    await world.runtime.advance(60_001);
    expect(chosen(world, "a.test")).toBe("10.0.0.1:80");
    await world.runtime.advance(121_000);
    expect(chosen(world, "a.test")).toBeUndefined();
    expect(world.gauge("dns_cache.cache.num_hosts")).toBe(0);
    expect(counter(world, "host_removed")).toBe(1);
  });

  test("max_hosts and the circuit breaker limit what is kept and who waits", async () => {
    const world = setUp({ maxHosts: 1, dnsCacheCircuitBreaker: { maxPendingRequests: 1 } });
    const hosts = world.cluster("c").dynamicHosts;
    const first = hosts?.prepare("a.test", () => {});
    expect(hosts?.prepare("a.test", () => {})).toBe("pending-overflow");
    if (typeof first === "object") first.cancel();
    expect(typeof hosts?.prepare("a.test", () => {})).toBe("object");
    expect(hosts?.prepare("b.test", () => {})).toBe("overflow");
    expect([counter(world, "host_overflow"), counter(world, "dns_rq_pending_overflow")]).toEqual([1, 1]);
  });

  test("names of the configuration are resolved before anybody asks", async () => {
    const world = setUp({ preresolveHostnames: [{ address: "a.test", portValue: 443 }] });
    await world.runtime.settle();
    expect(await prepared(world, "a.test:443")).toBe("ready");
  });

  test("over TLS the certificate must be for the name, unless that is switched off", () => {
    const world = setUp();
    expect(world.cluster("c").httpOptions).toMatchObject({ autoSni: true, autoSanValidation: true });
  });

  test("what it can't do is refused by name", () => {
    const problems = createWorld().add(cluster({ keyValueConfig: { config: { name: "x" } } }));
    expect(problems[0]?.path).toContain("key_value_config");
  });
});
