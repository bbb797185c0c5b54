/**
 * Bytes, however split, to frames. DATA is handed on as it comes; every other frame when it is whole, so at most one
 * frame of `maxFrameBytes` is ever held.
 */
import { ErrorCode, Flag, FrameType, frameHeaderBytes, maxFrameBytes } from "./frames.ts";

export interface FrameSink {
  /** True: nothing more of the connection counts. Asked after every call. */
  readonly isDead: boolean;
  /** Any frame but DATA; the payload is borrowed. */
  onFrame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void;
  /** DATA begins: `size` counts against the windows, `padding` of it will not be heard of again. */
  onDataStart(streamId: number, size: number, padding: number, endStream: boolean): void;
  /** A part of what began last; `isLast` exactly once. */
  onDataPart(chunk: Buffer, isLast: boolean): void;
  /** The stream of frames can't be followed any more. */
  onFrameError(code: ErrorCode, message: string): void;
}

const nothing = Buffer.alloc(0);

export class FrameReader {
  readonly #sink: FrameSink;
  /** A frame that has begun, as far as it has come. */
  #held: Buffer = nothing;
  #heldLength = 0;
  /** Of the DATA frame that is being handed on. */
  #isInData = false;
  #dataLeft = 0;
  #paddingLeft = 0;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  read(chunk: Buffer): void {
    const sink = this.#sink;
    const end = chunk.length;
    let at = 0;
    while (at < end && !sink.isDead) {
      if (this.#isInData) at = this.#readData(chunk, at);
      else if (this.#heldLength > 0) at = this.#complete(chunk, at);
      else at = this.#readFrame(chunk, at, end, true);
    }
  }

  /** A frame at `at`; returns where what follows begins. One that is not whole is held. */
  #readFrame(bytes: Buffer, at: number, end: number, mayHold: boolean): number {
    const available = end - at;
    if (available < frameHeaderBytes) return mayHold ? this.#hold(bytes, at, end) : at;
    const size = ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number);
    if (size > maxFrameBytes) {
      this.#sink.onFrameError(ErrorCode.frameSizeError, "a frame is larger than SETTINGS_MAX_FRAME_SIZE");
      return end;
    }
    const type = bytes[at + 3] as number;
    const flags = bytes[at + 4] as number;
    if (type === FrameType.data) {
      const isPadded = (flags & Flag.padded) !== 0;
      if (isPadded && size > 0 && available === frameHeaderBytes) return mayHold ? this.#hold(bytes, at, end) : at;
      return this.#startData(bytes, at, size, isPadded, (flags & Flag.endStream) !== 0);
    }
    const start = at + frameHeaderBytes;
    if (available < frameHeaderBytes + size) return mayHold ? this.#hold(bytes, at, end) : at;
    this.#sink.onFrame(type, flags, streamIdAt(bytes, at + 5), bytes, start, start + size);
    return start + size;
  }

  #startData(bytes: Buffer, at: number, size: number, isPadded: boolean, endStream: boolean): number {
    let start = at + frameHeaderBytes;
    let padding = 0;
    let dataSize = size;
    if (isPadded) {
      const length = size === 0 ? 0 : (bytes[start] as number);
      if (length >= size) {
        this.#sink.onFrameError(ErrorCode.protocolError, "a frame is padded with more than it has");
        return bytes.length;
      }
      start++;
      padding = length + 1;
      dataSize -= padding;
      this.#paddingLeft = length;
    }
    this.#sink.onDataStart(streamIdAt(bytes, at + 5), size, padding, endStream);
    if (this.#sink.isDead) return bytes.length;
    this.#dataLeft = dataSize;
    this.#isInData = true;
    if (dataSize === 0) {
      this.#sink.onDataPart(nothing, true);
      this.#isInData = this.#paddingLeft > 0;
    }
    return start;
  }

  #readData(chunk: Buffer, at: number): number {
    let start = at;
    if (this.#dataLeft > 0) {
      const end = Math.min(chunk.length, start + this.#dataLeft);
      this.#dataLeft -= end - start;
      const isLast = this.#dataLeft === 0;
      this.#isInData = !isLast || this.#paddingLeft > 0;
      this.#sink.onDataPart(chunk.subarray(start, end), isLast);
      start = end;
    }
    if (this.#dataLeft === 0 && this.#paddingLeft > 0) {
      const skipped = Math.min(chunk.length - start, this.#paddingLeft);
      this.#paddingLeft -= skipped;
      start += skipped;
      this.#isInData = this.#paddingLeft > 0;
    }
    return start;
  }

  #hold(bytes: Buffer, at: number, end: number): number {
    const length = end - at;
    this.#room(length);
    bytes.copy(this.#held, 0, at, end);
    this.#heldLength = length;
    return end;
  }

  /** Adds to the held frame no more than it needs; hands it on once it is whole. */
  #complete(chunk: Buffer, at: number): number {
    const held = this.#heldLength;
    let needed = frameHeaderBytes;
    if (held >= frameHeaderBytes) needed += this.#held[3] === FrameType.data ? 1 : this.#held.readUIntBE(0, 3);
    const end = Math.min(chunk.length, at + needed - held);
    this.#room(held + end - at);
    chunk.copy(this.#held, held, at, end);
    const length = held + end - at;
    this.#heldLength = length;
    if (length < frameHeaderBytes) return end;
    const frame = this.#held;
    this.#heldLength = 0;
    const used = this.#readFrame(frame, 0, length, false);
    if (used === 0) this.#heldLength = length;
    else if (frame.length > smallBytes) this.#held = nothing;
    return end;
  }

  #room(length: number): void {
    const before = this.#held;
    if (length <= before.length) return;
    // The whole frame at once, where its size is known.
    const known = this.#heldLength >= frameHeaderBytes ? frameHeaderBytes + before.readUIntBE(0, 3) : 0;
    this.#held = Buffer.allocUnsafe(Math.max(length, known, 64));
    if (this.#heldLength > 0) before.copy(this.#held, 0, 0, this.#heldLength);
  }
}

/** What is kept of an idle connection. */
const smallBytes = 256;

function streamIdAt(bytes: Buffer, at: number): number {
  return (
    (((bytes[at] as number) & 0x7f) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)
  );
}
