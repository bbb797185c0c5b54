/** What a stream has to send and may not yet: its window, or the connection's, or the connection itself is full. */
import type { HeaderMap } from "../header-map.ts";
import { holdPieces, HeldPiece } from "./held-piece.ts";

export class StreamOutbox {
  bytes = 0;
  endStream = false;
  trailers: HeaderMap | undefined = undefined;
  /** Of the first chunk, how much has been sent. */
  offset = 0;
  readonly #chunks: (HeldPiece | undefined)[] = [];
  #spent: HeldPiece | undefined = undefined;
  #next = 0;

  /** Copies `chunk` from `start` on; returns how many bytes that are. */
  add(chunk: Buffer | string, start: number): number {
    const rest = start === 0 ? chunk : typeof chunk === "string" ? chunk.slice(start) : chunk.subarray(start);
    const { length } = rest;
    if (length === 0) return 0;
    if (typeof rest === "string") this.#chunks.push(new HeldPiece(Buffer.from(rest, "latin1")));
    else holdPieces(rest, this.#chunks as HeldPiece[]);
    this.bytes += length;
    return length;
  }

  get first(): Buffer | undefined {
    return this.#chunks[this.#next]?.bytes;
  }

  /** `size` bytes of the first chunk are being sent, until `releaseSpent`. True: nothing is left. */
  take(size: number): boolean {
    const chunks = this.#chunks;
    this.bytes -= size;
    this.offset += size;
    const first = chunks[this.#next] as HeldPiece;
    if (this.offset < first.bytes.length) return false;
    this.offset = 0;
    this.#spent = first;
    chunks[this.#next++] = undefined;
    if (this.#next > 64) {
      chunks.splice(0, this.#next);
      this.#next = 0;
    }
    return this.#next === chunks.length;
  }

  /** What was taken last has been copied. */
  releaseSpent(): void {
    this.#spent?.release();
    this.#spent = undefined;
  }
}
