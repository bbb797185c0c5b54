import { describe, expect, test } from "vitest";
import { createWorld, endpointsOf, request, staticCluster, TestServer, type World } from "../testing/world.ts";

const times = { timeout: "1s", interval: "5s", noTrafficInterval: "10s", unhealthyThreshold: 2, healthyThreshold: 3 };
const http = (check: object = {}, extra: object = {}): object => ({
  healthChecks: [{ ...times, httpHealthCheck: { path: "/healthz", ...check }, ...extra }],
});
const tcp = (check: object, extra: object = {}): object => ({
  healthChecks: [{ ...times, tcpHealthCheck: check, ...extra }],
});
const ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const answer = (code: number, headers = ""): string => `HTTP/1.1 ${code} X\r\n${headers}content-length: 0\r\n\r\n`;
const eds = { type: "EDS", edsClusterConfig: { edsConfig: { ads: {} } } };

function flags(world: World, name = "c"): string[] {
  return [...world.cluster(name).hosts()].map((host) => host.healthFlags);
}

/** A cluster of one host, after its first check. */
async function checked(extra: object, response = ok) {
  const world = createWorld();
  const server = await TestServer.listen(world.runtime, "10.0.0.1", 80);
  server.response = response;
  expect(world.add(staticCluster("c", ["10.0.0.1:80"], extra))).toEqual([]);
  await world.runtime.settle();
  const count = (name: string): number => world.counter(`cluster.c.health_check.${name}`);
  return { world, server, count };
}

