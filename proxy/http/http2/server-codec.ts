/** The server side of HTTP/2 on bytes. */
import type { Connection } from "#lib/connection.ts";
import type { Timer } from "#lib/runtime.ts";
import type { CodecError, ServerCodec, ServerCodecHandler } from "../codec.ts";
import type { HeaderMap } from "../header-map.ts";
import { ErrorCode, maxStreamId, Setting } from "./frames.ts";
import type { BlockKind, HeadError } from "./head-builder.ts";
import { defaultAbuseLimits, type SessionOptions } from "./options.ts";
import { PrefaceReader } from "./preface.ts";
import { ResetGuard } from "./reset-guard.ts";
import { drainPing, Http2Session } from "./session.ts";
import { Http2Stream } from "./stream.ts";

export interface Http2ServerOptions extends SessionOptions {
  /** Extended CONNECT (RFC 8441). */
  readonly allowConnect: boolean;
  readonly maxRequestHeadersBytes: number;
  readonly headersWithUnderscores?: "allow" | "reject" | "drop" | undefined;
  /** How long a drain waits for the client to hear of it. */
  readonly drainMs?: number | undefined;
  /** Up to this share of it is added, by chance: clients of one proxy do not all come back at once. */
  readonly drainJitter?: number | undefined;
  readonly onTooManyPrematureResets?: (() => void) | undefined;
}

/** The owner of the connection passes its events on to the codec. */
export function createHttp2ServerCodec(
  connection: Connection,
  handler: ServerCodecHandler,
  options: Http2ServerOptions,
): ServerCodec {
  return new Http2ServerCodec(connection, handler, options);
}

const defaultDrainMs = 5000;

class Http2ServerCodec extends Http2Session implements ServerCodec {
  protected override lastStreamId = 0;
  /** The last GOAWAY is out: what begins now is not looked at. */
  #isClosed = false;
  #isDrained = false;
  #status: CodecError["status"] = 400;
  #drainTimer: Timer | undefined = undefined;
  readonly #preface: PrefaceReader = new PrefaceReader();
  readonly #resets: ResetGuard;
  readonly #handler: ServerCodecHandler;
  readonly #options: Http2ServerOptions;

  constructor(connection: Connection, handler: ServerCodecHandler, options: Http2ServerOptions) {
    const { maxRequestHeadersBytes: maxBytes, maxHeadersCount: maxCount, allowConnect } = options;
    super(
      connection,
      options,
      { maxBytes, maxCount, allowConnect, underscores: options.headersWithUnderscores ?? "allow" },
      true,
    );
    this.#handler = handler;
    this.#options = options;
    this.#resets = new ResetGuard(options.limits ?? defaultAbuseLimits, options.clock);
    this.greet([
      [Setting.enableConnectProtocol, allowConnect ? 1 : 0],
      [Setting.maxConcurrentStreams, options.maxConcurrentStreams],
    ]);
  }

  get activeStreams(): number {
    return this.streams.size;
  }

  override onData(chunk: Buffer): void {
    const preface = this.#preface;
    if (preface.isDone) return super.onData(chunk);
    const rest = preface.read(chunk);
    if (rest === undefined) return this.protocolError("the connection preface is not HTTP/2's");
    if (rest.length > 0) super.onData(rest);
    return undefined;
  }

  override onClose(): void {
    this.#drainTimer?.cancel();
    super.onClose();
  }

