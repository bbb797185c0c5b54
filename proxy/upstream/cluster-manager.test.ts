import { describe, expect, test } from "vitest";
import { createWorld, endpointsOf, request, staticCluster, TestServer } from "./testing/world.ts";

const eds = (name: string, extra: object = {}): object => ({
  name,
  type: "EDS",
  edsClusterConfig: { edsConfig: { ads: {}, initialFetchTimeout: "0s" } },
  ...extra,
});

describe("cluster manager", () => {
  test("X-57: an EDS cluster is warming until its endpoints are there", () => {
    const world = createWorld();
    expect(world.add(eds("c"))).toEqual([]);
    let isInitialized = false;
    world.manager.onceInitialized(() => (isInitialized = true));
    expect(world.manager.get("c")).toBeUndefined();
    expect(world.manager.all().map(({ name, state }) => [name, state])).toEqual([["c", "warming"]]);
    expect(world.gauge("cluster_manager.warming_clusters")).toBe(1);
    expect(isInitialized).toBe(false);
    expect(world.xds.answer("c", { endpoints: [{ lbEndpoints: endpointsOf("10.0.0.1:80", "10.0.0.2:80") }] })).toEqual(
      [],
    );
    expect(isInitialized).toBe(true);
    expect([...world.cluster("c").hosts()].map((host) => host.addressText)).toEqual(["10.0.0.1:80", "10.0.0.2:80"]);
    expect(world.gauge("cluster_manager.active_clusters")).toBe(1);
    expect(world.gauge("cluster.c.membership_total")).toBe(2);
    expect(world.gauge("cluster.c.membership_healthy")).toBe(2);
  });

  test("X-57: initial_fetch_timeout ends the wait without endpoints", () => {
    const world = createWorld();
    world.add(eds("c"));
    world.xds.watchers.get("c")?.onAbsent("timeout");
    expect(world.cluster("c").chooseHost({})).toBeUndefined();
  });

  test("X-58: a changed cluster waits for new endpoints, the old one serves meanwhile", async () => {
    const world = createWorld();
    await TestServer.listen(world.runtime, "10.0.0.1", 80);
    world.add(eds("c"));
    world.xds.answer("c", { endpoints: [{ lbEndpoints: endpointsOf("10.0.0.1:80") }] });
    const old = world.cluster("c");
    expect(world.add(eds("c", { connectTimeout: "2s" }))).toEqual([]);
    expect(world.counter("cluster_manager.cluster_modified")).toBe(1);
    expect(world.cluster("c")).toBe(old);
    const sent = request(old);
    world.xds.answer("c", { endpoints: [{ lbEndpoints: endpointsOf("10.0.0.1:80") }] });
    expect(world.cluster("c")).not.toBe(old);
    expect(world.cluster("c").connectTimeoutMs).toBe(2000);
    await world.runtime.settle();
    expect(sent.status).toBe(200);
    expect(world.gauge("cluster.c.membership_total")).toBe(1);
  });

  test("X-59: an equal update is ignored, one that differs from the warming cluster replaces it", () => {
    const world = createWorld();
    world.add(staticCluster("c", ["10.0.0.1:80"]));
    const first = world.cluster("c");
    expect(world.add(staticCluster("c", ["10.0.0.1:80"]))).toEqual([]);
    expect(world.cluster("c")).toBe(first);
    expect(world.counter("cluster_manager.cluster_updated")).toBe(1);
    world.add(eds("c"));
    const [, warming] = world.manager.all();
    world.add(eds("c"));
    expect(world.manager.all()[1]?.cluster).toBe(warming?.cluster);
    world.add(eds("c", { connectTimeout: "3s" }));
    expect(world.manager.all()).toHaveLength(2);
    expect(world.manager.all()[1]?.cluster).not.toBe(warming?.cluster);
  });

  test("X-60: CDS does not change or remove a cluster of the bootstrap", () => {
    const world = createWorld();
    world.add(staticCluster("c", ["10.0.0.1:80"]), false);
    const [problem] = world.add(staticCluster("c", ["10.0.0.2:80"]));
    expect(problem).toMatchObject({ level: "warning", object: "cluster c" });
    expect(world.manager.remove("c")).toBe(false);
    expect([...world.cluster("c").hosts()].map((host) => host.addressText)).toEqual(["10.0.0.1:80"]);
  });

  test("X-66: a removed cluster is gone for new requests, its statistics too; requests under way finish", async () => {
    const world = createWorld();
    const server = await TestServer.listen(world.runtime, "10.0.0.1", 80);
    server.isHolding = true;
    world.add(staticCluster("c", ["10.0.0.1:80"]));
    const sent = request(world.cluster("c"));
    await world.runtime.settle();
    expect(world.manager.remove("c")).toBe(true);
    expect(world.manager.get("c")).toBeUndefined();
    expect(world.store.counters().some((counter) => counter.name.startsWith("cluster.c."))).toBe(false);
    server.connections[0]?.write(server.response);
    await world.runtime.settle();
    expect(sent.isComplete).toBe(true);
    await world.runtime.settle();
    expect(server.connections).toHaveLength(0);
    expect(world.counter("cluster_manager.cluster_removed")).toBe(1);
  });

  test("a cluster that is refused names itself and the field, and leaves the old one in force", () => {
    const world = createWorld();
    world.add(staticCluster("c", ["10.0.0.1:80"]));
    const problems = world.add(staticCluster("c", ["10.0.0.1:80"], { lrsServer: { self: {} } }));
    expect(problems).toMatchObject([{ code: "unsupported-field", path: "lrs_server", object: "cluster c" }]);
    expect(world.manager.get("c")).toBeDefined();
    expect(world.add(staticCluster("d", ["localhost:80"]))).toMatchObject([
      { code: "invalid-value", path: expect.stringContaining("address") as string },
    ]);
  });

  test("an EDS cluster without a management server is refused", () => {
    const world = createWorld();
    const json = { name: "c", type: "EDS", edsClusterConfig: { edsConfig: { path: "/tmp/eds.json" } } };
    expect(world.add(json)).toMatchObject([{ code: "unsupported-field" }]);
  });
});

