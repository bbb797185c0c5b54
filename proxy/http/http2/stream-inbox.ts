/** What has come for a stream that nobody reads at the moment; the peer's window bounds it. */
import type { HeaderMap } from "../header-map.ts";

export class StreamInbox {
  bytes = 0;
  endStream = false;
  trailers: HeaderMap | undefined = undefined;
  isBeingRead = false;
  readonly #chunks: Buffer[] = [];
  #next = 0;

  /** Copies. An empty chunk is kept too when it is what ends the stream. */
  add(chunk: Buffer): void {
    this.#chunks.push(Buffer.from(chunk));
    this.bytes += chunk.length;
  }

  take(): Buffer | undefined {
    const chunk = this.#chunks[this.#next];
    if (chunk === undefined) return undefined;
    this.#chunks[this.#next++] = nothing;
    this.bytes -= chunk.length;
    return chunk;
  }

  get isEmpty(): boolean {
    return this.#next >= this.#chunks.length;
  }
}

const nothing = Buffer.alloc(0);
