/** One HTTP connection of a pool, from its connecting to its end. */
import type { Connection, ConnectionHandler } from "#lib/connection.ts";
import type { Timer } from "#lib/runtime.ts";
import type { ClientCodec, ClientCodecHandler, StreamDecoder } from "../../http/codec.ts";
import type { PoolCallbacks } from "../types.ts";
import type { HttpConnectionPool } from "./http-pool.ts";
import { connectHost } from "./target.ts";

/** ALPN names that stand for HTTP/2. */
const http2Alpn: ReadonlySet<string> = new Set(["h2", "istio-h2"]);

export class PooledConnection implements ConnectionHandler, ClientCodecHandler {
  /** On the pool's stack. */
  isReady = false;
  readonly #pool: HttpConnectionPool;
  #connection: Connection | undefined = undefined;
  #codec: ClientCodec | undefined = undefined;
  #active = 0;
  #served = 0;
  #streamsLeft: number;
  #isDraining = false;
  #isClosedLocally = false;
  #hasTimedOut = false;
  readonly #startedAt: number;
  #idleSince = 0;
  #bytesCounted = 0;
  #connectTimer: Timer | undefined = undefined;
  #idleTimer: Timer | undefined = undefined;
  #durationTimer: Timer | undefined = undefined;

  constructor(pool: HttpConnectionPool) {
    this.#pool = pool;
    const { clock, http } = pool.environment;
    this.#startedAt = clock.monotonic();
    this.#streamsLeft = http.maxRequestsPerConnection === 0 ? Infinity : http.maxRequestsPerConnection;
  }

  get active(): number {
    return this.#active;
  }

