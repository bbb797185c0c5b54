/** One downstream connection of a connection manager: its codec, its idle and drain timers, its end. */
import type { ConnectionHandler } from "#lib/connection.ts";
import type { Timer } from "#lib/runtime.ts";
import type { ConnectionFilter, DownstreamConnection } from "../network/filter.ts";
import { ActiveStream } from "./active-stream.ts";
import type { CodecError, Protocol, ServerCodec, ServerCodecHandler, StreamDecoder, StreamEncoder } from "./codec.ts";
import type { ConnectionManager } from "./connection-manager.ts";
import { isHttp2Preface } from "./http2/preface.ts";
import { createHttp2ServerCodec } from "./http2/server-codec.ts";
import { createHttp1ServerCodec } from "./http1/server-codec.ts";

export class ServerConnection implements ConnectionFilter, ConnectionHandler, ServerCodecHandler {
  readonly manager: ConnectionManager;
  readonly downstream: DownstreamConnection;
  readonly localPort: number;
  #codec: ServerCodec | undefined = undefined;
  #activeStreams = 0;
  #requests = 0;
  #lastStream: ActiveStream | undefined = undefined;
  #lastActive = 0;
  #isClosing = false;
  #closedLocally = false;
  #idleTimer: Timer | undefined = undefined;
  #durationTimer: Timer | undefined = undefined;
  #closeTimer: Timer | undefined = undefined;
  #headTimer: Timer | undefined = undefined;
  /** First bytes, too few to tell HTTP/2 from HTTP/1.1. */
  #undecided: Buffer | undefined = undefined;
  readonly #start: number;

  constructor(manager: ConnectionManager, downstream: DownstreamConnection) {
    this.manager = manager;
    this.downstream = downstream;
    const { originalDestination } = downstream;
    this.localPort = originalDestination.kind === "ip" ? originalDestination.port : 0;
    this.#start = manager.runtime.clock.monotonic();
    this.#lastActive = this.#start;
  }

