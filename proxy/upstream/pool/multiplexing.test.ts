/** Pools of connections that carry several streams, with a codec and a transport that do as they are told. */
import { describe, expect, test } from "vitest";
import type { Connection, ConnectionHandler } from "#lib/connection.ts";
import { simulatedRuntime } from "#lib/simulated-runtime.ts";
import type { ClientCodec, ClientCodecHandler, StreamDecoder, StreamEncoder } from "../../http/codec.ts";
import { defaultHttp2ProtocolSettings } from "../../http/http2/protocol-options.ts";
import { createStatsStore } from "../../observability/stats-store.ts";
import type { UpstreamTransport } from "../../tls/types.ts";
import { TrafficStats } from "../cluster-stats.ts";
import type { HttpConfig } from "../config/cluster-config.ts";
import { createResourceManager, defaultThresholds } from "../resource-manager.ts";
import { hostAt } from "../testing/hosts.ts";
import { TransportSelector } from "../transport-selector.ts";
import type { PoolOptions } from "../types.ts";
import { defaultHappyEyeballs } from "./happy-eyeballs.ts";
import { HttpConnectionPool } from "./http-pool.ts";
import { noPreconnect } from "./preconnect.ts";

class FakeCodec implements ClientCodec {
  readonly protocol: ClientCodec["protocol"];
  readonly handler: ClientCodecHandler;
  activeStreams = 0;
  maxConcurrentStreams: number;
  isDraining = false;
  isClosed = false;

  constructor(protocol: ClientCodec["protocol"], handler: ClientCodecHandler, limit: number) {
    this.protocol = protocol;
    this.handler = handler;
    this.maxConcurrentStreams = limit;
  }
  newStream(): StreamEncoder {
    this.activeStreams++;
    return {} as StreamEncoder;
  }
  endStream(): void {
    this.activeStreams--;
    this.handler.onStreamEnd();
  }
  onData(): void {}
  onDrain(): void {}
  onClose(): void {
    this.isClosed = true;
  }
}

interface Opened {
  readonly handler: ConnectionHandler;
  connection: { tls: { alpn: string } | undefined; isClosed: boolean };
}

const http: HttpConfig = {
  protocol: "auto",
  idleTimeoutMs: 0,
  maxConnectionDurationMs: 0,
  maxRequestsPerConnection: 0,
  maxStreamDurationMs: undefined,
  maxResponseHeadersKb: 60,
  maxResponseHeadersCount: 100,
  maxConnectionDurationJitter: 0,
  autoSniHeader: "",
  isErrorResponse: undefined,
  autoSni: false,
  autoSanValidation: false,
  http1: { enableTrailers: false, allowChunkedLength: false },
  http2: defaultHttp2ProtocolSettings,
};

function setUp(protocol: PoolOptions["protocol"], limit = 3) {
  const { clock } = simulatedRuntime();
  const store = createStatsStore();
  const scope = store.root.scope("cluster.c");
  const stats = new TrafficStats(scope);
  const resources = createResourceManager(defaultThresholds, "default", scope);
  const opened: Opened[] = [];
  const codecs: FakeCodec[] = [];
  const transport: UpstreamTransport = {
    isSecure: true,
    isUnverified: false,
    isReady: true,
    onReady: (callback) => callback(),
    close() {},
    connect(_target, handler) {
      const connection = {
        tls: undefined,
        isClosed: false,
        destroy() {
          if (this.isClosed) return;
          this.isClosed = true;
          handler.onClose();
        },
      };
      opened.push({ handler, connection });
      return connection as unknown as Connection;
    },
  };
  const host = hostAt("10.0.0.1:443");
  const pool = new HttpConnectionPool(
    host,
    { priority: "default", protocol },
    {
      clock,
      connectTimeoutMs: 1000,
      bind: undefined,
      bufferBytes: undefined,
      preconnect: noPreconnect,
      happyEyeballs: defaultHappyEyeballs,
      random: () => 0,
      metadata: {},
      keepAlive: undefined,
      http,
      transports: new TransportSelector([], transport, scope),
      maxConnectionsPerHost: Infinity,
      stats: () => stats,
      resources: () => resources,
      createCodec(version, _connection, handler) {
        const codec = new FakeCodec(
          version === "http2" ? "HTTP/2" : "HTTP/1.1",
          handler,
          version === "http2" ? limit : 1,
        );
        codecs.push(codec);
        return codec;
      },
    },
  );
  let ready = 0;
  const failures: string[] = [];
  const send = (): void =>
    void pool.newStream({} as StreamDecoder, {
      onPoolReady: () => ready++,
      onPoolFailure: (reason) => failures.push(reason),
    });
  const connect = (index: number, alpn?: string): void => {
    const one = opened[index] as Opened;
    one.connection.tls = alpn === undefined ? undefined : { alpn };
    one.handler.onConnect?.();
  };
  return { pool, host, stats, opened, codecs, send, connect, failures, ready: () => ready };
}