describe("active health checks", () => {
  test("L-52: the cluster warms until each host had its first check; until then no host counts as healthy", async () => {
    const world = createWorld();
    const server = await TestServer.listen(world.runtime, "10.0.0.1", 80);
    server.isHolding = true;
    world.add(staticCluster("c", ["10.0.0.1:80"], http()));
    await world.runtime.settle();
    expect(world.gauge("cluster_manager.warming_clusters")).toBe(1);
    expect([...(world.manager.all()[0]?.cluster.hosts() ?? [])][0]?.healthFlags).toBe("/failed_active_hc");
    server.connections[0]?.write(ok);
    await world.runtime.settle();
    expect(flags(world)).toEqual(["healthy"]);
    expect(world.gauge("cluster.c.health_check.healthy")).toBe(1);
    expect(world.gauge("cluster.c.membership_healthy")).toBe(1);
  });

  test("L-57: the request is a GET with the cluster's name as host and Envoy/HC as user agent", async () => {
    const { server } = await checked(http());
    expect(server.requests).toEqual(["GET /healthz HTTP/1.1\r\nhost: c\r\nuser-agent: Envoy/HC\r\n\r\n"]);
  });

  test("host, method, payload and headers are as configured", async () => {
    const { server } = await checked(
      http({
        host: "h.test",
        method: "POST",
        send: { text: "6869" },
        requestHeadersToAdd: [{ header: { key: "x-a", value: "b" } }],
        requestHeadersToRemove: ["user-agent"],
      }),
    );
    expect(server.requests.join("")).toMatch(
      /^POST \/healthz HTTP\/1.1\r\nhost: h.test\r\ncontent-length: 2\r\nx-a: b\r\n\r\nhi$/,
    );
  });

  test("L-55: 60 s (no_traffic_interval) while the cluster had no connection, the interval after that", async () => {
    const { world, count } = await checked(http());
    await world.runtime.advance(9999);
    expect(count("attempt")).toBe(1);
    await world.runtime.advance(2);
    expect(count("attempt")).toBe(2);
    request(world.cluster("c"));
    await world.runtime.advance(10_000);
    expect(count("attempt")).toBe(3);
    await world.runtime.advance(5001);
    expect(count("attempt")).toBe(4);
  });

  test("L-53: a status that is not expected fails the host at once, three successes bring it back", async () => {
    const { world, server, count } = await checked(http());
    server.response = answer(503);
    await world.runtime.advance(10_001);
    expect(flags(world)).toEqual(["/failed_active_hc"]);
    expect(world.gauge("cluster.c.membership_healthy")).toBe(0);
    server.response = ok;
    await world.runtime.advance(10_001);
    await world.runtime.advance(10_001);
    expect(flags(world)).toEqual(["/failed_active_hc"]);
    await world.runtime.advance(10_001);
    expect(flags(world)).toEqual(["healthy"]);
    expect([count("success"), count("failure"), count("network_failure")]).toEqual([4, 1, 0]);
  });

  test("L-54: retriable statuses and failures of the network count to the threshold", async () => {
    const { world, server, count } = await checked(
      http({ retriableStatuses: [{ start: 500, end: 504 }], expectedStatuses: [{ start: 200, end: 205 }] }),
    );
    server.response = answer(503);
    await world.runtime.advance(10_001);
    expect(flags(world)).toEqual(["healthy"]);
    server.response = answer(204);
    await world.runtime.advance(10_001);
    server.response = answer(503);
    await world.runtime.advance(10_001);
    expect(flags(world)).toEqual(["healthy"]);
    await world.runtime.advance(10_001);
    expect(flags(world)).toEqual(["/failed_active_hc"]);
    expect(count("failure")).toBe(3);
  });

  test("L-56: a check that takes longer than its timeout fails, and is known by active_hc_timeout", async () => {
    const { world, server, count } = await checked(http());
    server.isHolding = true;
    await world.runtime.advance(11_001);
    expect([count("network_failure"), flags(world)[0]]).toEqual([1, "healthy"]);
    await world.runtime.advance(11_001);
    expect(flags(world)).toEqual(["/failed_active_hc/active_hc_timeout"]);
    server.isHolding = false;
    for (let i = 0; i < 3; i++) await world.runtime.advance(10_001);
    expect(flags(world)).toEqual(["healthy"]);
  });

  test("edge intervals hold on the way from one state to the other", async () => {
    const edges = { unhealthyEdgeInterval: "2s", unhealthyInterval: "3s", healthyEdgeInterval: "1s" };
    const { world, server, count } = await checked(http({ retriableStatuses: [{ start: 503, end: 504 }] }, edges));
    request(world.cluster("c"));
    await world.runtime.settle();
    server.response = answer(503);
    const attemptAfter = async (ms: number): Promise<void> => {
      const before = count("attempt");
      await world.runtime.advance(ms - 2);
      expect(count("attempt")).toBe(before);
      await world.runtime.advance(2);
      expect(count("attempt")).toBe(before + 1);
    };
    await attemptAfter(10_000);
    await attemptAfter(2000);
    expect(flags(world)).toEqual(["/failed_active_hc"]);
    await attemptAfter(3000);
    server.response = ok;
    await attemptAfter(3000);
    await attemptAfter(1000);
    await attemptAfter(1000);
    expect(flags(world)).toEqual(["healthy"]);
    await attemptAfter(5000);
  });

  test("jitter is added by chance: up to interval_jitter and up to a percentage", async () => {
    const jitter = { initialJitter: "4s", intervalJitter: "2s", intervalJitterPercent: 50 };
    const { world, count } = await checked(http({}, jitter));
    expect(count("attempt")).toBe(0);
    await world.runtime.advance(4001);
    expect(count("attempt")).toBe(1);
    await world.runtime.advance(9999 - 4001);
    expect(count("attempt")).toBe(1);
    await world.runtime.advance(17_001);
    expect(count("attempt")).toBe(2);
  });

  test("reuse_connection: one connection for all checks, or one for each", async () => {
    for (const [reuseConnection, connections] of [
      [true, 1],
      [false, 0],
    ] as const) {
      const { world, server } = await checked(http({}, { reuseConnection }));
      await world.runtime.advance(10_001);
      expect(server.requests).toHaveLength(2);
      expect(server.connections).toHaveLength(connections);
    }
  });

  test("a server that closes after its answer is connected to anew", async () => {
    const { world, server, count } = await checked(http(), answer(200, "connection: close\r\n"));
    await world.runtime.advance(10_001);
    expect(server.requests).toHaveLength(2);
    expect(count("success")).toBe(2);
  });

  test("receive must be found in the first bytes of the body, in order", async () => {
    const body = (text: string): string => `HTTP/1.1 200 OK\r\ncontent-length: ${text.length}\r\n\r\n${text}`;
    const receive = [{ text: "6162" }, { binary: Buffer.from("cd").toString("base64") }];
    const good = await checked(http({ receive }), body("xxabyycd"));
    expect(flags(good.world)).toEqual(["healthy"]);
    const wrongOrder = await checked(http({ receive }), body("cdab"));
    expect(flags(wrongOrder.world)).toEqual(["/failed_active_hc"]);
    const tooLate = await checked(http({ receive, responseBufferSize: 4 }), body("xxabyycd"));
    expect(flags(tooLate.world)).toEqual(["/failed_active_hc"]);
  });

  test("service_name_matcher looks at x-envoy-upstream-healthchecked-cluster", async () => {
    const matcher = http({ serviceNameMatcher: { prefix: "loc" } });
    const good = await checked(matcher, answer(200, "x-envoy-upstream-healthchecked-cluster: locations\r\n"));
    expect([flags(good.world)[0], good.count("verify_cluster")]).toEqual(["healthy", 1]);
    const bad = await checked(matcher, answer(200));
    expect(flags(bad.world)).toEqual(["/failed_active_hc"]);
  });

  test("L-58: x-envoy-degraded makes the host degraded, x-envoy-immediate-health-check-fail excludes it", async () => {
    const { world, server } = await checked(http(), answer(200, "x-envoy-degraded: true\r\n"));
    expect(flags(world)).toEqual(["/degraded_active_hc"]);
    expect(world.gauge("cluster.c.health_check.degraded")).toBe(1);
    expect(world.gauge("cluster.c.membership_degraded")).toBe(1);
    server.response = answer(503, "x-envoy-immediate-health-check-fail: true\r\n");
    await world.runtime.advance(10_001);
    expect(flags(world)[0]).toContain("/failed_active_hc");
    expect(flags(world)[0]).toContain("/excluded_via_immediate_hc_fail");
    expect(world.gauge("cluster.c.membership_excluded")).toBe(1);
    server.response = ok;
    for (let i = 0; i < 3; i++) await world.runtime.advance(10_001);
    expect(flags(world)).toEqual(["healthy"]);
  });

  test("L-58: traffic can fail a host at once", async () => {
    const { world, count } = await checked(http());
    world.cluster("c").chooseHost({})?.failPassively?.();
    expect(flags(world)).toEqual(["/failed_active_hc/excluded_via_immediate_hc_fail"]);
    expect(count("passive_failure")).toBe(1);
  });

  test("L-59: TCP: a connection is enough; with payloads, the answer must hold them", async () => {
    const connects = await checked(tcp({}));
    expect(flags(connects.world)).toEqual(["healthy"]);
    const talks = await checked(tcp({ send: { text: "50494e47" }, receive: [{ text: "504f4e47" }] }), "+PONG\r\n");
    expect(talks.server.requests).toEqual(["PING"]);
    expect(flags(talks.world)).toEqual(["healthy"]);
    await talks.world.runtime.advance(10_001);
    expect(talks.server.requests).toEqual(["PING", "PING"]);
    expect(talks.server.connections).toHaveLength(1);
    const silent = await checked(tcp({ receive: [{ text: "00" }] }), "never");
    await silent.world.runtime.advance(1001);
    expect(flags(silent.world)).toEqual(["/failed_active_hc/active_hc_timeout"]);
  });

  test("a host that can't be reached fails, and the cluster becomes active all the same", async () => {
    const world = createWorld();
    world.add(staticCluster("c", ["10.0.0.9:80"], tcp({})));
    await world.runtime.advance(1001);
    expect(flags(world)[0]).toContain("/failed_active_hc");
    expect(world.counter("cluster.c.health_check.network_failure")).toBe(1);
  });

  test("health_check_config: another port, another name, or no checks at all", async () => {
    const world = createWorld();
    const server = await TestServer.listen(world.runtime, "10.0.0.1", 8080);
    const [endpoint] = endpointsOf("10.0.0.1:80") as { endpoint: object }[];
    const [other] = endpointsOf("10.0.0.2:80") as { endpoint: object }[];
    const lbEndpoints = [
      { endpoint: { ...endpoint?.endpoint, healthCheckConfig: { portValue: 8080, hostname: "own.test" } } },
      { endpoint: { ...other?.endpoint, healthCheckConfig: { disableActiveHealthCheck: true } } },
    ];
    const loadAssignment = { clusterName: "c", endpoints: [{ lbEndpoints }] };
    expect(world.add({ name: "c", loadAssignment, ...http() })).toEqual([]);
    await world.runtime.settle();
    expect(server.requests[0]).toContain("host: own.test\r\n");
    expect(flags(world)).toEqual(["healthy", "healthy"]);
    expect(world.counter("cluster.c.health_check.attempt")).toBe(1);
  });

  test("L-60: a host that EDS no longer names stays while it is healthy, and leaves when it fails", async () => {
    const world = createWorld();
    const server = await TestServer.listen(world.runtime, "10.0.0.1", 80);
    await TestServer.listen(world.runtime, "10.0.0.2", 80);
    world.add({ name: "c", ...eds, ...http() });
    world.xds.answer("c", { endpoints: [{ lbEndpoints: endpointsOf("10.0.0.1:80", "10.0.0.2:80") }] });
    await world.runtime.settle();
    world.xds.answer("c", { endpoints: [{ lbEndpoints: endpointsOf("10.0.0.2:80") }] });
    expect(flags(world)).toEqual(["healthy", "/pending_dynamic_removal"]);
    world.xds.answer("c", { endpoints: [{ lbEndpoints: endpointsOf("10.0.0.1:80", "10.0.0.2:80") }] });
    expect(flags(world)).toEqual(["healthy", "healthy"]);
    world.xds.answer("c", { endpoints: [{ lbEndpoints: endpointsOf("10.0.0.2:80") }] });
    server.response = answer(503);
    await world.runtime.advance(10_001);
    expect([...world.cluster("c").hosts()].map((host) => host.addressText)).toEqual(["10.0.0.2:80"]);
    expect(world.gauge("cluster.c.membership_total")).toBe(1);
    expect(world.gauge("cluster.c.health_check.healthy")).toBe(1);
  });

  test("ignore_health_on_host_removal: it leaves at once", async () => {
    const world = createWorld();
    await TestServer.listen(world.runtime, "10.0.0.1", 80);
    world.add({ name: "c", ...eds, ...http(), ignoreHealthOnHostRemoval: true });
    world.xds.answer("c", { endpoints: [{ lbEndpoints: endpointsOf("10.0.0.1:80") }] });
    await world.runtime.settle();
    world.xds.answer("c", { endpoints: [] });
    expect(flags(world)).toEqual([]);
  });

  test("ignore_new_hosts_until_first_hc: a new host does not count until it was asked", async () => {
    const world = createWorld();
    await TestServer.listen(world.runtime, "10.0.0.1", 80);
    const late = await TestServer.listen(world.runtime, "10.0.0.2", 80);
    late.isHolding = true;
    world.add({ name: "c", ...eds, ...http(), commonLbConfig: { ignoreNewHostsUntilFirstHc: true } });
    world.xds.answer("c", { endpoints: [{ lbEndpoints: endpointsOf("10.0.0.1:80") }] });
    await world.runtime.settle();
    world.xds.answer("c", { endpoints: [{ lbEndpoints: endpointsOf("10.0.0.1:80", "10.0.0.2:80") }] });
    await world.runtime.settle();
    expect(flags(world)).toEqual(["healthy", "/failed_active_hc/pending_active_hc"]);
    expect(world.gauge("cluster.c.membership_excluded")).toBe(1);
    await world.runtime.advance(1001);
    expect(flags(world)[1]).toBe("/failed_active_hc/active_hc_timeout");
    expect(world.gauge("cluster.c.membership_excluded")).toBe(0);
  });

  test("close_connections_on_host_health_failure closes what is open to the host", async () => {
    const { world, server } = await checked({ ...http(), closeConnectionsOnHostHealthFailure: true });
    const cluster = world.cluster("c");
    const host = cluster.chooseHost({});
    let isClosed = false;
    if (host !== undefined)
      cluster.tcpConnect(
        host,
        { priority: "default", protocol: "http1" },
        { onData() {}, onClose: () => (isClosed = true) },
      );
    await world.runtime.settle();
    server.response = answer(503);
    await world.runtime.advance(10_001);
    expect(isClosed).toBe(true);
  });

  test("L-41: a check that is passed lets an ejected host return, unless the configuration says no", async () => {
    for (const [successfulActiveHealthCheckUnejectHost, expected] of [
      [true, "healthy"],
      [false, "/failed_outlier_check"],
    ] as const) {
      const outlierDetection = { consecutive5xx: 1, maxEjectionPercent: 100, successfulActiveHealthCheckUnejectHost };
      const { world } = await checked({
        ...http(),
        outlierDetection: { ...outlierDetection, baseEjectionTime: "300s" },
      });
      world.cluster("c").chooseHost({})?.outlier.putHttpStatus(500);
      expect(flags(world)).toEqual(["/failed_outlier_check"]);
      await world.runtime.advance(10_001);
      expect(flags(world)).toEqual([expected]);
    }
  });

  test("several checks: a host must pass them all, each counts under its name", async () => {
    const healthChecks = [
      { ...times, name: "a", httpHealthCheck: { path: "/" } },
      { ...times, name: "b", tcpHealthCheck: {} },
    ];
    const { world, count, server } = await checked({ healthChecks });
    expect(flags(world)).toEqual(["healthy"]);
    expect([count("name.a.success"), count("name.b.success")]).toEqual([1, 1]);
    server.response = answer(500);
    await world.runtime.advance(10_001);
    expect(flags(world)).toEqual(["/failed_active_hc"]);
    expect(world.gauge("cluster.c.health_check.healthy")).toBe(0);
    expect(world.gauge("cluster.c.health_check.name.b.healthy")).toBe(1);
  });

  test("events are written in Envoy's JSON", async () => {
    const log = { eventLogPath: "/tmp/hc.log", alwaysLogHealthCheckFailures: true, alwaysLogHealthCheckSuccess: true };
    const { world, server } = await checked(http({}, log));
    server.response = answer(503);
    await world.runtime.advance(10_001);
    const events = world.lines.map((line) => JSON.parse(line.replace("/tmp/hc.log ", "")) as Record<string, unknown>);
    expect(events).toMatchObject([
      { health_checker_type: "HTTP", cluster_name: "c", add_healthy_event: { first_check: true } },
      { successful_health_check_event: {} },
      { eject_unhealthy_event: { failure_type: "ACTIVE" }, host: { socket_address: { port_value: 80 } } },
      { health_check_failure_event: { failure_type: "ACTIVE", first_check: false, http_status_code: 503 } },
    ]);
  });

  test.each<[string, object, RegExp]>([
    ["no checker", { healthChecks: [times] }, /must be set/],
    [
      "a custom checker",
      { healthChecks: [{ ...times, customHealthCheck: { name: "redis" } }] },
      /redis is not supported/,
    ],
    ["hex that is none", tcp({ send: { text: "xyz" } }), /invalid hex string/],
    ["a body with GET", http({ send: { text: "00" } }), /has no body/],
    ["CONNECT", http({ method: "CONNECT" }), /can't be used/],
    ["statuses outside of HTTP", http({ expectedStatuses: [{ start: 1, end: 700 }] }), /within \[100, 600\)/],
    ["HTTP/3", http({ codecClientType: "HTTP3" }), /HTTP\/3/],
    ["an event service", http({}, { eventService: {} }), /event_service is not supported/],
  ])("%s is refused", (_name, extra, message) => {
    const problems = createWorld().add(staticCluster("c", ["10.0.0.1:80"], extra));
    expect(problems.map((problem) => problem.message).join()).toMatch(message);
    expect(problems[0]?.level).toBe("error");
  });
});
