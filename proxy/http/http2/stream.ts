/** One HTTP/2 stream: its states, its windows, what waits in either direction. */
import type { ResetReason, StreamDecoder, StreamEncoder } from "../codec.ts";
import type { HeaderMap } from "../header-map.ts";
import { ErrorCode } from "./frames.ts";
import { StreamInbox } from "./stream-inbox.ts";
import { StreamOutbox } from "./stream-outbox.ts";

/** What a stream asks of its connection. */
export interface StreamOwner {
  /** What all streams together may still send, and whether the connection takes anything now. */
  readonly sendWindow: number;
  readonly isBlocked: boolean;
  writeHeaders(stream: Http2Stream, headers: HeaderMap, endStream: boolean): void;
  writeTrailers(stream: Http2Stream, trailers: HeaderMap): void;
  /** Takes from the windows of stream and connection. */
  writeData(stream: Http2Stream, data: Buffer | string, start: number, end: number, endStream: boolean): void;
  /** Calls `pump` when there is room again. */
  wait(stream: Http2Stream): void;
  /** `size` bytes have been read: the peer may send as many more. */
  consumed(stream: Http2Stream, size: number): void;
  /** Both sides have ended, or it is given up: with a frame that says so when there is a code. */
  end(stream: Http2Stream, code: ErrorCode | undefined): void;
  pendingBytes(change: number): void;
}

/** From so many waiting bytes on, whoever sends is asked to stop; at half of it he may go on. */
const highWaterBytes = 64 * 1024;

export abstract class Http2Stream implements StreamEncoder {
  id = 0;
  /** Of the connection's table. */
  nextInChain: Http2Stream | undefined = undefined;
  decoder: StreamDecoder | undefined = undefined;
  /** The final head of the peer's message has come. */
  hasHead = false;
  /** The peer has ended its side. */
  isReceived = false;
  /** The end of the peer's side has been handed on. */
  isDelivered = false;
  /** Our own end is on the wire. */
  isSent = false;
  /** Our own end has been asked for, though bytes may still wait. */
  isEnding = false;
  isHeadSent = false;
  /** Nothing more happens. */
  isOver = false;
  sendWindow: number;
  receiveWindow: number;
  /** Read and not yet given back to the peer. */
  unreported = 0;
  /** Bytes that content-length still promises; -1 when it promises nothing. */
  contentLeft = -1;
  #wantsWritable = false;
  #isReadDisabled = false;
  #inbox: StreamInbox | undefined = undefined;
  #outbox: StreamOutbox | undefined = undefined;
  protected readonly owner: StreamOwner;

  constructor(owner: StreamOwner, sendWindow: number, receiveWindow: number) {
    this.owner = owner;
    this.sendWindow = sendWindow;
    this.receiveWindow = receiveWindow;
  }

  abstract sendHeaders(headers: HeaderMap, endStream: boolean): void;
  abstract sendInformational(headers: HeaderMap): void;
  /** What RST_STREAM says for a stream that is given up without a reason of its own. */
  protected abstract readonly resetCode: ErrorCode;

  // Out.