describe("HTTP/2 pool", () => {
  test("L-51: one connection takes streams up to the peer's limit, then there is another", () => {
    const { opened, codecs, send, connect, ready, stats } = setUp("http2");
    for (let i = 0; i < 3; i++) send();
    expect(opened).toHaveLength(1);
    connect(0);
    expect([ready(), codecs[0]?.activeStreams, stats.cxHttp2Total.value]).toEqual([3, 3, 1]);
    send();
    expect([ready(), opened.length]).toEqual([3, 2]);
    connect(1);
    expect([ready(), codecs[1]?.activeStreams]).toEqual([4, 1]);
  });

  test("a stream that ends makes room for those who wait", () => {
    const { codecs, send, connect, ready, opened } = setUp("http2", 1);
    send();
    connect(0);
    send();
    expect([ready(), opened.length]).toEqual([1, 2]);
    codecs[0]?.endStream();
    expect(ready()).toBe(2);
    expect(codecs[0]?.activeStreams).toBe(1);
  });

  test("SETTINGS may lower and raise the limit", () => {
    const { codecs, send, connect, ready } = setUp("http2");
    send();
    connect(0);
    const [codec] = codecs;
    if (codec === undefined) throw new Error("no codec");
    codec.maxConcurrentStreams = 1;
    codec.handler.onSettings?.();
    send();
    expect(ready()).toBe(1);
    codec.maxConcurrentStreams = 5;
    codec.handler.onSettings?.();
    expect([ready(), codec.activeStreams]).toEqual([2, 2]);
  });

  test("GOAWAY: no further streams; the connection closes with the last one", () => {
    const { codecs, opened, send, connect, stats } = setUp("http2");
    send();
    send();
    connect(0);
    codecs[0]?.handler.onGoAway();
    expect(stats.cxCloseNotify.value).toBe(1);
    send();
    expect(opened).toHaveLength(2);
    codecs[0]?.endStream();
    expect(opened[0]?.connection.isClosed).toBe(false);
    codecs[0]?.endStream();
    expect(opened[0]?.connection.isClosed).toBe(true);
    expect([stats.rqActive.value, stats.cxActive.value]).toEqual([0, 1]);
  });

  test("a protocol error closes the connection and is counted", () => {
    const { codecs, opened, send, connect, stats, host } = setUp("http2");
    send();
    send();
    connect(0);
    codecs[0]?.handler.onProtocolError({ details: "http2.violation", message: "" });
    expect([opened[0]?.connection.isClosed, codecs[0]?.isClosed]).toEqual([true, true]);
    expect([stats.cxProtocolError.value, stats.rqActive.value, host.stats.rqActive, host.stats.cxActive]).toEqual([
      1, 0, 0, 0,
    ]);
    expect(stats.cxDestroyLocalWithActiveRq.value).toBe(1);
  });
});

describe("protocol by ALPN", () => {
  test.each([
    ["h2", "HTTP/2"],
    ["http/1.1", "HTTP/1.1"],
    [undefined, "HTTP/1.1"],
  ])("%s: %s", (alpn, protocol) => {
    const { codecs, send, connect } = setUp("auto");
    send();
    connect(0, alpn);
    expect(codecs[0]?.protocol).toBe(protocol);
  });

  test("until the first handshake there is a connection for each who waits; h2 takes them all", () => {
    const { opened, codecs, send, connect, ready } = setUp("auto");
    send();
    send();
    expect(opened).toHaveLength(2);
    connect(0, "h2");
    expect([ready(), codecs[0]?.activeStreams]).toEqual([2, 2]);
    connect(1, "h2");
    expect(ready()).toBe(2);
  });
});
