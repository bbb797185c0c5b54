/** One attempt: a stream of a pool, its per-try timers, and what the host is told of its outcome. */
import type { Connection } from "#lib/connection.ts";
import type { Timer } from "#lib/runtime.ts";
import type {
  Cluster,
  Host,
  HttpPool,
  PoolCallbacks,
  PoolFailureReason,
  PoolRequest,
} from "../../../upstream/types.ts";
import type { Protocol, ResetReason, StreamDecoder, StreamEncoder } from "../../codec.ts";
import type { HeaderMap } from "../../header-map.ts";
import type { UpstreamExchange } from "./exchange.ts";

const NO_BYTES = Buffer.alloc(0);

/** CONNECT, or an upgrade. */
function isTunnelRequest(headers: HeaderMap): boolean {
  return headers.method === "CONNECT" || headers.has("upgrade");
}

export class UpstreamRequest implements StreamDecoder, PoolCallbacks {
  readonly host: Host;
  readonly cluster: Cluster;
  isResponseStarted = false;
  /** Some of the request has been handed to the connection. */
  isRequestStarted = false;
  isOver = false;
  /** The pool took it; until then the body waits. */
  encoder: StreamEncoder | undefined = undefined;
  #waiting: PoolRequest | undefined = undefined;
  #tryTimer: Timer | undefined = undefined;
  #idleTimer: Timer | undefined = undefined;
  #lastRx = 0;
  #isHttp2 = false;
  #waitsForTunnel = false;
  #held: Buffer[] | undefined = undefined;
  #isHeldEnd = false;
  readonly #exchange: UpstreamExchange;

  constructor(exchange: UpstreamExchange, cluster: Cluster, host: Host) {
    this.#exchange = exchange;
    this.cluster = cluster;
    this.host = host;
  }

  start(pool: HttpPool): void {
    const waiting = pool.newStream(this, this);
    if (this.encoder === undefined && !this.isOver) this.#waiting = waiting;
  }

  /** Times the attempt; called once the request is complete. */
  armTimers(perTryMs: number, perTryIdleMs: number): void {
    const { clock } = this.#exchange.runtime;
    if (perTryMs > 0)
      this.#tryTimer = clock.wheel.schedule(perTryMs, () => this.#exchange.onPerTryTimeout(this, false));
    if (perTryIdleMs > 0) {
      this.#lastRx = clock.monotonic();
      this.#armIdle(perTryIdleMs, perTryIdleMs);
    }
  }

