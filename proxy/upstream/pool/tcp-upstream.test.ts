import { describe, expect, test } from "vitest";
import type { Connection, ConnectionHandler } from "#lib/connection.ts";
import { createWorld, http1, staticCluster, TestServer, type World } from "../testing/world.ts";

class Recorder implements ConnectionHandler {
  readonly events: string[] = [];
  onConnect(): void {
    this.events.push("connect");
  }
  onData(chunk: Buffer): void {
    this.events.push(chunk.toString("latin1"));
  }
  onClose(error?: Error): void {
    this.events.push(error === undefined ? "close" : `close: ${error.message}`);
  }
}

function open(world: World, handler: ConnectionHandler): Connection | "overflow" {
  const cluster = world.cluster("c");
  const host = cluster.chooseHost({});
  if (host === undefined) throw new Error("no host");
  return cluster.tcpConnect(host, http1, handler);
}

describe("TCP connections of a cluster", () => {
  test("carry bytes both ways and are counted, whoever handles them", async () => {
    const world = createWorld();
    const server = await TestServer.listen(world.runtime, "10.0.0.1", 80);
    server.response = "pong";
    world.add(staticCluster("c", ["10.0.0.1:80"]));
    const first = new Recorder();
    const connection = open(world, first);
    if (connection === "overflow") throw new Error("overflow");
    await world.runtime.settle();
    expect(first.events).toEqual(["connect"]);
    const second = new Recorder();
    connection.handler = second;
    connection.write("ping");
    await world.runtime.settle();
    expect(second.events).toEqual(["pong"]);
    const cluster = world.cluster("c");
    const [host] = [...cluster.hosts()];
    expect(host?.stats).toMatchObject({ cxActive: 1, cxTotal: 1, rqActive: 1, rqTotal: 1 });
    expect(cluster.resources("default").connections.count).toBe(1);
    connection.destroy();
    await world.runtime.settle();
    expect(second.events).toEqual(["pong", "close"]);
    expect(host?.stats).toMatchObject({ cxActive: 0, rqActive: 0 });
    expect(cluster.resources("default").connections.count).toBe(0);
    expect(world.counter("cluster.c.upstream_cx_tx_bytes_total")).toBe(4);
    expect(world.counter("cluster.c.upstream_cx_rx_bytes_total")).toBe(4);
    expect(world.counter("cluster.c.upstream_cx_destroy_local")).toBe(1);
  });

  test("L-48: at max_connections there is none", async () => {
    const world = createWorld();
    await TestServer.listen(world.runtime, "10.0.0.1", 80);
    world.add(staticCluster("c", ["10.0.0.1:80"], { circuitBreakers: { thresholds: [{ maxConnections: 1 }] } }));
    expect(open(world, new Recorder())).not.toBe("overflow");
    expect(open(world, new Recorder())).toBe("overflow");
    expect(world.counter("cluster.c.upstream_cx_overflow")).toBe(1);
  });

  test("L-49: per_host_thresholds limit connections to one host", async () => {
    const world = createWorld();
    await TestServer.listen(world.runtime, "10.0.0.1", 80);
    world.add(staticCluster("c", ["10.0.0.1:80"], { circuitBreakers: { perHostThresholds: [{ maxConnections: 1 }] } }));
    expect(open(world, new Recorder())).not.toBe("overflow");
    expect(open(world, new Recorder())).toBe("overflow");
  });

  test("R-59: connect_timeout", async () => {
    const world = createWorld();
    await TestServer.listen(world.runtime, "10.0.0.1", 80);
    world.add(staticCluster("c", ["10.0.0.1:80"]));
    world.runtime.world.partition("127.0.0.1", "10.0.0.1");
    const recorder = new Recorder();
    open(world, recorder);
    await world.runtime.advance(1200);
    expect(recorder.events).toEqual(["close: connection timeout"]);
    expect(world.counter("cluster.c.upstream_cx_connect_timeout")).toBe(1);
    expect(world.counter("cluster.c.upstream_cx_connect_fail")).toBe(1);
  });
});