  onNewConnection(): "continue" {
    const { manager, downstream } = this;
    const { stats, config } = manager;
    stats.cxTotal.inc();
    stats.cxActive.inc();
    if (downstream.connection.tls !== undefined) {
      stats.cxSslTotal.inc();
      stats.cxSslActive.inc();
    }
    downstream.connection.handler = this;
    const { wheel } = manager.runtime.clock;
    const { connectionIdleMs, maxConnectionDurationMs } = config.timeouts;
    if (connectionIdleMs > 0) this.#idleTimer = wheel.schedule(connectionIdleMs, this.#onIdleTick);
    if (maxConnectionDurationMs > 0) {
      this.#durationTimer = wheel.schedule(maxConnectionDurationMs, () => {
        stats.cxMaxDurationReached.inc();
        if (config.http1SafeMaxConnectionDuration && this.#codec?.protocol !== "HTTP/2") this.#codec?.drain();
        else this.drain();
      });
    }
    if (config.codecType === "http2" || downstream.connection.tls?.alpn === "h2") this.#useHttp2();
    else if (config.codecType === "http1") this.#useHttp1();
    return "continue";
  }

  // Events of the connection.

  onData(chunk: Buffer): void {
    this.manager.stats.cxRxBytesTotal.add(chunk.length);
    const codec = this.#codec;
    if (codec === undefined) this.#detect(chunk);
    else codec.onData(chunk);
  }

  onEnd(): void {
    // A client that ends its side gives up what it waits for (as in Envoy, which knows no half-closed HTTP connection).
    if (this.#isClosing && this.#activeStreams === 0) this.downstream.connection.end();
    else this.downstream.connection.destroy();
  }

  onDrain(): void {
    this.#codec?.onDrain();
  }

  onClose(): void {
    const { stats, runtime } = this.manager;
    const hadStreams = this.#activeStreams > 0;
    this.#isClosing = true;
    this.#codec?.onClose();
    this.#idleTimer?.cancel();
    this.#durationTimer?.cancel();
    this.#closeTimer?.cancel();
    this.#headTimer?.cancel();
    stats.cxDestroy.inc();
    if (hadStreams) stats.cxDestroyActiveRq.inc();
    if (this.#closedLocally) {
      stats.cxDestroyLocal.inc();
      if (hadStreams) stats.cxDestroyLocalActiveRq.inc();
    } else {
      stats.cxDestroyRemote.inc();
      if (hadStreams) stats.cxDestroyRemoteActiveRq.inc();
    }
    stats.cxActive.dec();
    if (this.downstream.connection.tls !== undefined) stats.cxSslActive.dec();
    if (this.#codec?.protocol === "HTTP/2") stats.cxHttp2Active.dec();
    else if (this.#codec !== undefined) stats.cxHttp1Active.dec();
    stats.cxLengthMs.record(Math.floor(runtime.clock.monotonic() - this.#start));
  }

  // Events of the codec.

  onStream(encoder: StreamEncoder): StreamDecoder {
    const { stats, config } = this.manager;
    if (this.#codec?.protocol === "HTTP/2") stats.rqHttp2Total.inc();
    else stats.rqHttp1Total.inc();
    this.#headTimer?.cancel();
    this.#headTimer = undefined;
    this.#activeStreams++;
    this.#requests++;
    if (this.#requests === config.maxRequestsPerConnection) {
      stats.cxMaxRequestsReached.inc();
      this.#codec?.drain();
    }
    const stream = new ActiveStream(this, encoder);
    this.#lastStream = stream;
    return stream;
  }

  /** Another stream for the client of `encoder`, made from one that is about to end. */
  recreateStream(encoder: StreamEncoder): ActiveStream {
    this.#activeStreams++;
    const stream = new ActiveStream(this, encoder);
    this.#lastStream = stream;
    encoder.decoder = stream;
    return stream;
  }

  onHeadBegun(): void {
    const { requestHeadersMs } = this.manager.config.timeouts;
    if (requestHeadersMs === 0 || this.#headTimer !== undefined) return;
    this.#headTimer = this.manager.runtime.clock.wheel.schedule(requestHeadersMs, () => {
      this.#headTimer = undefined;
      this.#codecOfUndecided()?.abortHead?.({
        status: 408,
        details: "request_header_timeout",
        message: "the headers did not come in time",
      });
    });
  }

  onProtocolError(error: CodecError): void {
    const { stats } = this.manager;
    if (error.status === 408) stats.rqHeaderTimeout.inc();
    else stats.cxProtocolError.inc();
    if (error.details === "http1.unexpected_underscore") stats.underscoresRejected.inc();
    if (this.#isHttp2) this.#close(false);
    else this.#lastStream?.onCodecError(error);
  }

  onGoAway(): void {
    this.drain();
  }

  onDrained(): void {
    this.#close(false);
  }

  /** An HTTP/2 codec knows best when its connection may end: streams outlive their responses until they are read. */
  get #isHttp2(): boolean {
    return this.#codec?.protocol === "HTTP/2";
  }

  // Calls of the streams.

  /** The protocol of a stream: HTTP/1.0 is known only to the stream itself. */
  protocolOf(encoder: StreamEncoder): Protocol {
    return (encoder as { readonly isHttp10?: boolean }).isHttp10 === true
      ? "HTTP/1.0"
      : (this.#codec?.protocol ?? "HTTP/1.1");
  }

  /** Decides before a response's headers go out whether it is the connection's last. */
  drainIfAsked(isRequestComplete: boolean): void {
    const codec = this.#codec;
    if (codec === undefined || codec.isDraining) return;
    if (this.manager.isDraining()) {
      this.manager.stats.cxDrainClose.inc();
      codec.drain();
    } else if (!isRequestComplete && codec.protocol !== "HTTP/2") codec.drain();
  }

  /** An HTTP/1 connection ends with the response that is about to be sent. */
  drainHttp1(): void {
    if (this.#codec?.protocol !== "HTTP/2") this.#codec?.drain();
  }

  /** Upgrades are counted by streams, as in Envoy. */
  countUpgrade(): void {
    this.manager.stats.cxUpgradesTotal.inc();
    this.manager.stats.cxUpgradesActive.inc();
  }

  onStreamEnd(stream: ActiveStream, wasTunnel: boolean): void {
    this.#activeStreams--;
    if (this.#lastStream === stream) this.#lastStream = undefined;
    if (this.manager.config.timeouts.connectionIdleMs > 0) this.#lastActive = stream.info.end;
    if (this.#codec?.isDraining === true && this.#activeStreams === 0 && !this.#isHttp2) this.#close(wasTunnel);
  }

  /** No new requests; ends at once when there are none. */
  drain(): void {
    this.#codec?.drain();
    if (this.#activeStreams === 0 && !this.#isHttp2) this.#close(false);
  }

  /**
   * Ends our side after what is queued, and gives the client `delayed_close_timeout` to end its own: it would lose the
   * response if it were still sending when the connection is reset.
   * Differs from Envoy, which keeps its side open meanwhile: here a client that reads to the end need not wait.
   */
  #close(atOnce: boolean): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#closedLocally = true;
    const { connection } = this.downstream;
    if (connection.isClosed) return;
    connection.end();
    if (!atOnce && this.manager.config.timeouts.delayedCloseMs > 0) this.#armClose();
  }

  /** A client that still reads what is queued is given its time. */
  #armClose(): void {
    const { connection } = this.downstream;
    const queued = connection.bufferedBytes;
    this.#closeTimer = this.manager.runtime.clock.wheel.schedule(this.manager.config.timeouts.delayedCloseMs, () => {
      if (connection.bufferedBytes < queued) return this.#armClose();
      this.manager.stats.cxDelayedCloseTimeout.inc();
      connection.destroy();
    });
  }

  readonly #onIdleTick = (): void => {
    const { clock } = this.manager.runtime;
    const idleMs = this.manager.config.timeouts.connectionIdleMs;
    const leftMs = this.#activeStreams > 0 ? idleMs : this.#lastActive + idleMs - clock.monotonic();
    if (leftMs > 0) {
      this.#idleTimer = clock.wheel.schedule(leftMs, this.#onIdleTick);
      return;
    }
    this.manager.stats.cxIdleTimeout.inc();
    this.drain();
  };

  // Which protocol is spoken: by ALPN, by configuration, or by the first bytes.

  #detect(chunk: Buffer): void {
    const bytes = this.#undecided === undefined ? chunk : Buffer.concat([this.#undecided, chunk]);
    const answer = isHttp2Preface(bytes);
    if (answer === "maybe") {
      this.#undecided = Buffer.from(bytes);
      this.onHeadBegun();
      return;
    }
    this.#undecided = undefined;
    const codec = answer === "yes" ? this.#useHttp2() : this.#useHttp1();
    codec.onData(bytes);
  }

  /** What never became HTTP/2 was the beginning of a head, for Envoy from its first byte on. */
  #codecOfUndecided(): ServerCodec | undefined {
    const bytes = this.#undecided;
    if (bytes === undefined) return this.#codec;
    this.#undecided = undefined;
    const codec = this.#useHttp1();
    codec.onData(bytes);
    return codec;
  }

  #useHttp1(): ServerCodec {
    const { stats, http1 } = this.manager;
    stats.cxHttp1Total.inc();
    stats.cxHttp1Active.inc();
    const codec = createHttp1ServerCodec(this.downstream.connection, this, http1);
    this.#codec = codec;
    return codec;
  }

  #useHttp2(): ServerCodec {
    const { stats, http2 } = this.manager;
    stats.cxHttp2Total.inc();
    stats.cxHttp2Active.inc();
    const codec = createHttp2ServerCodec(this.downstream.connection, this, http2);
    this.#codec = codec;
    return codec;
  }
}