  /**
   * First says that streams should begin elsewhere, then, when the client must have heard of it, which was the last:
   * no request is lost between the two (RFC 9113 §6.8). A second call does not wait.
   */
  drain(): void {
    if (this.isDead || this.#isClosed) return;
    if (this.isDraining) return this.#finishDrain();
    this.isDraining = true;
    this.writer.goAway(maxStreamId, ErrorCode.noError, "");
    this.writer.ping(false, drainPing, 0);
    const { clock, drainMs = defaultDrainMs, drainJitter = 0, random } = this.#options;
    const waitMs = drainJitter === 0 ? drainMs : drainMs * (1 + drainJitter * (random?.() ?? 0));
    this.#drainTimer = clock?.wheel.schedule(waitMs, () => this.#finishDrain());
    return undefined;
  }

  #finishDrain(): void {
    if (this.#isClosed || this.isDead) return;
    this.#isClosed = true;
    this.#drainTimer?.cancel();
    this.writer.goAway(this.lastStreamId, ErrorCode.noError, "");
    this.#endIfDrained();
  }

  #endIfDrained(): void {
    if (!this.#isClosed || this.streams.size > 0 || this.#isDrained || this.isDead) return;
    this.#isDrained = true;
    this.writer.flush();
    if (this.#handler.onDrained === undefined) this.connection.end();
    else this.#handler.onDrained();
  }

  protected override onPingAck(payload: Buffer, start: number): void {
    if (payload[start] === drainPing[0] && this.isDraining) this.#finishDrain();
  }

  protected override isIdle(streamId: number): boolean {
    return (streamId & 1) === 0 || streamId > this.lastStreamId;
  }

  protected override streamForHeaders(streamId: number): Http2Stream | undefined {
    if ((streamId & 1) === 0 || streamId <= this.lastStreamId) return this.onStrayHeaders(streamId);
    // RFC 9113 §6.8: whoever was told which stream is the last one begins this one again elsewhere.
    if (this.#isClosed) return undefined;
    this.lastStreamId = streamId;
    if (this.streams.size >= this.#options.maxConcurrentStreams) {
      this.openedStreams++;
      this.shared.stats.streamRefusedErrors.inc();
      this.givenUp.add(streamId);
      this.writer.rstStream(streamId, ErrorCode.refusedStream);
      return undefined;
    }
    const stream = new ServerStream(this, this.peer.initialWindowBytes, this.streamReceiveWindow);
    stream.id = streamId;
    stream.startedMs = this.#resets.now;
    this.begin(stream);
    return stream;
  }

  protected override blockKind(stream: Http2Stream): BlockKind {
    return stream.hasHead ? "trailers" : "request";
  }

  protected override onHead(stream: ServerStream, headers: HeaderMap, endStream: boolean): HeadError | undefined {
    stream.contentLeft = headers.method === "CONNECT" ? -1 : this.head.contentLength;
    if (endStream && stream.contentLeft > 0) return "http2.violation.of.messaging.rule";
    stream.hasHead = true;
    if (headers.protocol !== "") {
      // An extended CONNECT is shown as the upgrade that it stands for.
      stream.isExtendedConnect = true;
      headers.method = "GET";
      headers.set("connection", "upgrade");
      headers.set("upgrade", headers.protocol);
    }
    if (endStream) {
      stream.isReceived = true;
      stream.isDelivered = true;
    }
    const decoder = this.#handler.onStream(stream);
    stream.decoder = decoder;
    decoder.onHeaders(headers, endStream);
    return undefined;
  }

  protected override onHeadBegun(): void {
    this.#handler.onHeadBegun?.();
  }

  /** A head that does not come to its end: nothing else can come before it does. */
  abortHead(error: CodecError): void {
    if (!this.isInHead) return;
    this.#status = error.status;
    this.fail(ErrorCode.enhanceYourCalm, error.message, error.details);
  }

  protected override onRefusedHead(stream: Http2Stream): void {
    stream.decoder ??= this.#handler.onStream(stream);
  }

  protected override writeHead(stream: ServerStream, headers: HeaderMap): void {
    const { status } = headers;
    this.encoder.status(this.writer.out, stream.isExtendedConnect && status === 101 ? 200 : status);
  }

  protected override onStreamGone(stream: ServerStream): void {
    this.#resets.onStreamEnd(stream.startedMs, stream.isResetByPeer);
    if (this.#isClosed) this.#endIfDrained();
  }

  protected override onPeerReset(stream: ServerStream): void {
    stream.isResetByPeer = true;
    if (!this.#resets.wouldBeTooMany(stream.startedMs)) return;
    this.#options.onTooManyPrematureResets?.();
    this.fail(ErrorCode.enhanceYourCalm, "too many streams are given up at once", "http2.too_many_premature_resets");
  }

  /** As Envoy counts them: a request that is too large has been reset, any other has broken the protocol. */
  protected override resetReasonOf(code: ErrorCode): "protocol error" | "remote reset" {
    return code === ErrorCode.internalError ? "remote reset" : "protocol error";
  }

  protected override onConnectionError(details: string, message: string): void {
    this.#drainTimer?.cancel();
    this.#handler.onProtocolError({ status: this.#status, details, message });
  }

  protected override onGoAwayFrame(): void {
    this.#handler.onGoAway?.();
  }

  protected override onPeerSettings(): void {}
}

class ServerStream extends Http2Stream {
  startedMs = 0;
  isResetByPeer = false;
  isExtendedConnect = false;
  protected override readonly resetCode: ErrorCode = ErrorCode.internalError;

  sendHeaders(headers: HeaderMap, endStream: boolean): void {
    if (this.isOver || this.isHeadSent) return;
    this.isHeadSent = true;
    this.owner.writeHeaders(this, headers, endStream);
    if (!endStream) return;
    this.isEnding = true;
    this.sent();
  }

  sendInformational(headers: HeaderMap): void {
    if (!this.isOver && !this.isHeadSent) this.owner.writeHeaders(this, headers, false);
  }

  /** An early answer: the client need not send the rest (RFC 9113 §8.1, R-108). */
  protected override onSentFirst(): void {
    this.owner.end(this, this.isReceived ? undefined : ErrorCode.noError);
  }
}