  /** Streams that it could take now, or once it is connected. */
  get room(): number {
    if (this.#isDraining) return 0;
    const { protocol } = this.#pool.options;
    const limit =
      this.#codec?.maxConcurrentStreams ??
      (protocol === "http2" ? this.#pool.environment.http.http2.maxConcurrentStreams : 1);
    return Math.max(0, Math.min(limit - this.#active, this.#streamsLeft));
  }

  connect(): void {
    const { host, stats, environment, options, transport } = this.#pool;
    stats.cxTotal.inc();
    stats.cxActive.inc();
    host.stats.cxTotal++;
    host.stats.cxActive++;
    // What is known to be spoken is counted at once, as in Envoy: also where nobody is there.
    if (options.protocol !== "auto") this.#countProtocol(options.protocol === "http2");
    this.#connectTimer = environment.clock.wheel.schedule(environment.connectTimeoutMs, () => {
      this.#hasTimedOut = true;
      stats.cxConnectTimeout.inc();
      this.#destroy();
    });
    this.#connection = connectHost(transport, host, options, this, environment);
  }

  /** The pool has seen to it that there is room. */
  startStream(decoder: StreamDecoder, callbacks: PoolCallbacks): void {
    const codec = this.#codec as ClientCodec;
    const pool = this.#pool;
    const { stats, host } = pool;
    stats.rqTotal.inc();
    stats.rqActive.inc();
    host.stats.rqTotal++;
    host.stats.rqActive++;
    pool.resources.requests.inc();
    this.#active++;
    this.#served++;
    if (--this.#streamsLeft === 0) {
      stats.cxMaxRequests.inc();
      this.#isDraining = true;
    }
    if (this.#isDraining || this.#active >= codec.maxConcurrentStreams) pool.onFull(this);
    callbacks.onPoolReady(codec.newStream(decoder), host, this.#connection as Connection, codec.protocol);
  }

  /** No further streams: closes now, or when the last one ends. One that still connects is kept while it `isAwaited`. */
  drain(isAwaited = false): void {
    if (this.#codec === undefined) {
      if (!isAwaited) this.#destroy();
      return;
    }
    this.#isDraining = true;
    this.#pool.onFull(this);
    if (this.#active === 0) this.#destroy();
  }

  // The connection.

  onConnect(): void {
    this.#connectTimer?.cancel();
    this.#connectTimer = undefined;
    const connection = this.#connection;
    if (connection === undefined) return;
    const { environment, stats, options } = this.#pool;
    const now = environment.clock.monotonic();
    stats.cxConnectMs.record(now - this.#startedAt);
    const isHttp2 =
      options.protocol === "auto" ? http2Alpn.has(connection.tls?.alpn ?? "") : options.protocol === "http2";
    if (options.protocol === "auto") this.#countProtocol(isHttp2);
    this.#codec = environment.createCodec(isHttp2 ? "http2" : "http1", connection, this);
    const { idleTimeoutMs, maxConnectionDurationMs, maxConnectionDurationJitter } = environment.http;
    this.#idleSince = now;
    if (idleTimeoutMs > 0) this.#armIdle(idleTimeoutMs);
    if (maxConnectionDurationMs > 0) {
      this.#durationTimer = environment.clock.wheel.schedule(
        stretched(maxConnectionDurationMs, maxConnectionDurationJitter, environment),
        () => {
          stats.cxMaxDurationReached.inc();
          this.drain();
        },
      );
    }
    this.#pool.onConnected(this);
  }

  #countProtocol(isHttp2: boolean): void {
    const { stats } = this.#pool;
    (isHttp2 ? stats.cxHttp2Total : stats.cxHttp1Total).inc();
  }

  onData(chunk: Buffer): void {
    this.#pool.stats.cxRxBytes.add(chunk.length);
    this.#codec?.onData(chunk);
    if (this.#isDraining && this.#active === 0) this.#destroy();
  }

  onDrain(): void {
    this.#codec?.onDrain();
  }

  /** The peer sends no more: of no use for another request. What is under way ends by the close. */
  onEnd(): void {
    this.#isDraining = true;
    this.#pool.onFull(this);
    this.#connection?.end();
  }

  onClose(error?: Error): void {
    this.#connectTimer?.cancel();
    this.#idleTimer?.cancel();
    this.#durationTimer?.cancel();
    const pool = this.#pool;
    const { stats, host } = pool;
    const codec = this.#codec;
    const active = this.#active;
    this.#isDraining = true;
    stats.cxActive.dec();
    host.stats.cxActive--;
    pool.onGone(this, codec === undefined);
    if (codec === undefined) {
      stats.cxConnectFail.inc();
      host.stats.cxConnectFail++;
      stats.countDestroyed(this.#isClosedLocally, false);
      const reason = this.#hasTimedOut
        ? "connection timeout"
        : this.#isClosedLocally
          ? "local connection failure"
          : "remote connection failure";
      pool.failPending(reason, this.#hasTimedOut ? "" : (error?.message ?? ""));
      return;
    }
    this.#countSent();
    stats.rqPerCx.record(this.#served);
    stats.cxLengthMs.record(pool.environment.clock.monotonic() - this.#startedAt);
    stats.countDestroyed(this.#isClosedLocally, active > 0);
    codec.onClose(error !== undefined);
    while (this.#active > 0) this.#release();
    pool.afterGone();
  }

  // The codec.

  onStreamEnd(): void {
    if (this.#active === 0) return;
    this.#release();
    const codec = this.#codec as ClientCodec;
    if (codec.isDraining) this.#isDraining = true;
    if (this.#isDraining) {
      this.#pool.onFull(this);
      if (this.#active === 0) this.#destroy();
      return;
    }
    if (this.#active === 0) this.#idleSince = this.#pool.environment.clock.monotonic();
    this.#pool.onRoom(this);
  }

  onGoAway(): void {
    this.#pool.stats.cxCloseNotify.inc();
    this.drain();
  }

  /** The peer allows another number of streams. */
  onSettings(): void {
    const codec = this.#codec;
    if (codec === undefined || this.#isDraining) return;
    if (this.#active >= codec.maxConcurrentStreams) this.#pool.onFull(this);
    else this.#pool.onRoom(this);
  }

  onProtocolError(): void {
    this.#pool.stats.cxProtocolError.inc();
    this.#isDraining = true;
    this.#pool.onFull(this);
    this.#destroy();
  }

  /** What has been written since the last time: counted by requests, not by writes. */
  #countSent(): void {
    const written = this.#connection?.bytesWritten ?? 0;
    this.#pool.stats.cxTxBytes.add(written - this.#bytesCounted);
    this.#bytesCounted = written;
  }

  #release(): void {
    const { stats, host, resources } = this.#pool;
    this.#countSent();
    this.#active--;
    stats.rqActive.dec();
    host.stats.rqActive--;
    resources.requests.dec();
  }

  #destroy(): void {
    this.#isClosedLocally = true;
    this.#connection?.destroy();
  }

  /** One timer for many requests: when it fires early it is set again for the rest. */
  #armIdle(delayMs: number): void {
    const { clock, http } = this.#pool.environment;
    this.#idleTimer = clock.wheel.schedule(delayMs, () => {
      if (this.#active > 0) {
        this.#armIdle(http.idleTimeoutMs);
        return;
      }
      const leftMs = this.#idleSince + http.idleTimeoutMs - clock.monotonic();
      if (leftMs > 0) {
        this.#armIdle(leftMs);
        return;
      }
      this.#pool.stats.cxIdleTimeout.inc();
      this.#destroy();
    });
  }
}

/** A duration with up to `percent` of it added by chance. */
function stretched(ms: number, percent: number, { random }: { readonly random: () => number }): number {
  return percent === 0 ? ms : Math.floor(ms * (1 + (random() * percent) / 100));
}
