import { describe, expect, test } from "vitest";
import type { Connection, ConnectionHandler } from "#lib/connection.ts";
import { memoryPipe } from "#lib/memory-connection.ts";
import { SimulatedClock } from "#lib/simulated-clock.ts";
import type { Cluster, Host, PoolCallbacks } from "../../../upstream/types.ts";
import type { StreamEncoder } from "../../codec.ts";
import { HeaderMap } from "../../header-map.ts";
import { endsTunnel, tcpTunnelPool } from "./tcp-tunnel.ts";

const A = { kind: "internal", listener: "a", path: "envoy://a/" } as const;
const host = { address: A } as Host;

/** A tunnel to an end in memory; the upstream says what the test has it say. */
function setUp(result?: "overflow", header?: Buffer) {
  const clock = new SimulatedClock();
  const pipe = memoryPipe({ clock, clientAddress: A, serverAddress: A, ids: { next: 1 } });
  let upstreamHandler: ConnectionHandler | undefined;
  const cluster = {
    tcpConnect(_host: Host, _options: unknown, handler: ConnectionHandler): Connection | "overflow" {
      upstreamHandler = handler;
      pipe.client.handler = handler;
      return result ?? pipe.client;
    },
  } as unknown as Cluster;
  const heard: string[] = [];
  let encoder: StreamEncoder | undefined;
  const callbacks: PoolCallbacks = {
    onPoolReady: (given) => (encoder = given),
    onPoolFailure: (reason) => void heard.push(`failed: ${reason}`),
  };
  const server = { text: "", hasEnded: false };
  pipe.server.handler = {
    onData: (chunk) => void (server.text += chunk.toString("latin1")),
    onEnd: () => void (server.hasEnded = true),
    onClose: () => void heard.push("server closed"),
  };
  const pool = tcpTunnelPool(cluster, host, { priority: "default", protocol: "auto" }, () => header);
  const request = pool.newStream(
    {
      onHeaders: ({ status }) => void heard.push(`head ${status}`),
      onData: (chunk, end) => void heard.push(`data ${chunk.toString("latin1")}${end ? " end" : ""}`),
      onTrailers: () => undefined,
      onReset: (reason) => void heard.push(`reset ${reason}`),
      onWritable: () => void heard.push("writable"),
    },
    callbacks,
  );
  return {
    heard,
    server,
    request,
    connection: pipe.server,
    settle: () => clock.advance(0),
    connect: (): StreamEncoder => {
      upstreamHandler?.onConnect?.();
      if (encoder === undefined) throw new Error("the pool gave no stream");
      return encoder;
    },
  };
}

describe("a CONNECT that ends here", () => {
  test("bytes go both ways after an answer of our own", async () => {
    const { heard, server, connect, connection, settle } = setUp(undefined, Buffer.from("PROXY "));
    const encoder = connect();
    encoder.sendHeaders(new HeaderMap(), false);
    encoder.sendData(Buffer.from("one"), false);
    await settle();
    connection.write("two");
    await settle();
    expect(server.text).toBe("PROXY one");
    expect(heard).toEqual(["head 200", "data two"]);
  });

  test("either end of the tunnel is told of", async () => {
    const { heard, server, connect, connection, settle } = setUp();
    const encoder = connect();
    encoder.sendHeaders(new HeaderMap(), false);
    encoder.sendData(Buffer.alloc(0), true);
    await settle();
    expect(server.hasEnded).toBe(true);
    connection.end();
    await settle();
    expect(heard.slice(0, 2)).toEqual(["head 200", "data  end"]);
  });

  test("a host that is lost before, and one that is lost after", async () => {
    const before = setUp();
    before.connection.destroy();
    await before.settle();
    expect(before.heard).toContain("failed: remote connection failure");
    const after = setUp();
    after.connect().sendHeaders(new HeaderMap(), false);
    await after.settle();
    after.connection.reset();
    await after.settle();
    expect(after.heard).toContain("reset connection termination");
  });

  test("what is given up is closed, and says nothing more", async () => {
    const { heard, request, settle } = setUp();
    request?.cancel();
    await settle();
    expect(heard).toEqual(["server closed"]);
  });

  test("an open circuit breaker", () => {
    expect(setUp("overflow").heard).toEqual(["failed: overflow"]);
  });

  test("CONNECT always, POST where it is allowed, others never", () => {
    const asks = (method: string, allowsPost: boolean): boolean => {
      const headers = new HeaderMap();
      headers.method = method;
      return endsTunnel({ allowsPost, proxyProtocol: undefined }, headers);
    };
    expect([asks("CONNECT", false), asks("POST", false), asks("POST", true), asks("GET", true)]).toEqual([
      true,
      false,
      true,
      false,
    ]);
  });
});
