import { describe, expect, test } from "vitest";
import type { Connection, ConnectionHandler } from "#lib/connection.ts";
import { messageFromJson } from "#protos/json.ts";
import { simulatedRuntime } from "#lib/simulated-runtime.ts";
import { createStatsStore } from "../observability/stats-store.ts";
import { ResponseFlag, StreamInfo } from "../stream-info.ts";
import type { Cluster, Host, LbContext } from "../upstream/types.ts";
import type { DownstreamConnection, NetworkFilterContext } from "./filter.ts";
import { tcpProxy } from "./tcp-proxy.ts";

/** A connection that remembers what was done to it. */
class FakeConnection implements Connection {
  readonly id = 1;
  handler: ConnectionHandler = { onData: () => undefined, onClose: () => undefined };
  readonly localAddress = { kind: "ip", address: "127.0.0.1", port: 1 } as const;
  readonly remoteAddress = { kind: "ip", address: "10.0.0.9", port: 2 } as const;
  bufferedBytes = 0;
  isClosed = false;
  isPaused = false;
  hasEnded = false;
  acceptsMore = true;
  written = "";
  write(data: string | Buffer): boolean {
    this.written += data.toString();
    return this.acceptsMore;
  }
  end(): void {
    this.hasEnded = true;
  }
  destroy(error?: Error): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.handler.onClose(error);
  }
  reset(): void {
    this.destroy();
  }
  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
  }
  unshift(): void {
    throw new Error("not used");
  }
}

function config(json: Record<string, unknown>): ReturnType<typeof tcpProxy.parse> {
  const read = messageFromJson("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", { stat_prefix: "t", ...json });
  if (read.value === undefined) throw new Error(JSON.stringify(read.problems));
  return tcpProxy.parse(read.value, "");
}

/** A TCP proxy with a cluster `c` of which the test decides what becomes of a connection. */
function setUp(json: Record<string, unknown>, cluster: { hosts?: number; result?: "overflow" } = {}) {
  const runtime = simulatedRuntime({ seed: 1 });
  const store = createStatsStore().root;
  const upstreams: FakeConnection[] = [];
  const asked: LbContext[] = [];
  const results: string[] = [];
  const host = { outlier: { putLocalOrigin: (result: string) => results.push(result) } } as unknown as Host;
  const fake = {
    stats: {
      cxNoneHealthy: store.scope("cluster.c").counter("upstream_cx_none_healthy"),
      cxConnectAttemptsExceeded: store.scope("cluster.c").counter("upstream_cx_connect_attempts_exceeded"),
    },
    chooseHost: (context: LbContext) => {
      asked.push(context);
      return cluster.hosts === 0 ? undefined : host;
    },
    tcpConnect: (_host: Host, _options: unknown, handler: ConnectionHandler) => {
      if (cluster.result === "overflow") return "overflow";
      const connection = new FakeConnection();
      connection.handler = handler;
      upstreams.push(connection);
      return connection;
    },
  } as unknown as Cluster;
  const logged: string[] = [];
  const parsed = config(json).value;
  if (parsed === undefined) throw new Error("the configuration is refused");
  const context = {
    runtime,
    rootScope: store,
    clusters: { get: (name: string) => (name === "c" ? fake : undefined) },
    accessLogs: {
      logger: () => ({ log: ({ accessLogType }: { accessLogType?: string }) => logged.push(accessLogType ?? "") }),
    },
  } as unknown as NetworkFilterContext;
  const connection = new FakeConnection();
  const info = new StreamInfo();
  const filter = tcpProxy.create(
    parsed,
    context,
  )({ connection, info, originalDestination: connection.localAddress } as unknown as DownstreamConnection);
  filter?.onNewConnection(() => undefined);
  return { runtime, store, connection, upstreams, info, logged, asked, results };
}

