/** What a connection is about to write: frames one after another, handed over once a turn of the event loop. */
import type { Connection } from "#lib/connection.ts";
import { writeLatin1 } from "../http1/latin1.ts";
import { frameHeaderBytes } from "./frames.ts";

/** Buffers that connections fill in turn: an idle one holds none. */
export class BufferPool {
  readonly #free: Buffer[] = [];

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(pooledBytes);
  }

  give(buffer: Buffer): void {
    if (buffer.length === pooledBytes && this.#free.length < maxPooled) this.#free.push(buffer);
  }
}

const pooledBytes = 64 * 1024;
const maxPooled = 64;
/** From here on a buffer is given away rather than copied: a slow peer makes us keep four times its bytes at most. */
const largeBytes = 16 * 1024;

const nothing: Buffer = Buffer.alloc(0);

export class WriteBuffer {
  /** Filled up to `length`. */
  bytes: Buffer = nothing;
  length = 0;
  readonly #pool: BufferPool;

  constructor(pool: BufferPool) {
    this.#pool = pool;
  }

  /** Room for `size` bytes more. */
  reserve(size: number): void {
    if (this.length + size <= this.bytes.length) return;
    this.#grow(size);
  }

  #grow(size: number): void {
    const before = this.bytes;
    const needed = this.length + size;
    this.bytes =
      before === nothing && needed <= pooledBytes
        ? this.#pool.take()
        : Buffer.allocUnsafeSlow(Math.max(needed, before.length * 2));
    if (this.length > 0) before.copy(this.bytes, 0, 0, this.length);
    if (before !== nothing) this.#pool.give(before);
  }

  /** The head of a frame at `at`, for which room was reserved. */
  frameHead(at: number, size: number, type: number, flags: number, streamId: number): void {
    const bytes = this.bytes;
    bytes[at] = size >>> 16;
    bytes[at + 1] = size >>> 8;
    bytes[at + 2] = size;
    bytes[at + 3] = type;
    bytes[at + 4] = flags;
    this.uint32At(at + 5, streamId);
  }

  /** Begins a frame of a known size: reserves it whole, writes its head. */
  frame(size: number, type: number, flags: number, streamId: number): void {
    this.reserve(frameHeaderBytes + size);
    this.frameHead(this.length, size, type, flags, streamId);
    this.length += frameHeaderBytes;
  }

  uint16(value: number): void {
    this.bytes[this.length++] = value >>> 8;
    this.bytes[this.length++] = value;
  }

  uint32(value: number): void {
    this.uint32At(this.length, value);
    this.length += 4;
  }

  uint32At(at: number, value: number): void {
    const bytes = this.bytes;
    bytes[at] = value >>> 24;
    bytes[at + 1] = value >>> 16;
    bytes[at + 2] = value >>> 8;
    bytes[at + 3] = value;
  }

  /** `data[start, end)`; a string is latin1. */
  append(data: Buffer | string, start: number, end: number): void {
    if (typeof data === "string")
      writeLatin1(this.bytes, start === 0 && end === data.length ? data : data.slice(start, end), this.length);
    else data.copy(this.bytes, this.length, start, end);
    this.length += end - start;
  }

  /** Writes what there is to `connection` and has its buffer back when it is written. As `Connection.write`. */
  writeTo(connection: Connection): boolean {
    const { bytes, length } = this;
    if (length < largeBytes || bytes.length !== pooledBytes) return connection.write(this.take());
    this.bytes = nothing;
    this.length = 0;
    return connection.write(bytes.subarray(0, length), () => this.#pool.give(bytes));
  }

  /** Gives what there is to its new owner. */
  take(): Buffer {
    const { bytes, length } = this;
    this.bytes = nothing;
    this.length = 0;
    if (length >= largeBytes) return length === bytes.length ? bytes : bytes.subarray(0, length);
    const copy = Buffer.allocUnsafe(length);
    bytes.copy(copy, 0, 0, length);
    this.#pool.give(bytes);
    return copy;
  }
}
