import { describe, expect, test } from "vitest";
import { http1, request, staticCluster, TestRequest, TestServer, createWorld } from "../testing/world.ts";
import { needsConnection } from "./preconnect.ts";

async function setUp(extra: object, addresses = ["10.0.0.1:80"]) {
  const world = createWorld();
  const servers = await Promise.all(
    addresses.map((text) => TestServer.listen(world.runtime, text.slice(0, text.indexOf(":")), 80)),
  );
  for (const server of servers) server.isHolding = true;
  expect(world.add(staticCluster("c", addresses, extra))).toEqual([]);
  return { world, servers, cluster: world.cluster("c") };
}

describe("preconnect_policy", () => {
  test("Envoy's rule: streams times the ratio against room and streams", () => {
    expect(needsConnection({ pending: 0, active: 0, room: 0 }, 1, 0)).toBe(false);
    expect(needsConnection({ pending: 0, active: 0, room: 0 }, 1.5, 1)).toBe(true);
    expect(needsConnection({ pending: 1, active: 0, room: 1 }, 1, 0)).toBe(false);
    expect(needsConnection({ pending: 1, active: 0, room: 1 }, 1.5, 0)).toBe(true);
    expect(needsConnection({ pending: 0, active: 2, room: 1 }, 1.5, 0)).toBe(false);
  });

  test("per_upstream_preconnect_ratio: 1.5 opens a second connection with the first request", async () => {
    const { world, servers, cluster } = await setUp({ preconnectPolicy: { perUpstreamPreconnectRatio: 1.5 } });
    request(cluster);
    await world.runtime.settle();
    expect(servers[0]?.connections).toHaveLength(2);
    request(cluster);
    await world.runtime.settle();
    // Two requests want three.
    expect(servers[0]?.connections).toHaveLength(3);
  });

  test("the circuit breaker is heeded", async () => {
    const { world, servers, cluster } = await setUp({
      preconnectPolicy: { perUpstreamPreconnectRatio: 3 },
      circuitBreakers: { thresholds: [{ maxConnections: 2 }] },
    });
    request(cluster);
    await world.runtime.settle();
    expect(servers[0]?.connections).toHaveLength(2);
  });

  test("predictive_preconnect_ratio connects to the host that is chosen next", async () => {
    const { world, servers, cluster } = await setUp({ preconnectPolicy: { predictivePreconnectRatio: 1.5 } }, [
      "10.0.0.1:80",
      "10.0.0.2:80",
    ]);
    request(cluster);
    await world.runtime.settle();
    expect(servers.map(({ connections }) => connections.length)).toEqual([1, 1]);
    request(cluster);
    await world.runtime.settle();
    expect(servers.map(({ requests }) => requests.length)).toEqual([1, 1]);
  });
});

describe("pools", () => {
  test("max_connection_pools: one pool too many overflows, one without connections makes room", async () => {
    const { world, servers, cluster } = await setUp({
      circuitBreakers: { thresholds: [{ maxConnectionPools: 1 }] },
    });
    const first = request(cluster);
    const host = cluster.chooseHost({});
    if (host === undefined) throw new Error("no host");
    const other = { ...http1, alpnOverride: ["x"] };
    expect(new TestRequest(cluster, host, other).failure).toBe("overflow");
    expect(world.counter("cluster.c.upstream_cx_pool_overflow")).toBe(1);
    await world.runtime.settle();
    servers[0]?.connections[0]?.destroy();
    await world.runtime.settle();
    expect(first.reset).toBeDefined();
    expect(new TestRequest(cluster, host, other).failure).toBeUndefined();
  });

  test("connection_pool_per_downstream_connection: the cluster wants to know whose request it is", async () => {
    const { cluster } = await setUp({ connectionPoolPerDownstreamConnection: true });
    expect(cluster.wantsDownstream).toBe(true);
  });
});

describe("a host that the request asks for", () => {
  test("L-28: it is chosen while its health allows it; strict: it or none", async () => {
    const { cluster } = await setUp({ commonLbConfig: { overrideHostStatus: { statuses: ["HEALTHY"] } } }, [
      "10.0.0.1:80",
      "10.0.0.2:80",
    ]);
    const choose = (address: string, isStrict: boolean) =>
      cluster.chooseHost({ overrideHost: { address, isStrict } })?.addressText;
    for (let i = 0; i < 5; i++) expect(choose("10.0.0.2:80", false)).toBe("10.0.0.2:80");
    expect(choose("10.0.0.3:80", true)).toBeUndefined();
    expect(choose("10.0.0.3:80", false)).toBeDefined();
    const [, second] = [...cluster.hosts()];
    second?.setFlag(0x10);
    expect(choose("10.0.0.2:80", true)).toBeUndefined();
  });

  test("an empty set of statuses switches it off", async () => {
    const { cluster } = await setUp({ commonLbConfig: { overrideHostStatus: {} } });
    expect(cluster.chooseHost({ overrideHost: { address: "10.0.0.1:80", isStrict: true } })).toBeUndefined();
  });
});

describe("upstream_bind_config", () => {
  test("each family has its source address", async () => {
    const { world } = await setUp({
      upstreamBindConfig: {
        sourceAddress: { address: "10.9.9.9", portValue: 0 },
        extraSourceAddresses: [{ address: { address: "fd00::9", portValue: 0 } }],
      },
    });
    expect(world.cluster("c").config.bind).toEqual({ v4: "10.9.9.9", v6: "fd00::9" });
  });

  test.each([
    [{ sourceAddress: { address: "10.9.9.9", portValue: 80 } }, /port 0/],
    [{ sourceAddress: { address: "a.test", portValue: 0 } }, /malformed IP address/],
    [{ extraSourceAddresses: [{ address: { address: "10.9.9.9", portValue: 0 } }] }, /need a source_address/],
    [{ sourceAddress: { address: "10.9.9.9", portValue: 0 }, freebind: true }, /can't be bound/],
  ])("%j is refused", (upstreamBindConfig, message) => {
    const problems = createWorld().add(staticCluster("c", ["10.0.0.1:80"], { upstreamBindConfig }));
    expect(problems[0]?.message).toMatch(message);
  });
});
