import { describe, expect, test } from "vitest";
import { createWorld, request, staticCluster, TestRequest, TestServer, type World } from "../testing/world.ts";

const one = "10.0.0.1:80";

async function worldWithServer(extra: object = {}): Promise<{ world: World; server: TestServer }> {
  const world = createWorld();
  const server = await TestServer.listen(world.runtime, "10.0.0.1", 80);
  expect(world.add(staticCluster("c", [one], extra))).toEqual([]);
  return { world, server };
}

describe("HTTP/1.1 pool", () => {
  test("a request opens a connection, the next one uses it again", async () => {
    const { world, server } = await worldWithServer();
    const cluster = world.cluster("c");
    const first = request(cluster);
    expect(world.gauge("cluster.c.upstream_rq_pending_active")).toBe(1);
    await world.runtime.settle();
    expect([first.status, first.body, first.isComplete]).toEqual([200, "ok", true]);
    const second = request(cluster);
    await world.runtime.settle();
    expect(second.status).toBe(200);
    expect(second.connection).toBe(first.connection);
    expect(server.connections).toHaveLength(1);
    expect(world.counter("cluster.c.upstream_cx_total")).toBe(1);
    expect(world.counter("cluster.c.upstream_cx_http1_total")).toBe(1);
    expect(world.counter("cluster.c.upstream_cx_tx_bytes_total")).toBe(server.requests.join("").length);
    expect(world.counter("cluster.c.upstream_cx_rx_bytes_total")).toBe(2 * server.response.length);
    expect(world.counter("cluster.c.upstream_rq_total")).toBe(2);
    expect(world.gauge("cluster.c.upstream_rq_active")).toBe(0);
    expect(world.gauge("cluster.c.upstream_rq_pending_active")).toBe(0);
    expect(world.gauge("cluster.c.upstream_cx_active")).toBe(1);
  });

  test("L-51: of several ready connections the last that was used is the next", async () => {
    const { world, server } = await worldWithServer();
    const cluster = world.cluster("c");
    server.isHolding = true;
    const first = request(cluster);
    const second = request(cluster);
    await world.runtime.settle();
    expect(server.connections).toHaveLength(2);
    server.connections[0]?.write(server.response);
    await world.runtime.settle();
    server.connections[1]?.write(server.response);
    await world.runtime.settle();
    const last = [first, second].find((one) => one.connection?.localAddress === second.connection?.localAddress);
    expect(request(cluster).connection).toBe(last?.connection);
  });

  test("L-47: at max_connections requests wait; at max_pending_requests they overflow", async () => {
    const { world, server } = await worldWithServer({
      circuitBreakers: { thresholds: [{ maxConnections: 1, maxPendingRequests: 1 }] },
    });
    const cluster = world.cluster("c");
    server.isHolding = true;
    const first = request(cluster);
    await world.runtime.settle();
    expect(world.gauge("cluster.c.circuit_breakers.default.cx_open")).toBe(1);
    const second = request(cluster);
    expect(world.gauge("cluster.c.circuit_breakers.default.rq_pending_open")).toBe(1);
    const third = request(cluster);
    expect(third.failure).toBe("overflow");
    expect(world.counter("cluster.c.upstream_rq_pending_overflow")).toBe(1);
    expect(world.counter("cluster.c.upstream_cx_overflow")).toBe(1);
    server.isHolding = false;
    server.connections[0]?.write(server.response);
    await world.runtime.settle();
    expect([first.status, second.status]).toEqual([200, 200]);
    expect(second.connection).toBe(first.connection);
    expect(world.gauge("cluster.c.circuit_breakers.default.rq_pending_open")).toBe(0);
  });

  test("L-47: a host without a connection gets one although max_connections is reached", async () => {
    const world = createWorld();
    const servers = [
      await TestServer.listen(world.runtime, "10.0.0.1", 80),
      await TestServer.listen(world.runtime, "10.0.0.2", 80),
    ];
    world.add(staticCluster("c", [one, "10.0.0.2:80"], { circuitBreakers: { thresholds: [{ maxConnections: 1 }] } }));
    const cluster = world.cluster("c");
    const requests = [request(cluster), request(cluster)];
    await world.runtime.settle();
    expect(requests.map(({ status }) => status)).toEqual([200, 200]);
    expect(servers.map((server) => server.connections.length)).toEqual([1, 1]);
    expect(world.counter("cluster.c.upstream_cx_overflow")).toBe(1);
  });

  test("L-48: at max_requests a request overflows", async () => {
    const { world, server } = await worldWithServer({ circuitBreakers: { thresholds: [{ maxRequests: 1 }] } });
    const cluster = world.cluster("c");
    server.isHolding = true;
    request(cluster);
    await world.runtime.settle();
    const second = request(cluster);
    await world.runtime.settle();
    expect(second.failure).toBe("overflow");
    expect(world.gauge("cluster.c.circuit_breakers.default.rq_open")).toBe(1);
  });

  test("R-59: a connection that is not made within connect_timeout fails those who wait", async () => {
    const { world } = await worldWithServer();
    world.runtime.world.partition("127.0.0.1", "10.0.0.1");
    const waiting = request(world.cluster("c"));
    await world.runtime.advance(900);
    expect(waiting.failure).toBeUndefined();
    await world.runtime.advance(300);
    expect(waiting.failure).toBe("connection timeout");
    expect(world.counter("cluster.c.upstream_cx_connect_timeout")).toBe(1);
    expect(world.counter("cluster.c.upstream_cx_connect_fail")).toBe(1);
    expect(world.counter("cluster.c.upstream_rq_pending_failure_eject")).toBe(1);
    expect(world.gauge("cluster.c.upstream_cx_active")).toBe(0);
    expect(world.gauge("cluster.c.upstream_rq_pending_active")).toBe(0);
  });

  test("a refused connection fails with the reason of the transport", async () => {
    const world = createWorld();
    world.add(staticCluster("c", [one]));
    const waiting = request(world.cluster("c"));
    await world.runtime.settle();
    expect(waiting.failure).toBe("remote connection failure");
    expect(waiting.failureText).not.toBe("");
  });

  test("a waiting request can be cancelled", async () => {
    const { world } = await worldWithServer();
    const cluster = world.cluster("c");
    const waiting = request(cluster);
    waiting.waiting?.cancel();
    await world.runtime.settle();
    expect(waiting.encoder).toBeUndefined();
    expect(world.counter("cluster.c.upstream_rq_cancelled")).toBe(1);
    expect(world.gauge("cluster.c.upstream_rq_pending_active")).toBe(0);
    const next = request(cluster);
    await world.runtime.settle();
    expect(next.status).toBe(200);
  });

  test("R-57: an idle connection is closed after idle_timeout, counted from its last request", async () => {
    const idle = { commonHttpProtocolOptions: { idleTimeout: "10s" } };
    const { world, server } = await worldWithServer(idle);
    const cluster = world.cluster("c");
    request(cluster);
    await world.runtime.advance(8000);
    request(cluster);
    await world.runtime.advance(8000);
    expect(server.connections).toHaveLength(1);
    await world.runtime.advance(2500);
    expect(server.connections).toHaveLength(0);
    expect(world.counter("cluster.c.upstream_cx_idle_timeout")).toBe(1);
    expect(world.counter("cluster.c.upstream_cx_destroy_local")).toBe(1);
  });

  test("L-51: a connection is closed after max_requests_per_connection", async () => {
    const { world, server } = await worldWithServer({ commonHttpProtocolOptions: { maxRequestsPerConnection: 2 } });
    const cluster = world.cluster("c");
    const connections = new Set();
    for (let i = 0; i < 4; i++) {
      const sent = request(cluster);
      await world.runtime.settle();
      expect(sent.status).toBe(200);
      connections.add(sent.connection);
    }
    expect(connections.size).toBe(2);
    await world.runtime.settle();
    expect(server.connections).toHaveLength(0);
    expect(world.counter("cluster.c.upstream_cx_max_requests")).toBe(2);
  });

  test("max_connection_duration closes an idle connection and lets a busy one finish", async () => {
    const limit = { commonHttpProtocolOptions: { maxConnectionDuration: "5s" } };
    const { world, server } = await worldWithServer(limit);
    const cluster = world.cluster("c");
    server.isHolding = true;
    const busy = request(cluster);
    await world.runtime.advance(6000);
    expect(world.counter("cluster.c.upstream_cx_max_duration_reached")).toBe(1);
    expect(server.connections).toHaveLength(1);
    server.connections[0]?.write(server.response);
    await world.runtime.settle();
    expect(busy.isComplete).toBe(true);
    await world.runtime.settle();
    expect(server.connections).toHaveLength(0);
  });

  test("`connection: close` in a response ends the connection", async () => {
    const { world, server } = await worldWithServer();
    const cluster = world.cluster("c");
    server.response = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    const first = request(cluster);
    await world.runtime.settle();
    const second = request(cluster);
    await world.runtime.settle();
    expect([first.status, second.status]).toEqual([200, 200]);
    expect(second.connection).not.toBe(first.connection);
  });

  test("a connection that the peer closes while idle is not used again", async () => {
    const { world, server } = await worldWithServer();
    const cluster = world.cluster("c");
    request(cluster);
    await world.runtime.settle();
    server.connections[0]?.destroy();
    await world.runtime.settle();
    const next = request(cluster);
    await world.runtime.settle();
    expect(next.status).toBe(200);
    expect(world.counter("cluster.c.upstream_cx_destroy_remote")).toBe(1);
    expect(world.gauge("cluster.c.upstream_cx_active")).toBe(1);
  });

  test("a reset in the middle of a request is told to its decoder, and every count goes back", async () => {
    const { world, server } = await worldWithServer();
    const cluster = world.cluster("c");
    server.isHolding = true;
    const sent = request(cluster);
    await world.runtime.settle();
    world.runtime.world.reset("127.0.0.1", "10.0.0.1");
    await world.runtime.settle();
    expect(sent.reset).toBe("connection termination");
    expect(world.gauge("cluster.c.upstream_rq_active")).toBe(0);
    expect(world.gauge("cluster.c.upstream_cx_active")).toBe(0);
    expect(world.counter("cluster.c.upstream_cx_destroy_with_active_rq")).toBe(1);
    expect(cluster.resources("default").requests.count).toBe(0);
    expect(cluster.resources("default").connections.count).toBe(0);
  });

  test("a request that its user resets costs the connection, not the pool", async () => {
    const { world, server } = await worldWithServer();
    const cluster = world.cluster("c");
    server.isHolding = true;
    const sent = request(cluster);
    await world.runtime.settle();
    sent.encoder?.reset("local reset");
    await world.runtime.settle();
    expect(cluster.resources("default").requests.count).toBe(0);
    expect(cluster.resources("default").connections.count).toBe(0);
    server.isHolding = false;
    const next = request(cluster);
    await world.runtime.settle();
    expect(next.status).toBe(200);
  });

  test("priorities and ALPN overrides have pools of their own", async () => {
    const { world } = await worldWithServer();
    const cluster = world.cluster("c");
    const [host] = [...cluster.hosts()];
    if (host === undefined) throw new Error("no host");
    const alpn = ["istio-http/1.1"];
    const pools = [
      cluster.httpPool(host, { priority: "default", protocol: "http1" }),
      cluster.httpPool(host, { priority: "high", protocol: "http1" }),
      cluster.httpPool(host, { priority: "default", protocol: "http1", alpnOverride: alpn }),
    ];
    expect(new Set(pools).size).toBe(3);
    expect(cluster.httpPool(host, { priority: "default", protocol: "http1", alpnOverride: [...alpn] })).toBe(pools[2]);
  });

  test("what the peer sends unasked on an idle connection closes it", async () => {
    const { world, server } = await worldWithServer();
    const cluster = world.cluster("c");
    request(cluster);
    await world.runtime.settle();
    server.connections[0]?.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    await world.runtime.settle();
    expect(server.connections).toHaveLength(0);
    const next = request(cluster);
    await world.runtime.settle();
    expect(next.status).toBe(200);
  });

  test("a host that leaves keeps the requests under way and closes its idle connections", async () => {
    const world = createWorld();
    const server = await TestServer.listen(world.runtime, "10.0.0.1", 80);
    world.add({ name: "c", type: "EDS", edsClusterConfig: { edsConfig: { ads: {} } } });
    const endpoint = { address: { socketAddress: { address: "10.0.0.1", portValue: 80 } } };
    world.xds.answer("c", { endpoints: [{ lbEndpoints: [{ endpoint }] }] });
    const cluster = world.cluster("c");
    server.isHolding = true;
    const busy = request(cluster);
    await world.runtime.settle();
    const idle = request(cluster);
    await world.runtime.settle();
    server.connections[1]?.write(server.response);
    await world.runtime.settle();
    expect(idle.isComplete).toBe(true);
    world.xds.answer("c", {});
    await world.runtime.settle();
    expect(server.connections).toHaveLength(1);
    expect(cluster.chooseHost({})).toBeUndefined();
    server.connections[0]?.write(server.response);
    await world.runtime.settle();
    expect(busy.isComplete).toBe(true);
    await world.runtime.settle();
    expect(server.connections).toHaveLength(0);
    const { host } = busy;
    if (host === undefined) throw new Error("no host");
    const late = new TestRequest(cluster, host);
    server.isHolding = false;
    await world.runtime.settle();
    expect(late.status).toBe(200);
    await world.runtime.settle();
    expect(server.connections).toHaveLength(0);
  });
});
