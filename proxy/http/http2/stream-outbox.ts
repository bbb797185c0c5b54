/** What a stream has to send and may not yet: its window, or the connection's, or the connection itself is full. */
import type { HeaderMap } from "../header-map.ts";

export class StreamOutbox {
  bytes = 0;
  endStream = false;
  trailers: HeaderMap | undefined = undefined;
  /** Of the first chunk, how much has been sent. */
  offset = 0;
  readonly #chunks: Buffer[] = [];
  #next = 0;

  /** Copies `chunk` from `start` on; returns how many bytes that are. */
  add(chunk: Buffer | string, start: number): number {
    const rest = start === 0 ? chunk : typeof chunk === "string" ? chunk.slice(start) : chunk.subarray(start);
    const copy = typeof rest === "string" ? Buffer.from(rest, "latin1") : Buffer.from(rest);
    if (copy.length > 0) this.#chunks.push(copy);
    this.bytes += copy.length;
    return copy.length;
  }

  get first(): Buffer | undefined {
    return this.#chunks[this.#next];
  }

  /** `size` bytes of the first chunk have been sent. True: nothing is left. */
  take(size: number): boolean {
    const chunks = this.#chunks;
    this.bytes -= size;
    this.offset += size;
    if (this.offset < (chunks[this.#next] as Buffer).length) return false;
    this.offset = 0;
    chunks[this.#next++] = nothing;
    if (this.#next > 64) {
      chunks.splice(0, this.#next);
      this.#next = 0;
    }
    return this.#next === chunks.length;
  }
}

const nothing = Buffer.alloc(0);