describe("EDS", () => {
  test("X-70: hosts are kept by address: weights, health and metadata change in place, counts stay", async () => {
    const world = createWorld();
    await TestServer.listen(world.runtime, "10.0.0.1", 80);
    world.add(eds("c"));
    world.xds.answer("c", { endpoints: [{ lbEndpoints: endpointsOf("10.0.0.1:80") }] });
    const cluster = world.cluster("c");
    request(cluster);
    await world.runtime.settle();
    const [host] = [...cluster.hosts()];
    const [endpoint] = endpointsOf("10.0.0.1:80");
    const changed = {
      ...endpoint,
      loadBalancingWeight: 7,
      metadata: { filterMetadata: { a: { b: "c" } } },
      healthStatus: "DEGRADED",
    };
    world.xds.answer("c", { endpoints: [{ lbEndpoints: [changed] }] });
    expect([...cluster.hosts()]).toEqual([host]);
    expect(host).toMatchObject({
      weight: 7,
      metadata: { a: { b: "c" } },
      health: "degraded",
      healthFlags: "/degraded_eds_health",
    });
    expect(host?.stats.rqTotal).toBe(1);
    expect(world.gauge("cluster.c.membership_degraded")).toBe(1);
    expect(world.gauge("cluster.c.max_host_weight")).toBe(7);
  });

  test("X-70: an equal assignment counts update_no_rebuild", () => {
    const world = createWorld();
    world.add(eds("c"));
    const assignment = { endpoints: [{ lbEndpoints: endpointsOf("10.0.0.1:80") }] };
    world.xds.answer("c", assignment);
    world.xds.answer("c", assignment);
    expect(world.counter("cluster.c.update_no_rebuild")).toBe(1);
    expect(world.counter("cluster.c.membership_change")).toBe(1);
  });

  test("X-71: another cluster_name than the one that was asked for is refused", () => {
    const world = createWorld();
    world.add(eds("c"));
    expect(world.xds.answer("c", { clusterName: "d" })).toMatchObject([
      { message: expect.stringContaining("Unexpected EDS cluster") as string },
    ]);
    expect(world.manager.get("c")).toBeUndefined();
  });

  test("a removed assignment empties the cluster", () => {
    const world = createWorld();
    world.add(eds("c"));
    world.xds.answer("c", { endpoints: [{ lbEndpoints: endpointsOf("10.0.0.1:80") }] });
    world.xds.watchers.get("c")?.onAbsent("removed");
    expect(world.cluster("c").chooseHost({})).toBeUndefined();
    expect(world.gauge("cluster.c.membership_total")).toBe(0);
  });

  test("service_name names the assignment", () => {
    const world = createWorld();
    world.add({ name: "c", type: "EDS", edsClusterConfig: { serviceName: "svc", edsConfig: { ads: {} } } });
    expect([...world.xds.watchers.keys()]).toEqual(["svc"]);
  });

  test("L-04: traffic goes to the next priority when the first fails", () => {
    const world = createWorld();
    world.add(eds("c"));
    const level = (priority: number, address: string, healthStatus: string): object => ({
      priority,
      lbEndpoints: endpointsOf(address).map((endpoint) => ({ ...endpoint, healthStatus })),
    });
    world.xds.answer("c", { endpoints: [level(0, "10.0.0.1:80", "HEALTHY"), level(1, "10.0.1.1:80", "HEALTHY")] });
    const cluster = world.cluster("c");
    expect(cluster.chooseHost({})?.addressText).toBe("10.0.0.1:80");
    world.xds.answer("c", { endpoints: [level(0, "10.0.0.1:80", "UNHEALTHY"), level(1, "10.0.1.1:80", "HEALTHY")] });
    expect(cluster.chooseHost({})?.addressText).toBe("10.0.1.1:80");
    expect(
      world.xds.answer("c", { endpoints: [level(0, "10.0.0.1:80", "HEALTHY"), level(2, "10.0.1.1:80", "HEALTHY")] }),
    ).toMatchObject([{ message: expect.stringContaining("without gaps") as string }]);
  });

  test("R-75: previous_priorities leaves out what was tried", () => {
    const world = createWorld();
    world.add(eds("c"));
    const level = (priority: number, address: string): object => ({ priority, lbEndpoints: endpointsOf(address) });
    world.xds.answer("c", { endpoints: [level(0, "10.0.0.1:80"), level(1, "10.0.1.1:80")] });
    const cluster = world.cluster("c");
    expect(cluster.chooseHost({ triedPriorities: [0] })?.addressText).toBe("10.0.1.1:80");
    expect(cluster.chooseHost({ triedPriorities: [0, 1] })?.addressText).toBe("10.0.0.1:80");
  });

  test("L-06: in panic all hosts are used, unless the threshold is 0", () => {
    const world = createWorld();
    const unhealthy = endpointsOf("10.0.0.1:80", "10.0.0.2:80").map((endpoint) => ({
      ...endpoint,
      healthStatus: "UNHEALTHY",
    }));
    for (const [name, extra] of [
      ["panics", {}],
      ["never", { commonLbConfig: { healthyPanicThreshold: {} } }],
    ] as const) {
      world.add(eds(name, extra));
      world.xds.answer(name, { endpoints: [{ lbEndpoints: unhealthy }] });
    }
    expect(world.cluster("panics").chooseHost({})).toBeDefined();
    expect(world.counter("cluster.panics.lb_healthy_panic")).toBe(1);
    expect(world.cluster("never").chooseHost({})).toBeUndefined();
  });

  test("an endpoint whose labels change gets the transport that they ask for", async () => {
    const world = createWorld();
    await TestServer.listen(world.runtime, "10.0.0.1", 80);
    const raw = {
      name: "raw",
      typedConfig: { "@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer" },
    };
    world.add(
      eds("c", {
        transportSocketMatches: [
          { name: "a", match: { mode: "a" }, transportSocket: raw },
          { name: "b", match: {}, transportSocket: raw },
        ],
      }),
    );
    const [endpoint] = endpointsOf("10.0.0.1:80");
    const labelled = (mode: string): object => ({
      endpoints: [
        { lbEndpoints: [{ ...endpoint, metadata: { filterMetadata: { "envoy.transport_socket_match": { mode } } } }] },
      ],
    });
    world.xds.answer("c", labelled("a"));
    request(world.cluster("c"));
    await world.runtime.settle();
    expect(world.counter("cluster.c.a.total_match_count")).toBe(1);
    world.xds.answer("c", labelled("z"));
    request(world.cluster("c"));
    await world.runtime.settle();
    expect(world.counter("cluster.c.b.total_match_count")).toBe(1);
  });
});
