import { describe, expect, test } from "vitest";
import type { SocketAddress } from "#lib/connection.ts";
import { createWorld, request, TestServer, type World } from "../testing/world.ts";
import { addressOrder, defaultHappyEyeballs } from "./happy-eyeballs.ts";

const at = (address: string): SocketAddress => ({ kind: "ip", address, port: 80 });
const socketAddress = (address: string): object => ({ socketAddress: { address, portValue: 80 } });

function cluster(addresses: readonly string[], extra: object = {}): object {
  const [first = "", ...others] = addresses;
  const endpoint = {
    address: socketAddress(first),
    additionalAddresses: others.map((address) => ({ address: socketAddress(address) })),
  };
  return {
    name: "c",
    connectTimeout: "2s",
    loadAssignment: { clusterName: "c", endpoints: [{ lbEndpoints: [{ endpoint }] }] },
    ...extra,
  };
}

async function setUp(addresses: readonly string[], served: readonly string[]): Promise<[World, TestServer[]]> {
  const world = createWorld();
  const servers = await Promise.all(served.map((address) => TestServer.listen(world.runtime, address, 80)));
  expect(world.add(cluster(addresses))).toEqual([]);
  return [world, servers];
}

describe("addresses of a host", () => {
  test.each<[string[], object, string[]]>([
    [["10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2"], {}, ["10.0.0.1", "fd00::1", "10.0.0.2", "fd00::2"]],
    [["fd00::1", "10.0.0.1"], {}, ["fd00::1", "10.0.0.1"]],
    [["fd00::1", "10.0.0.1"], { firstFamily: 4 }, ["10.0.0.1", "fd00::1"]],
    [
      ["10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1"],
      { firstFamilyCount: 2 },
      ["10.0.0.1", "10.0.0.2", "fd00::1", "10.0.0.3"],
    ],
    [[], {}, []],
  ])("%j with %j are tried as %j", (addresses, config, expected) => {
    const order = addressOrder(addresses.map(at), { ...defaultHappyEyeballs, ...config });
    expect(order).toEqual(expected.map(at));
  });

  test("the next is tried as soon as the first refuses", async () => {
    const [world, servers] = await setUp(["10.0.0.1", "fd00::1"], ["fd00::1"]);
    const sent = request(world.cluster("c"));
    await world.runtime.settle();
    expect(sent.status).toBe(200);
    expect(sent.connection?.remoteAddress).toEqual(at("fd00::1"));
    expect(servers[0]?.requests).toHaveLength(1);
    expect(world.counter("cluster.c.upstream_cx_total")).toBe(1);
    expect(world.counter("cluster.c.upstream_cx_connect_fail")).toBe(0);
  });

  test("none answers: one failure", async () => {
    const [world] = await setUp(["10.0.0.1", "fd00::1"], []);
    const sent = request(world.cluster("c"));
    await world.runtime.advance(400);
    expect(sent.failure).toBe("remote connection failure");
    expect(world.counter("cluster.c.upstream_cx_connect_fail")).toBe(1);
    expect(world.gauge("cluster.c.upstream_cx_active")).toBe(0);
  });

  test("the first that answers is the one that is used; a later one goes", async () => {
    const [world, servers] = await setUp(["10.0.0.1", "fd00::1"], ["10.0.0.1", "fd00::1"]);
    const sent = request(world.cluster("c"));
    await world.runtime.advance(1000);
    expect(sent.connection?.remoteAddress).toEqual(at("10.0.0.1"));
    expect(servers.map(({ connections }) => connections.length)).toEqual([1, 0]);
  });

  test("the connect timeout ends all attempts", async () => {
    const [world] = await setUp(["10.0.0.1", "fd00::1"], ["10.0.0.1", "fd00::1"]);
    for (const address of ["10.0.0.1", "fd00::1"]) world.runtime.world.partition("127.0.0.1", address);
    const sent = request(world.cluster("c"));
    await world.runtime.advance(2100);
    expect(sent.failure).toBe("connection timeout");
  });

  test("an address that does not answer does not hold the next one up", async () => {
    const [world] = await setUp(["10.0.0.1", "fd00::1"], ["10.0.0.1", "fd00::1"]);
    world.runtime.world.partition("127.0.0.1", "10.0.0.1");
    const sent = request(world.cluster("c"));
    await world.runtime.advance(290);
    expect(sent.connection).toBeUndefined();
    await world.runtime.advance(200);
    expect(sent.connection?.remoteAddress).toEqual(at("fd00::1"));
  });

  test("LOGICAL_DNS of all families has one host with all addresses", async () => {
    const world = createWorld();
    world.runtime.world.names.set("a.test", [
      { address: "10.0.0.1", family: 4 },
      { address: "fd00::1", family: 6 },
    ]);
    const endpoint = { address: socketAddress("a.test") };
    const loadAssignment = { clusterName: "c", endpoints: [{ lbEndpoints: [{ endpoint }] }] };
    expect(world.add({ name: "c", type: "LOGICAL_DNS", dnsLookupFamily: "ALL", loadAssignment })).toEqual([]);
    await world.runtime.settle();
    const [host] = [...world.cluster("c").hosts()];
    expect([host?.addressText, host?.additionalAddresses]).toEqual(["10.0.0.1:80", [at("fd00::1")]]);
  });
});
