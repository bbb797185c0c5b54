/** The streams of one HTTP/2 connection: their windows, their turns to send, their ends. */
import type { Connection } from "#lib/connection.ts";
import type { HeaderMap } from "../header-map.ts";
import { ClosedStreams } from "./closed-streams.ts";
import { FrameWriter } from "./frame-writer.ts";
import { ErrorCode, initialWindowBytes, maxFrameBytes } from "./frames.ts";
import { HpackEncoder } from "./hpack/encoder.ts";
import { createHttp2Shared, defaultAbuseLimits, type Http2Shared, type SessionOptions } from "./options.ts";
import { PeerSettings } from "./peer-settings.ts";
import { StreamTable } from "./stream-table.ts";
import type { Http2Stream, StreamOwner } from "./stream.ts";

export abstract class SessionStreams implements StreamOwner {
  /** After an error, or without a connection: nothing counts any more. */
  isDead = false;
  isDraining = false;
  sendWindow: number = initialWindowBytes;
  /** Streams that ever began. */
  openedStreams = 0;
  protected readonly streams: StreamTable = new StreamTable();
  protected readonly peer: PeerSettings;
  protected readonly writer: FrameWriter;
  protected readonly encoder: HpackEncoder;
  protected readonly shared: Http2Shared;
  protected readonly connection: Connection;
  /** Streams that were given up: what the peer has sent before it knew is ignored. */
  protected readonly givenUp: ClosedStreams = new ClosedStreams(256);
  protected readonly ended: ClosedStreams = new ClosedStreams(32);
  protected readonly sessionOptions: SessionOptions;
  /** What the peer may still send on all streams. */
  protected receiveWindow: number;
  /** Read on all streams and not yet given back. */
  #unreported = 0;
  #isPumping = false;
  /** Streams that wait for room, or whose sender does. */
  readonly #waiting = new Set<Http2Stream>();

  constructor(connection: Connection, options: SessionOptions, isServer: boolean) {
    const shared = options.shared ?? createHttp2Shared();
    this.connection = connection;
    this.sessionOptions = options;
    this.encoder = new HpackEncoder(options.usesHuffman);
    this.shared = shared;
    this.peer = new PeerSettings(!isServer);
    this.receiveWindow = Math.max(options.initialConnectionWindowBytes, initialWindowBytes);
    this.writer = new FrameWriter({
      connection,
      limits: options.limits ?? defaultAbuseLimits,
      buffers: shared.buffers,
      stats: shared.stats,
      sentBytes: options.sentBytes,
      atEndOfTurn: options.atEndOfTurn ?? queueMicrotask,
      onFlood: (details) => this.#abandon(details),
    });
  }

  // What the sides do differently.

  protected abstract writeHead(stream: Http2Stream, headers: HeaderMap): void;
  /** A stream is over and its decoder knows. */
  protected abstract onStreamGone(stream: Http2Stream): void;
  /** Something that the peer did ends a stream: counted against it. */
  protected abstract onPeerReset(stream: Http2Stream): void;
  /** As what a stream error of ours counts. */
  protected abstract resetReasonOf(code: ErrorCode): "protocol error" | "remote reset";
  protected abstract onConnectionError(details: string, message: string): void;
  /** The highest stream of the peer that was looked at. */
  protected abstract readonly lastStreamId: number;

  // Sending.

  /** The connection takes nothing for now. */
  get isBlocked(): boolean {
    return this.writer.isBlocked;
  }

  writeHeaders(stream: Http2Stream, headers: HeaderMap, endStream: boolean): void {
    const at = this.writer.beginHeaders();
    this.encoder.begin(this.writer.out);
    this.writeHead(stream, headers);
    this.#writeFields(headers);
    this.writer.endHeaders(at, stream.id, endStream);
  }

  writeTrailers(stream: Http2Stream, trailers: HeaderMap): void {
    const at = this.writer.beginHeaders();
    this.encoder.begin(this.writer.out);
    this.#writeFields(trailers);
    this.writer.endHeaders(at, stream.id, true);
  }