  #armIdle(delayMs: number, idleMs: number): void {
    const { clock } = this.#exchange.runtime;
    this.#idleTimer = clock.wheel.schedule(delayMs, () => {
      const leftMs = this.#lastRx + idleMs - clock.monotonic();
      if (leftMs > 0) this.#armIdle(leftMs, idleMs);
      else this.#exchange.onPerTryTimeout(this, true);
    });
  }

  /** Gives the attempt up: nothing more is heard of it. */
  cancel(): void {
    if (this.isOver) return;
    this.#end();
    this.#waiting?.cancel();
    this.#waiting = undefined;
    if (this.encoder === undefined) return;
    if (this.#isHttp2) this.cluster.stats.rqTxReset.inc();
    this.encoder.reset("local reset");
  }

  #end(): void {
    this.isOver = true;
    this.#tryTimer?.cancel();
    this.#idleTimer?.cancel();
  }

  // The pool.

  onPoolReady(encoder: StreamEncoder, host: Host, connection: Connection, protocol: Protocol): void {
    this.#waiting = undefined;
    this.encoder = encoder;
    this.#isHttp2 = protocol === "HTTP/2";
    const exchange = this.#exchange;
    const { info } = exchange.stream;
    host.outlier.putLocalOrigin("connect-success");
    info.upstreamHost = host;
    info.upstreamConnection = connection;
    info.upstreamProtocol = protocol;
    const now = exchange.runtime.clock.monotonic();
    info.upstreamFirstTx = now;
    const { body } = exchange;
    const { isHeadersOnly } = body;
    this.isRequestStarted = true;
    this.#waitsForTunnel = !isHeadersOnly && isTunnelRequest(exchange.headers);
    encoder.sendHeaders(exchange.headers, isHeadersOnly);
    if (isHeadersOnly) info.upstreamLastTx = now;
    else if (!body.isEmpty || body.isComplete) body.replay(this);
    if (!this.isOver) exchange.onAttemptStarted();
  }

  onPoolFailure(reason: PoolFailureReason, failure: string, host: Host | undefined): void {
    if (this.isOver) return;
    this.#end();
    const { info } = this.#exchange.stream;
    if (host !== undefined && reason !== "overflow") info.upstreamHost = host;
    info.upstreamTransportFailureReason = failure;
    if (reason === "connection timeout") host?.outlier.putLocalOrigin("connect-timeout");
    else if (reason !== "overflow") host?.outlier.putLocalOrigin("connect-failed");
    this.#exchange.onUpstreamReset(this, reason, failure);
  }

  // The request.

  sendData(chunk: Buffer, endStream: boolean): void {
    if (this.isOver || this.encoder === undefined) return;
    if (this.#waitsForTunnel) return this.#hold(chunk, endStream);
    const isWritable = this.encoder.sendData(chunk, endStream);
    if (endStream) this.#exchange.stream.info.upstreamLastTx = this.#exchange.runtime.clock.monotonic();
    else if (!isWritable) this.#exchange.onUpstreamFull();
  }

  /** Until the upstream has agreed, what a client sends for the tunnel is kept, and no more of it is read. */
  #hold(chunk: Buffer, endStream: boolean): void {
    if (chunk.length > 0) (this.#held ??= []).push(Buffer.from(chunk));
    this.#isHeldEnd ||= endStream;
    this.#exchange.onUpstreamFull();
  }

  #openTunnel(): void {
    this.#waitsForTunnel = false;
    const held = this.#held;
    this.#held = undefined;
    if (held !== undefined) for (const chunk of held) this.sendData(chunk, false);
    if (this.#isHeldEnd) this.sendData(NO_BYTES, true);
    if (held !== undefined) this.#exchange.onUpstreamWritable();
  }

  sendTrailers(trailers: HeaderMap): void {
    if (this.isOver || this.encoder === undefined) return;
    this.encoder.sendTrailers(trailers);
    this.#exchange.stream.info.upstreamLastTx = this.#exchange.runtime.clock.monotonic();
  }

  // The response.

  onInformational(headers: HeaderMap): void {
    if (!this.isOver) this.#exchange.onUpstreamInformational(this, headers);
  }

  onHeaders(headers: HeaderMap, endStream: boolean): void {
    if (this.isOver) return;
    const now = this.#exchange.runtime.clock.monotonic();
    this.#lastRx = now;
    this.isResponseStarted = true;
    this.#tryTimer?.cancel();
    if (endStream) this.#end();
    const opensTunnel = this.#waitsForTunnel && (headers.status === 101 || headers.status === 200);
    this.#exchange.onUpstreamHeaders(this, headers, endStream, now);
    if (opensTunnel) this.#openTunnel();
  }

  onData(chunk: Buffer, endStream: boolean): void {
    if (this.isOver) return;
    if (this.#idleTimer !== undefined) this.#lastRx = this.#exchange.runtime.clock.monotonic();
    if (endStream) this.#end();
    this.#exchange.onUpstreamData(this, chunk, endStream);
  }

  onTrailers(trailers: HeaderMap): void {
    if (this.isOver) return;
    this.#end();
    this.#exchange.onUpstreamTrailers(this, trailers);
  }

  onReset(reason: ResetReason): void {
    if (this.isOver) return;
    this.#end();
    this.host.outlier.putLocalOrigin("reset");
    if (this.#isHttp2 && reason === "remote reset") this.cluster.stats.rqRxReset.inc();
    this.#exchange.onUpstreamReset(this, reason, "");
  }

  onWritable(): void {
    if (!this.isOver) this.#exchange.onUpstreamWritable();
  }
}
