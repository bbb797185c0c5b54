/**
 * One HTTP/2 connection (RFC 9113), what both sides have in common: frames in, settings, pings, what is an error.
 * `server-codec.ts` and `client-codec.ts` say who may begin a stream and what its heads mean.
 */
import type { Connection } from "#lib/connection.ts";
import type { HeaderMap } from "../header-map.ts";
import { FrameReader, type FrameSink } from "./frame-reader.ts";
import {
  ErrorCode,
  Flag,
  FrameType,
  initialTableBytes,
  initialWindowBytes,
  maxWindowBytes,
  Setting,
} from "./frames.ts";
import { HeadBuilder, type BlockKind, type HeadError, type HeadRules } from "./head-builder.ts";
import { HeaderBlock } from "./header-block.ts";
import { HpackDecoder, type FieldSink } from "./hpack/decoder.ts";
import { Keepalive, type KeepaliveOwner } from "./keepalive.ts";
import type { SessionOptions } from "./options.ts";
import { SessionBodies } from "./session-bodies.ts";
import type { Http2Stream } from "./stream.ts";

/** Pings of ours, told apart by their first byte. */
const keepalivePing: Buffer = Buffer.from("keepaliv", "latin1");
export const drainPing: Buffer = Buffer.from("drain...", "latin1");

const ignoredFields: FieldSink = { onField() {} };

export abstract class Http2Session extends SessionBodies implements FrameSink, KeepaliveOwner {
  readonly protocol = "HTTP/2";
  lastReceivedMs = 0;
  protected readonly head: HeadBuilder;
  protected readonly keepalive: Keepalive | undefined;
  readonly #decoder: HpackDecoder;
  readonly #reader: FrameReader = new FrameReader(this);
  readonly #block = new HeaderBlock();
  readonly #maxHeaderBytes: number;
  #hasSettings = false;
  /** Our SETTINGS are in force at the peer. */
  #isAcknowledged = false;

  constructor(connection: Connection, options: SessionOptions, rules: Omit<HeadRules, "stats">, isServer: boolean) {
    super(connection, options, isServer);
    const { stats, names } = this.shared;
    this.head = new HeadBuilder({ ...rules, stats });
    this.#maxHeaderBytes = rules.maxBytes;
    // Until the peer knows better it uses the protocol's default.
    this.#decoder = new HpackDecoder(initialTableBytes, names);
    if (options.headerTableBytes > initialTableBytes) this.#decoder.setLimit(options.headerTableBytes);
    const { clock, keepalive } = options;
    if (clock !== undefined) this.lastReceivedMs = clock.monotonic();
    this.keepalive =
      clock === undefined || keepalive === undefined
        ? undefined
        : new Keepalive(this, clock, keepalive, options.random ?? (() => 0));
  }

  /** What the peer may send on a new stream: until it knows our settings, no less than the protocol's default. */
  protected get streamReceiveWindow(): number {
    const own = this.sessionOptions.initialStreamWindowBytes;
    return this.#isAcknowledged ? own : Math.max(own, initialWindowBytes);
  }