describe("envoy.filters.network.tcp_proxy", () => {
  test("R-121: bytes pass both ways once the upstream connection is there", () => {
    const { connection, upstreams, info, logged, results } = setUp({ cluster: "c" });
    expect(connection.isPaused).toBe(true);
    upstreams[0]?.handler.onConnect?.();
    expect(connection.isPaused).toBe(false);
    connection.handler.onData(Buffer.from("hello"));
    upstreams[0]?.handler.onData(Buffer.from("world!"));
    expect(upstreams[0]?.written).toBe("hello");
    expect(connection.written).toBe("world!");
    upstreams[0]?.destroy();
    expect(connection.isClosed).toBe(true);
    expect(info).toMatchObject({ bytesReceived: 5, bytesSent: 6, flags: 0 });
    expect(logged).toEqual(["TcpConnectionEnd"]);
    expect(results).toEqual(["connect-success"]);
  });

  test("R-121: half-close is forwarded either way", () => {
    const { connection, upstreams } = setUp({ cluster: "c" });
    upstreams[0]?.handler.onConnect?.();
    connection.handler.onEnd?.();
    expect(upstreams[0]?.hasEnded).toBe(true);
    expect(upstreams[0]?.isClosed).toBe(false);
    upstreams[0]?.handler.onEnd?.();
    expect(connection.hasEnded).toBe(true);
  });

  test("R-115: a slow reader stops the other side", () => {
    const { connection, upstreams } = setUp({ cluster: "c" });
    const [upstream] = upstreams;
    upstream?.handler.onConnect?.();
    if (upstream !== undefined) upstream.acceptsMore = false;
    connection.handler.onData(Buffer.from("x"));
    expect(connection.isPaused).toBe(true);
    upstream?.handler.onDrain?.();
    expect(connection.isPaused).toBe(false);
    connection.acceptsMore = false;
    upstream?.handler.onData(Buffer.from("y"));
    expect(upstream?.isPaused).toBe(true);
    connection.handler.onDrain?.();
    expect(upstream?.isPaused).toBe(false);
  });

  test.each([
    ["an unknown cluster", { cluster: "nobody" }, {}, ResponseFlag.NoClusterFound],
    ["R-123: no healthy host", { cluster: "c" }, { hosts: 0 }, ResponseFlag.NoHealthyUpstream],
    ["R-123: a full circuit breaker", { cluster: "c" }, { result: "overflow" as const }, ResponseFlag.UpstreamOverflow],
  ])("%s closes with its flag", (_, json, cluster, flag) => {
    const { connection, info, logged } = setUp(json, cluster);
    expect(connection.isClosed).toBe(true);
    expect(info.flags).toBe(flag);
    expect(logged).toEqual(["TcpConnectionEnd"]);
  });

  test("R-123: connect attempts used up close with UF and URX", () => {
    const { connection, info, upstreams, results } = setUp({ cluster: "c", max_connect_attempts: 2 });
    upstreams[0]?.destroy(new Error("refused"));
    expect(connection.isClosed).toBe(false);
    upstreams[1]?.destroy(new Error("refused"));
    expect(connection.isClosed).toBe(true);
    expect(info.flags).toBe(ResponseFlag.UpstreamConnectionFailure | ResponseFlag.UpstreamRetryLimitExceeded);
    expect(info.upstreamTransportFailureReason).toBe("refused");
    expect(results).toEqual(["connect-failed", "connect-failed"]);
  });

  test("idle_timeout counts from the last byte", async () => {
    const { connection, upstreams, runtime, store } = setUp({ cluster: "c", idle_timeout: "10s" });
    upstreams[0]?.handler.onConnect?.();
    await runtime.advance(9000);
    connection.handler.onData(Buffer.from("x"));
    await runtime.advance(9000);
    expect(connection.isClosed).toBe(false);
    await runtime.advance(2000);
    expect(connection.isClosed).toBe(true);
    expect(store.scope("tcp.t").counter("idle_timeout").value).toBe(1);
  });

  test("max_downstream_connection_duration closes with DT", async () => {
    const { connection, upstreams, runtime, info } = setUp({ cluster: "c", max_downstream_connection_duration: "5s" });
    upstreams[0]?.handler.onConnect?.();
    await runtime.advance(6000);
    expect(connection.isClosed).toBe(true);
    expect(info.flags).toBe(ResponseFlag.DurationTimeout);
  });

  test("the source address chooses the host where the hash policy says so", () => {
    const { asked } = setUp({ cluster: "c", hash_policy: [{ source_ip: {} }] });
    expect(asked[0]?.hash).toBeTypeOf("bigint");
    expect(setUp({ cluster: "c" }).asked[0]?.hash).toBeUndefined();
  });

  test("what is not implemented is refused by name", () => {
    expect(config({ cluster: "c", on_demand: {} }).problems).toMatchObject([
      { code: "unsupported-field", path: "on_demand" },
    ]);
    expect(
      config({ cluster: "c", tunneling_config: { hostname: "h", request_id_header: "x-id" } }).problems,
    ).toMatchObject([{ code: "unsupported-field", path: "tunneling_config.request_id_header" }]);
  });
});
