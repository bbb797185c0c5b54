/** A Node stream over a `Connection`, so that TLS can run over any network. */
import { Duplex } from "node:stream";
import type { Connection } from "#lib/connection.ts";

/** Takes the connection's handler over. Bytes that were put back on the connection come first. */
export class ConnectionDuplex extends Duplex {
  readonly #connection: Connection;
  #onFlushed: (() => void) | undefined = undefined;
  #isOpening: boolean;
  #held: (() => void) | undefined = undefined;

  /** `prelude` is called as soon as the connection is made; what it writes goes before everything of the stream. */
  constructor(connection: Connection, prelude?: (connection: Connection) => void) {
    super({ allowHalfOpen: true, decodeStrings: true });
    this.#connection = connection;
    this.#isOpening = prelude !== undefined;
    connection.handler = {
      onConnect: () => {
        this.#isOpening = false;
        prelude?.(connection);
        const held = this.#held;
        this.#held = undefined;
        held?.();
      },
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
    if (this.#isOpening) this.#held = () => this._write(chunk, _encoding, done);
    else if (this.#connection.write(Buffer.from(chunk))) done();
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
