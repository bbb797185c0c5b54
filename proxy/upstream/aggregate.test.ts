import { describe, expect, test } from "vitest";
import { createWorld, endpointsOf, request, staticCluster, TestServer, type World } from "./testing/world.ts";

const aggregate = (name: string, ...clusters: string[]): object => ({
  name,
  lbPolicy: "CLUSTER_PROVIDED",
  clusterType: {
    name: "envoy.clusters.aggregate",
    typedConfig: { "@type": "type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig", clusters },
  },
});
const eds = (name: string): object => ({ name, type: "EDS", edsClusterConfig: { edsConfig: { ads: {} } } });
const answer = (world: World, name: string, addresses: readonly string[], healthStatus = "HEALTHY"): unknown =>
  world.xds.answer(name, {
    endpoints: [{ lbEndpoints: endpointsOf(...addresses).map((one) => ({ ...one, healthStatus })) }],
  });

function chosen(world: World, name = "all", count = 50): Set<string | undefined> {
  const seen = new Set<string | undefined>();
  for (let i = 0; i < count; i++) seen.add(world.cluster(name).chooseHost({})?.addressText);
  return seen;
}

describe("envoy.clusters.aggregate", () => {
  test("L-25: the first cluster is used while it is healthy, then the next", () => {
    const world = createWorld();
    expect(world.add(aggregate("all", "a", "b"))).toEqual([]);
    expect([...chosen(world)]).toEqual([undefined]);
    world.add(eds("a"));
    world.add(eds("b"));
    answer(world, "a", ["10.0.0.1:80"]);
    answer(world, "b", ["10.0.1.1:80"]);
    expect([...chosen(world)]).toEqual(["10.0.0.1:80"]);
    answer(world, "a", ["10.0.0.1:80"], "UNHEALTHY");
    expect([...chosen(world)]).toEqual(["10.0.1.1:80"]);
    answer(world, "a", []);
    expect([...chosen(world)]).toEqual(["10.0.1.1:80"]);
    world.manager.remove("b");
    expect([...chosen(world)]).toEqual([undefined]);
  });

  test("with half of the first cluster ill, load spills over by the factor of 1.4", () => {
    const world = createWorld();
    world.add(aggregate("all", "a", "b"));
    world.add(eds("a"));
    world.add(staticCluster("b", ["10.0.1.1:80"]));
    const [sick] = endpointsOf("10.0.0.2:80");
    world.xds.answer("a", {
      endpoints: [{ lbEndpoints: [...endpointsOf("10.0.0.1:80"), { ...sick, healthStatus: "UNHEALTHY" }] }],
    });
    let second = 0;
    for (let i = 0; i < 2000; i++) if (world.cluster("all").chooseHost({})?.addressText === "10.0.1.1:80") second++;
    expect(second / 2000).toBeCloseTo(0.3, 1);
  });

  test("priorities of a cluster stay in their order", () => {
    const world = createWorld();
    world.add(aggregate("all", "a", "b"));
    world.add(eds("a"));
    world.add(staticCluster("b", ["10.0.9.1:80"]));
    const level = (priority: number, address: string, healthStatus: string): object => ({
      priority,
      lbEndpoints: endpointsOf(address).map((one) => ({ ...one, healthStatus })),
    });
    world.xds.answer("a", { endpoints: [level(0, "10.0.0.1:80", "UNHEALTHY"), level(1, "10.0.1.1:80", "HEALTHY")] });
    expect([...chosen(world)]).toEqual(["10.0.1.1:80"]);
    world.xds.answer("a", { endpoints: [level(0, "10.0.0.1:80", "UNHEALTHY"), level(1, "10.0.1.1:80", "UNHEALTHY")] });
    expect([...chosen(world)]).toEqual(["10.0.9.1:80"]);
  });

  test("connections are those of the chosen cluster, and it says what is spoken", async () => {
    const world = createWorld();
    const server = await TestServer.listen(world.runtime, "10.0.0.1", 80);
    world.add(staticCluster("a", ["10.0.0.1:80"]));
    world.add(aggregate("all", "a"));
    expect(world.cluster("all").upstreamProtocol("HTTP/2")).toBe("http2");
    const sent = request(world.cluster("all"), { priority: "default", protocol: "http2" });
    await world.runtime.settle();
    expect(sent.status).toBe(200);
    expect(server.requests[0]).toContain("HTTP/1.1");
    expect(world.counter("cluster.a.upstream_cx_total")).toBe(1);
  });

  test("an aggregate within an aggregate counts as empty", () => {
    const world = createWorld();
    world.add(aggregate("x", "y"));
    world.add(aggregate("y", "x"));
    expect([...chosen(world, "x", 3)]).toEqual([undefined]);
  });

  test("it needs CLUSTER_PROVIDED; other custom types are refused by name", () => {
    const world = createWorld();
    expect(world.add({ ...aggregate("x", "y"), lbPolicy: "RANDOM" })[0]?.message).toContain("CLUSTER_PROVIDED");
    expect(
      world.add({ name: "r", clusterType: { name: "envoy.clusters.redis" }, lbPolicy: "CLUSTER_PROVIDED" })[0]?.message,
    ).toContain("envoy.clusters.redis are not supported");
  });
});
