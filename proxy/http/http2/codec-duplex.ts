/** The byte stream under a Node HTTP/2 session: fed by the codec, written to the connection. */
import { Duplex } from "node:stream";
import type { Connection } from "#lib/connection.ts";

export class CodecDuplex extends Duplex {
  readonly #connection: Connection;
  #onFlushed: (() => void) | undefined = undefined;

  constructor(connection: Connection) {
    super({ allowHalfOpen: true, decodeStrings: true });
    this.#connection = connection;
  }

  /** Bytes from the connection (borrowed). */
  feed(chunk: Buffer): void {
    if (!this.push(Buffer.from(chunk))) this.#connection.pause();
  }

  /** What was written has been flushed. */
  drained(): void {
    const flushed = this.#onFlushed;
    this.#onFlushed = undefined;
    flushed?.();
  }

  override _read(): void {
    if (!this.#connection.isClosed) this.#connection.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#connection.isClosed) done(new Error("the connection is closed"));
    // nghttp2 uses its buffer again: the connection needs bytes of its own.
    else if (this.#connection.write(Buffer.from(chunk))) done();
    else this.#onFlushed = done;
  }

  override _final(done: (error?: Error | null) => void): void {
    if (!this.#connection.isClosed) this.#connection.end();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (!this.#connection.isClosed) this.#connection.destroy(error ?? undefined);
    done(error);
  }
}
