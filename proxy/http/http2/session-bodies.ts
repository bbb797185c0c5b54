/** The bodies of one HTTP/2 connection's streams: DATA and WINDOW_UPDATE, and what is done about malformed messages. */
import type { Connection } from "#lib/connection.ts";
import { ErrorCode, maxWindowBytes } from "./frames.ts";
import type { HeadError } from "./head-builder.ts";
import { InboundGuard } from "./inbound-guard.ts";
import { defaultAbuseLimits, type SessionOptions } from "./options.ts";
import { SessionStreams } from "./session-streams.ts";
import type { Http2Stream } from "./stream.ts";

export abstract class SessionBodies extends SessionStreams {
  protected readonly guard: InboundGuard;
  /** The stream whose DATA frame is being read; undefined: nobody wants it. */
  #dataStream: Http2Stream | undefined = undefined;
  #dataEnds = false;

  constructor(connection: Connection, options: SessionOptions, isServer: boolean) {
    super(connection, options, isServer);
    this.guard = new InboundGuard(options.limits ?? defaultAbuseLimits, this.shared.stats);
  }

  /** Sees to it that somebody hears of a stream whose head is refused. */
  protected abstract onRefusedHead(stream: Http2Stream): void;
  /** Neither side ever began it. */
  protected abstract isIdle(streamId: number): boolean;

  onDataStart(id: number, size: number, padding: number, endStream: boolean): void {
    this.#dataStream = undefined;
    if (id === 0) return this.protocolError("DATA without a stream");
    if (this.isFlood(this.guard.onPayload(size === padding && !endStream))) return;
    this.receiveWindow -= size;
    if (this.receiveWindow < 0)
      return this.fail(ErrorCode.flowControlError, "more DATA than the connection's window allows");
    const stream = this.streams.get(id);
    if (stream === undefined || stream.isReceived) {
      this.giveBack(size);
      this.#onStrayData(id, stream);
      return;
    }
    stream.receiveWindow -= size;
    if (stream.receiveWindow < 0) {
      this.giveBack(size);
      return this.streamError(stream, ErrorCode.flowControlError, "http2.violation.of.messaging.rule");
    }
    const isTooMuch = stream.contentLeft >= 0 && size - padding > stream.contentLeft;
    if (stream.contentLeft >= 0) stream.contentLeft -= size - padding;
    if (!stream.hasHead || isTooMuch || (endStream && stream.contentLeft > 0)) {
      this.giveBack(size);
      return this.onMalformed(stream, "http2.violation.of.messaging.rule");
    }
    if (padding > 0) this.consumed(stream, padding);
    this.#dataStream = stream;
    this.#dataEnds = endStream;
  }

  onDataPart(chunk: Buffer, isLast: boolean): void {
    const stream = this.#dataStream;
    if (stream === undefined) return;
    if (stream.isOver) {
      this.giveBack(chunk.length);
      return;
    }
    const ends = isLast && this.#dataEnds;
    if (ends) stream.isReceived = true;
    stream.receiveData(chunk, ends);
  }

  #onStrayData(id: number, stream: Http2Stream | undefined): void {
    if (stream !== undefined) this.streamError(stream, ErrorCode.streamClosed, "http2.violation.of.messaging.rule");
    else if (this.isIdle(id)) this.protocolError("DATA on a stream that never began");
    else if (this.ended.has(id)) this.fail(ErrorCode.streamClosed, "DATA on a stream that has ended");
    else if (!this.givenUp.has(id)) this.writer.rstStream(id, ErrorCode.streamClosed);
  }

  /** HEADERS for a stream that is not there and may not begin. */
  protected onStrayHeaders(id: number): undefined {
    if (this.givenUp.has(id)) return undefined;
    if (this.ended.has(id)) this.fail(ErrorCode.streamClosed, "HEADERS on a stream that has ended");
    else this.protocolError("HEADERS on a stream that may not begin");
    return undefined;
  }

  protected onWindowUpdate(id: number, bytes: Buffer, start: number, end: number): void {
    if (end - start !== 4) return this.fail(ErrorCode.frameSizeError, "WINDOW_UPDATE is not four bytes long");
    if (this.isFlood(this.guard.onWindowUpdate(this.openedStreams, this.writer.dataFrames))) return;
    const increment = bytes.readUInt32BE(start) & maxWindowBytes;
    if (id === 0) {
      this.sendWindow += increment;
      if (increment === 0) return this.protocolError("WINDOW_UPDATE of nothing");
      if (this.sendWindow > maxWindowBytes)
        return this.fail(ErrorCode.flowControlError, "the connection's window is larger than a window can be");
      return this.pumpAll();
    }
    const stream = this.streams.get(id);
    if (stream === undefined) {
      if (this.isIdle(id)) this.protocolError("WINDOW_UPDATE on a stream that never began");
      return undefined;
    }
    stream.sendWindow += increment;
    if (increment === 0) return this.streamError(stream, ErrorCode.protocolError, "http2.violation.of.messaging.rule");
    if (stream.sendWindow > maxWindowBytes)
      return this.streamError(stream, ErrorCode.flowControlError, "http2.violation.of.messaging.rule");
    if (stream.isWaiting) this.pumpAll();
    return undefined;
  }

  /** RFC 9113 §8.1.1: the message means nothing; its stream, or by Envoy's default the connection, ends. */
  protected onMalformed(stream: Http2Stream, error: HeadError): void {
    const { stats } = this.shared;
    this.onRefusedHead(stream);
    if (error === "http2.too_many_headers" || error === "http2.header_list_size_too_large") {
      stats.headerOverflow.inc();
      this.streamError(stream, ErrorCode.internalError, error);
      return;
    }
    stats.rxMessagingError.inc();
    if (error === "http2.unexpected_underscore") this.streamError(stream, ErrorCode.internalError, error);
    else if (this.sessionOptions.streamErrorOnInvalidMessage === true)
      this.streamError(stream, ErrorCode.protocolError, error);
    else this.fail(ErrorCode.protocolError, "a message is malformed", error);
  }

  protected isFlood(details: string | undefined): boolean {
    if (details === undefined) return false;
    this.fail(ErrorCode.enhanceYourCalm, "too many frames that do nothing", details);
    return true;
  }
}