  /** The first frames of either side. */
  protected greet(settings: readonly (readonly [number, number])[]): void {
    const { headerTableBytes, initialStreamWindowBytes } = this.sessionOptions;
    this.writer.settings([
      [Setting.headerTableSize, headerTableBytes],
      ...settings,
      [Setting.initialWindowSize, initialStreamWindowBytes],
      [Setting.maxHeaderListSize, this.#maxHeaderBytes],
    ]);
    const more = this.receiveWindow - initialWindowBytes;
    if (more > 0) this.writer.windowUpdate(0, more);
  }

  // The connection.

  onData(chunk: Buffer): void {
    if (this.keepalive !== undefined) this.lastReceivedMs = this.sessionOptions.clock?.monotonic() ?? 0;
    this.#reader.read(chunk);
  }

  onDrain(): void {
    this.writer.drained();
    this.pumpAll();
  }

  onClose(_isError?: boolean): void {
    this.isDraining = true;
    this.isDead = true;
    this.release();
    this.endAll("connection termination", "");
  }

  protected override release(): void {
    this.keepalive?.close();
    super.release();
  }

  sendKeepalivePing(): void {
    this.writer.ping(false, keepalivePing, 0);
  }

  onKeepaliveTimeout(): void {
    this.shared.stats.keepaliveTimeout.inc();
    this.connection.destroy();
  }

  // What the sides do differently.

  /** The stream that a header block begins; undefined: the block is read and forgotten. */
  protected abstract streamForHeaders(streamId: number): Http2Stream | undefined;
  protected abstract blockKind(stream: Http2Stream): BlockKind;
  /** A good head. Returns what is wrong with it after all. */
  protected abstract onHead(stream: Http2Stream, headers: HeaderMap, endStream: boolean): HeadError | undefined;
  /** A head has begun that is not whole yet. */
  protected abstract onHeadBegun(): void;
  protected abstract onGoAwayFrame(lastStreamId: number): void;
  protected abstract onPeerSettings(): void;
  protected abstract onPingAck(payload: Buffer, start: number): void;

  // Frames.

  onFrame(type: number, flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    if (this.#block.streamId !== 0 && type !== FrameType.continuation)
      return this.protocolError("a header block is interrupted by another frame");
    if (!this.#hasSettings && (type !== FrameType.settings || (flags & Flag.ack) !== 0))
      return this.protocolError("the first frame is not SETTINGS");
    switch (type) {
      case FrameType.headers:
        return this.#onHeaders(flags, id, bytes, start, end);
      case FrameType.continuation:
        return this.#onContinuation(flags, id, bytes, start, end);
      case FrameType.windowUpdate:
        return this.onWindowUpdate(id, bytes, start, end);
      case FrameType.settings:
        return this.#onSettings(flags, id, bytes, start, end);
      case FrameType.ping:
        return this.#onPing(flags, id, bytes, start, end);
      case FrameType.rstStream:
        return this.#onRstStream(id, bytes, start, end);
      case FrameType.goAway:
        if (id !== 0) return this.protocolError("GOAWAY on a stream");
        if (end - start < 8) return this.fail(ErrorCode.frameSizeError, "GOAWAY is too short");
        return this.onGoAwayFrame(bytes.readUInt32BE(start) & maxWindowBytes);
      case FrameType.priority:
        return this.#onPriority(id, bytes, start, end);
      case FrameType.pushPromise:
        return this.protocolError("PUSH_PROMISE was never allowed");
      default:
        // Types that we don't know are ignored (RFC 9113 §5.5).
        return undefined;
    }
  }

  onFrameError(code: ErrorCode, message: string): void {
    this.fail(code, message);
  }

  #onHeaders(flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    if (id === 0) return this.protocolError("HEADERS without a stream");
    let from = start;
    let to = end;
    if ((flags & Flag.padded) !== 0) {
      to -= from < to ? (bytes[from] as number) : 0;
      from++;
    }
    if ((flags & Flag.priority) !== 0) {
      if (from + 5 <= to && (bytes.readUInt32BE(from) & maxWindowBytes) === id)
        return this.protocolError("a stream depends on itself");
      from += 5;
    }
    if (from > to) return this.protocolError("HEADERS is shorter than its padding and priority");
    const endStream = (flags & Flag.endStream) !== 0;
    if (this.isFlood(this.guard.onPayload(from === to && !endStream))) return;
    if ((flags & Flag.endHeaders) !== 0) this.#onBlock(id, bytes, from, to, endStream);
    else {
      this.#block.begin(id, endStream, bytes, from, to);
      this.onHeadBegun();
    }
  }

  #onContinuation(flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    const block = this.#block;
    if (block.streamId === 0 || block.streamId !== id)
      return this.protocolError("CONTINUATION without the HEADERS that it continues");
    if (this.isFlood(this.guard.onPayload(start === end))) return;
    // A block that is larger encoded than its list may be decoded was not made to be read.
    if (block.length + end - start > this.#maxHeaderBytes + 16_384)
      return this.fail(ErrorCode.enhanceYourCalm, "a header block is too large", "http2.header_list_size_too_large");
    block.append(bytes, start, end);
    if ((flags & Flag.endHeaders) === 0) return;
    const { endStream } = block;
    const whole = block.take();
    this.#onBlock(id, whole, 0, whole.length, endStream);
  }

  #onBlock(id: number, bytes: Buffer, start: number, end: number, endStream: boolean): void {
    let stream = this.streams.get(id);
    if (stream !== undefined && stream.isReceived) {
      this.streamError(stream, ErrorCode.streamClosed, "http2.violation.of.messaging.rule");
      stream = undefined;
    } else stream ??= this.streamForHeaders(id);
    if (this.isDead) return;
    const kind = stream === undefined ? undefined : this.blockKind(stream);
    if (kind !== undefined) this.head.begin(kind);
    if (!this.#decoder.decode(bytes, start, end, kind === undefined ? ignoredFields : this.head))
      return this.fail(ErrorCode.compressionError, "a header block can't be decoded");
    if (stream === undefined) return;
    const error = this.head.finish();
    if (error !== undefined) return this.onMalformed(stream, error);
    const { headers } = this.head;
    if (kind === "trailers") {
      if (!endStream || stream.contentLeft > 0) return this.onMalformed(stream, "http2.violation.of.messaging.rule");
      this.shared.stats.trailers.inc();
      stream.isReceived = true;
      stream.receiveTrailers(headers);
      return;
    }
    const late = this.onHead(stream, headers, endStream);
    if (late !== undefined) this.onMalformed(stream, late);
  }

  override onDataStart(id: number, size: number, padding: number, endStream: boolean): void {
    if (this.#block.streamId !== 0) this.protocolError("a header block is interrupted by another frame");
    else if (!this.#hasSettings) this.protocolError("the first frame is not SETTINGS");
    else super.onDataStart(id, size, padding, endStream);
  }

  /** A header block is open: nothing else may come before its end. */
  protected get isInHead(): boolean {
    return this.#block.streamId !== 0;
  }

  #onSettings(flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    if (id !== 0) return this.protocolError("SETTINGS on a stream");
    if ((flags & Flag.ack) !== 0) {
      if (end !== start) return this.fail(ErrorCode.frameSizeError, "an acknowledgement of SETTINGS with settings");
      if (!this.#isAcknowledged) this.#decoder.setLimit(this.sessionOptions.headerTableBytes);
      this.#isAcknowledged = true;
      return undefined;
    }
    if ((end - start) % 6 !== 0) return this.fail(ErrorCode.frameSizeError, "SETTINGS is cut off");
    const windowBefore = this.peer.initialWindowBytes;
    const error = this.peer.apply(bytes, start, end);
    if (error !== undefined) return this.fail(error.code, error.message);
    this.#hasSettings = true;
    this.encoder.setMaxSize(this.peer.headerTableBytes);
    const change = this.peer.initialWindowBytes - windowBefore;
    if (change !== 0) {
      for (const stream of this.streams.all()) {
        stream.sendWindow += change;
        if (stream.sendWindow > maxWindowBytes)
          return this.fail(ErrorCode.flowControlError, "a stream's window is larger than a window can be");
      }
    }
    this.writer.settingsAck();
    if (change > 0) this.pumpAll();
    return this.onPeerSettings();
  }

  #onPing(flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    if (id !== 0) return this.protocolError("PING on a stream");
    if (end - start !== 8) return this.fail(ErrorCode.frameSizeError, "PING is not eight bytes long");
    if ((flags & Flag.ack) === 0) return this.writer.ping(true, bytes, start);
    if (bytes[start] === keepalivePing[0]) return this.keepalive?.onAck();
    return this.onPingAck(bytes, start);
  }

  #onRstStream(id: number, bytes: Buffer, start: number, end: number): void {
    if (id === 0 || this.isIdle(id)) return this.protocolError("RST_STREAM on a stream that never began");
    if (end - start !== 4) return this.fail(ErrorCode.frameSizeError, "RST_STREAM is not four bytes long");
    this.shared.stats.rxReset.inc();
    const stream = this.streams.get(id);
    if (stream === undefined) return undefined;
    const code = bytes.readUInt32BE(start);
    this.onPeerReset(stream);
    if (this.isDead) return undefined;
    this.forget(stream);
    this.ended.add(id);
    // A whole response stands, though the rest of the request is not wanted (RFC 9113 §8.1).
    const isComplete = stream.isDelivered && (stream.isSent || code === ErrorCode.noError);
    if (!isComplete) {
      if (code === ErrorCode.refusedStream)
        stream.decoder?.onReset("remote refused stream reset", "http2.remote_refuse");
      else if (code === ErrorCode.connectError)
        stream.decoder?.onReset("remote error with CONNECT request", "http2.remote_reset");
      else stream.decoder?.onReset("remote reset", "http2.remote_reset");
    }
    return this.onStreamGone(stream);
  }

  #onPriority(id: number, bytes: Buffer, start: number, end: number): void {
    if (id === 0) return this.protocolError("PRIORITY without a stream");
    if (this.isFlood(this.guard.onPriority(this.openedStreams))) return undefined;
    if (end - start !== 5) {
      const stream = this.streams.get(id);
      if (stream === undefined) return this.fail(ErrorCode.frameSizeError, "PRIORITY is not five bytes long");
      return this.streamError(stream, ErrorCode.frameSizeError, "http2.violation.of.messaging.rule");
    }
    if ((bytes.readUInt32BE(start) & maxWindowBytes) === id) return this.protocolError("a stream depends on itself");
    return undefined;
  }
}
