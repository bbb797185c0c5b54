/** Frames out: collected, written once a turn of the event loop, counted until the peer takes them. */
import type { Connection } from "#lib/connection.ts";
import { Flag, FrameType, frameHeaderBytes, maxFrameBytes, type ErrorCode } from "./frames.ts";
import type { Http2Stats } from "./http2-stats.ts";
import type { AbuseLimits } from "./options.ts";
import { OutboundCount } from "./outbound-count.ts";
import { WriteBuffer, type BufferPool } from "./write-buffer.ts";

export interface FrameWriterOptions {
  readonly connection: Connection;
  readonly buffers: BufferPool;
  readonly limits: AbuseLimits;
  readonly stats: Http2Stats;
  readonly sentBytes: { add(amount: number): void } | undefined;
  readonly atEndOfTurn: (flush: () => void) => void;
  /** The peer doesn't take what it makes us send. */
  readonly onFlood: (details: string) => void;
}

/** A batch that would grow beyond this is written without waiting for the turn's end. */
const batchBytes = 64 * 1024;

export class FrameWriter {
  readonly out: WriteBuffer;
  /** Until the connection has drained only control frames and heads are added. */
  isBlocked = false;
  /** DATA frames ever written. */
  dataFrames = 0;
  readonly #count: OutboundCount;
  #isScheduled = false;
  #isClosed = false;
  readonly #options: FrameWriterOptions;
  readonly #flushSoon: () => void;

  constructor(options: FrameWriterOptions) {
    this.#options = options;
    this.out = new WriteBuffer(options.buffers);
    this.#count = new OutboundCount(options.stats);
    this.#flushSoon = () => this.flush();
  }

  data(streamId: number, data: Buffer | string, start: number, end: number, endStream: boolean): void {
    const { out } = this;
    if (out.length + end - start + frameHeaderBytes > batchBytes) this.flush();
    out.frame(end - start, FrameType.data, endStream ? Flag.endStream : 0, streamId);
    if (end > start) out.append(data, start, end);
    this.dataFrames++;
    this.#added();
  }

  /** Begins a header block; what is written to `out` until `endHeaders` is its content. Returns where it begins. */
  beginHeaders(): number {
    const { out } = this;
    const at = out.length;
    out.reserve(frameHeaderBytes);
    out.length += frameHeaderBytes;
    return at;
  }

  endHeaders(at: number, streamId: number, endStream: boolean): void {
    const { out } = this;
    const size = out.length - at - frameHeaderBytes;
    const flags = endStream ? Flag.endStream : 0;
    if (size <= maxFrameBytes) out.frameHead(at, size, FrameType.headers, flags | Flag.endHeaders, streamId);
    else this.#splitHeaders(at, streamId, flags);
    this.#added();
  }

  #splitHeaders(at: number, streamId: number, flags: number): void {
    const { out } = this;
    const block = Buffer.from(out.bytes.subarray(at + frameHeaderBytes, out.length));
    out.length = at;
    for (let start = 0; start < block.length; start += maxFrameBytes) {
      const end = Math.min(start + maxFrameBytes, block.length);
      const last = end === block.length ? Flag.endHeaders : 0;
      if (start === 0) out.frame(end, FrameType.headers, flags, streamId);
      else out.frame(end - start, FrameType.continuation, last, streamId);
      out.append(block, start, end);
    }
  }

  settings(values: readonly (readonly [setting: number, value: number])[]): void {
    const { out } = this;
    out.frame(values.length * 6, FrameType.settings, 0, 0);
    for (const [setting, value] of values) {
      out.uint16(setting);
      out.uint32(value);
    }
    this.#addedControl();
  }

  settingsAck(): void {
    this.out.frame(0, FrameType.settings, Flag.ack, 0);
    this.#addedControl();
  }

  /** The payload is the 8 bytes at `start`. */
  ping(isAck: boolean, payload: Buffer, start: number): void {
    this.out.frame(8, FrameType.ping, isAck ? Flag.ack : 0, 0);
    this.out.append(payload, start, start + 8);
    this.#addedControl();
  }

  rstStream(streamId: number, code: ErrorCode): void {
    this.out.frame(4, FrameType.rstStream, 0, streamId);
    this.out.uint32(code);
    this.#options.stats.txReset.inc();
    this.#addedControl();
  }

  windowUpdate(streamId: number, increment: number): void {
    this.out.frame(4, FrameType.windowUpdate, 0, streamId);
    this.out.uint32(increment);
    this.#added();
  }

  goAway(lastStreamId: number, code: ErrorCode, debug: string): void {
    this.out.frame(8 + debug.length, FrameType.goAway, 0, 0);
    this.out.uint32(lastStreamId);
    this.out.uint32(code);
    this.out.append(debug, 0, debug.length);
    this.#options.stats.goAwaySent.inc();
    this.#added();
  }

  /** Raw bytes: the preface. */
  raw(text: string): void {
    this.out.reserve(text.length);
    this.out.append(text, 0, text.length);
    this.#schedule();
  }

  /** Hands over what has been collected. */
  flush(): void {
    this.#isScheduled = false;
    const { length } = this.out;
    if (length === 0) return;
    const { connection, sentBytes } = this.#options;
    if (this.#isClosed || connection.isClosed) {
      this.out.take();
      return;
    }
    sentBytes?.add(length);
    if (!this.out.writeTo(connection)) this.isBlocked = true;
    this.#count.onWrite(length, connection.bufferedBytes);
  }

  /** Nothing more goes out, not even what waits. */
  close(): void {
    this.#isClosed = true;
    this.#count.clear();
    if (this.out.length > 0) this.out.take();
  }

  #schedule(): void {
    if (this.out.length >= batchBytes) this.flush();
    else if (!this.#isScheduled) {
      this.#isScheduled = true;
      this.#options.atEndOfTurn(this.#flushSoon);
    }
  }

  #added(): void {
    this.#count.frames++;
    if (this.#count.frames > this.#options.limits.maxOutboundFrames) this.#checkFlood();
    this.#schedule();
  }

  #addedControl(): void {
    this.#count.controlFrames++;
    if (this.#count.controlFrames > this.#options.limits.maxOutboundControlFrames) this.#checkFlood();
    this.#added();
  }

  /** Too much at once is no flood as long as the peer takes it. */
  #checkFlood(): void {
    if (this.#isClosed) return;
    const { connection, limits, stats, onFlood } = this.#options;
    this.flush();
    this.#count.settle(connection.bufferedBytes);
    if (this.#count.controlFrames > limits.maxOutboundControlFrames) {
      stats.outboundControlFlood.inc();
      onFlood("http2.outbound_control_frames_flood");
    } else if (this.#count.frames > limits.maxOutboundFrames) {
      stats.outboundFlood.inc();
      onFlood("http2.outbound_frames_flood");
    }
  }

  /** Called by the owner when the connection has drained. */
  drained(): void {
    this.isBlocked = false;
    this.#count.settle(this.#options.connection.bufferedBytes);
  }
}
