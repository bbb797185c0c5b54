/** A Node stream over a `Connection`, so that TLS can run over any network. */
import { Duplex } from "node:stream";
import type { Connection } from "#lib/connection.ts";

/** Takes the connection's handler over. Bytes that were put back on the connection come first. */
export class ConnectionDuplex extends Duplex {
  readonly #connection: Connection;
  #onFlushed: (() => void) | undefined = undefined;

  constructor(connection: Connection) {
    super({ allowHalfOpen: true, decodeStrings: true });
    this.#connection = connection;
    connection.handler = {
      onData: (chunk) => {
        // The chunk is lent; the stream keeps it.
        if (!this.push(Buffer.from(chunk))) connection.pause();
      },
      onEnd: () => void this.push(null),
      onDrain: () => {
        const flushed = this.#onFlushed;
        this.#onFlushed = undefined;
        flushed?.();
      },
      onClose: (error) => this.destroy(error),
    };
  }

  override _read(): void {
    this.#connection.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#connection.write(Buffer.from(chunk))) done();
    else this.#onFlushed = done;
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#connection.end();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (!this.#connection.isClosed) this.#connection.destroy(error ?? undefined);
    done(error);
  }
}