  #writeFields(headers: HeaderMap): void {
    const { encoder, writer } = this;
    const { names, values, sensitive } = headers;
    for (let i = 0; i < names.length; i++) {
      const name = names[i] as string;
      encoder.field(writer.out, name, values[i] as string, sensitive !== undefined && sensitive.has(name));
    }
  }

  writeData(stream: Http2Stream, data: Buffer | string, start: number, end: number, endStream: boolean): void {
    const size = end - start;
    stream.sendWindow -= size;
    this.sendWindow -= size;
    let from = start;
    for (; end - from > maxFrameBytes; from += maxFrameBytes)
      this.writer.data(stream.id, data, from, from + maxFrameBytes, false);
    this.writer.data(stream.id, data, from, end, endStream);
  }

  wait(stream: Http2Stream): void {
    this.#waiting.add(stream);
  }

  pendingBytes(change: number): void {
    this.shared.stats.pendingSendBytes.add(change);
  }

  /** Sends what waits, a frame of each stream in turn, as far as there is room. */
  protected pumpAll(): void {
    if (this.#isPumping || this.#waiting.size === 0) return;
    this.#isPumping = true;
    for (let isMoving = true; isMoving;) {
      isMoving = false;
      for (const stream of this.#waiting) if (stream.pump()) isMoving = true;
    }
    for (const stream of this.#waiting) {
      stream.notifyWritable();
      if (!stream.isWaiting && !stream.wantsWritable) this.#waiting.delete(stream);
    }
    this.#isPumping = false;
  }

  // Receiving.

  consumed(stream: Http2Stream, size: number): void {
    this.giveBack(size);
    if (stream.isReceived || stream.isOver) return;
    stream.unreported += size;
    if (stream.unreported * 2 < this.sessionOptions.initialStreamWindowBytes) return;
    this.writer.windowUpdate(stream.id, stream.unreported);
    stream.receiveWindow += stream.unreported;
    stream.unreported = 0;
  }

  /** Bytes that were read, or that nobody will read: the peer may send as many more, on any stream. */
  protected giveBack(size: number): void {
    this.#unreported += size;
    if (this.#unreported * 2 < Math.max(this.sessionOptions.initialConnectionWindowBytes, initialWindowBytes)) return;
    this.writer.windowUpdate(0, this.#unreported);
    this.receiveWindow += this.#unreported;
    this.#unreported = 0;
  }

  // Ends.

  protected begin(stream: Http2Stream): void {
    this.streams.add(stream);
    this.openedStreams++;
    this.shared.stats.streamsActive.inc();
  }

  end(stream: Http2Stream, code: ErrorCode | undefined): void {
    if (stream.isOver) return;
    this.forget(stream);
    if (stream.id !== 0) {
      if (code === undefined) this.ended.add(stream.id);
      else {
        this.givenUp.add(stream.id);
        this.writer.rstStream(stream.id, code);
      }
    }
    this.onStreamGone(stream);
  }

  protected forget(stream: Http2Stream): void {
    const unread = stream.clear();
    if (this.#waiting.size > 0) this.#waiting.delete(stream);
    if (unread > 0) this.giveBack(unread);
    if (this.streams.delete(stream)) this.shared.stats.streamsActive.dec();
  }

  /** Ends one stream because of what the peer did. */
  protected streamError(stream: Http2Stream, code: ErrorCode, details: string): void {
    if (stream.isOver) return;
    this.onPeerReset(stream);
    if (this.isDead) return;
    this.forget(stream);
    this.givenUp.add(stream.id);
    this.writer.rstStream(stream.id, code);
    stream.decoder?.onReset(this.resetReasonOf(code), details);
    this.onStreamGone(stream);
  }

  protected protocolError(message: string): void {
    this.fail(ErrorCode.protocolError, message);
  }

  /** Ends the connection: tells the peer why, then everybody else. */
  protected fail(code: ErrorCode, message: string, details = "http2.violation.of.messaging.rule"): void {
    if (this.isDead) return;
    this.isDead = true;
    this.isDraining = true;
    this.writer.goAway(this.lastStreamId, code, message);
    this.writer.flush();
    this.release();
    // First the owner, so that nobody who starts anew is given this connection again.
    this.onConnectionError(details, message);
    this.endAll("protocol error", details);
    if (!this.connection.isClosed) this.connection.end();
  }

  /** The peer reads nothing: it would not read a GOAWAY either. */
  #abandon(details: string): void {
    if (this.isDead) return;
    this.isDead = true;
    this.isDraining = true;
    this.release();
    this.onConnectionError(details, "the peer makes us send more than it takes");
    this.endAll("protocol error", details);
    this.connection.destroy();
  }

  /** Nothing is sent any more. */
  protected release(): void {
    this.writer.close();
    this.#waiting.clear();
  }

  /** Every stream is gone; each decoder hears of it. */
  protected endAll(reason: "connection termination" | "protocol error", details: string): void {
    for (const stream of this.streams.all()) {
      if (stream.isOver) continue;
      this.forget(stream);
      stream.decoder?.onReset(reason, details);
      this.onStreamGone(stream);
    }
  }
}