  get canWrite(): boolean {
    return !this.owner.isBlocked && (this.#outbox === undefined || this.#outbox.bytes < highWaterBytes);
  }

  sendData(chunk: Buffer | string, endStream: boolean): boolean {
    if (this.isOver || this.isEnding) return true;
    const { length } = chunk;
    if (endStream) this.isEnding = true;
    if (length === 0 && !endStream) return this.#writable();
    let sent = 0;
    if (this.#outbox === undefined && (!this.owner.isBlocked || length === 0)) {
      sent = Math.max(0, Math.min(length, this.sendWindow, this.owner.sendWindow));
      if (sent > 0 || length === 0) this.owner.writeData(this, chunk, 0, sent, endStream && sent === length);
      if (sent === length) {
        if (endStream) this.sent();
        return this.#writable();
      }
    }
    const outbox = (this.#outbox ??= new StreamOutbox());
    const added = outbox.add(chunk, sent);
    outbox.endStream = endStream;
    this.owner.pendingBytes(added);
    this.owner.wait(this);
    return this.#writable();
  }

  sendTrailers(trailers: HeaderMap): void {
    if (this.isOver || this.isEnding) return;
    this.isEnding = true;
    if (this.#outbox === undefined) {
      this.owner.writeTrailers(this, trailers);
      this.sent();
    } else {
      this.#outbox.trailers = trailers.copy();
      this.#outbox.endStream = true;
    }
  }

  /** Sends of what waits as much as one frame takes. False: nothing could be sent, or nothing waits. */
  pump(): boolean {
    const outbox = this.#outbox;
    const { owner } = this;
    if (outbox === undefined || this.isOver) return false;
    const chunk = outbox.first;
    if (chunk !== undefined) {
      const room = Math.min(chunk.length - outbox.offset, this.sendWindow, owner.sendWindow, maxDataBytes);
      if (room <= 0 || owner.isBlocked) return false;
      const start = outbox.offset;
      const isLast = outbox.take(room);
      owner.pendingBytes(-room);
      const ends = isLast && outbox.endStream && outbox.trailers === undefined;
      owner.writeData(this, chunk, start, start + room, ends);
      outbox.releaseSpent();
      if (!isLast) return true;
    }
    this.#outbox = undefined;
    if (outbox.trailers !== undefined) owner.writeTrailers(this, outbox.trailers);
    if (outbox.endStream) this.sent();
    return true;
  }

  /** Something still waits for room. */
  get isWaiting(): boolean {
    return this.#outbox !== undefined;
  }

  /** Tells whoever was asked to stop that there is room again. */
  notifyWritable(): void {
    if (!this.#wantsWritable || this.isOver || this.owner.isBlocked) return;
    if (this.#outbox !== undefined && this.#outbox.bytes > highWaterBytes / 2) return;
    this.#wantsWritable = false;
    this.decoder?.onWritable();
  }

  /** Somebody was told to stop and has not yet been told to go on. */
  get wantsWritable(): boolean {
    return this.#wantsWritable;
  }

  #writable(): boolean {
    if (this.isEnding || this.canWrite) return true;
    this.#wantsWritable = true;
    this.owner.wait(this);
    return false;
  }

  protected sent(): void {
    this.isSent = true;
    if (this.isDelivered) this.owner.end(this, undefined);
    else this.onSentFirst();
  }

  /** Our side has ended before the peer's. */
  protected abstract onSentFirst(): void;

  reset(reason: ResetReason): void {
    if (this.isOver) return;
    this.owner.end(this, codeOf(reason) ?? this.resetCode);
  }

  // In.

  setReadDisabled(disabled: boolean): void {
    this.#isReadDisabled = disabled;
    if (!disabled && this.#inbox !== undefined) this.#readInbox(this.#inbox);
  }

  /** A part of the body; borrowed. */
  receiveData(chunk: Buffer, endStream: boolean): void {
    if (this.#isReadDisabled || this.#inbox !== undefined) {
      const inbox = (this.#inbox ??= new StreamInbox());
      inbox.add(chunk);
      inbox.endStream = endStream;
      return;
    }
    this.#deliver(chunk, endStream);
  }

  receiveTrailers(trailers: HeaderMap): void {
    if (this.#inbox !== undefined || this.#isReadDisabled) {
      const inbox = (this.#inbox ??= new StreamInbox());
      inbox.trailers = trailers;
      return;
    }
    this.isDelivered = true;
    this.decoder?.onTrailers(trailers);
    this.delivered();
  }

  #deliver(chunk: Buffer, endStream: boolean): void {
    if (chunk.length > 0) this.owner.consumed(this, chunk.length);
    if (endStream) this.isDelivered = true;
    else if (chunk.length === 0) return;
    this.decoder?.onData(chunk, endStream);
    if (endStream) this.delivered();
  }

  /** Hands on what has waited, until reading is disabled again. */
  #readInbox(inbox: StreamInbox): void {
    if (inbox.isBeingRead) return;
    inbox.isBeingRead = true;
    while (!this.#isReadDisabled && !this.isOver) {
      const chunk = inbox.take();
      const isLast = inbox.isEmpty;
      if (isLast) this.#inbox = undefined;
      if (chunk !== undefined) {
        this.#deliver(chunk.bytes, isLast && inbox.endStream);
        chunk.release();
      }
      if (!isLast) continue;
      if (inbox.trailers !== undefined && !this.isOver) this.receiveTrailers(inbox.trailers);
      break;
    }
    inbox.isBeingRead = false;
  }

  /** After its decoder heard the end. */
  delivered(): void {
    if (this.isSent && !this.isOver) this.owner.end(this, undefined);
  }

  /** Drops what waits; for the owner, when the stream is over. Returns the bytes that were never read. */
  clear(): number {
    this.isOver = true;
    if (this.#outbox !== undefined) {
      this.owner.pendingBytes(-this.#outbox.bytes);
      this.#outbox = undefined;
    }
    const unread = this.#inbox?.bytes ?? 0;
    this.#inbox = undefined;
    return unread;
  }
}

const maxDataBytes = 16_384;

function codeOf(reason: ResetReason): ErrorCode | undefined {
  switch (reason) {
    case "local refused stream reset":
    case "overflow":
      return ErrorCode.refusedStream;
    case "protocol error":
      return ErrorCode.protocolError;
    case "remote error with CONNECT request":
      return ErrorCode.connectError;
    default:
      return undefined;
  }
}
