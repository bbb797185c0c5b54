/** What has come for a stream that nobody reads at the moment; the peer's window bounds it. */
import type { HeaderMap } from "../header-map.ts";
import { HeldPiece } from "./held-piece.ts";

export class StreamInbox {
  bytes = 0;
  endStream = false;
  trailers: HeaderMap | undefined = undefined;
  isBeingRead = false;
  readonly #chunks: (HeldPiece | undefined)[] = [];
  #next = 0;

  /** Copies. An empty chunk is kept too when it is what ends the stream. */
  add(chunk: Buffer): void {
    this.#chunks.push(new HeldPiece(chunk));
    this.bytes += chunk.length;
  }

  /** To be released when it has been read. */
  take(): HeldPiece | undefined {
    const chunk = this.#chunks[this.#next];
    if (chunk === undefined) return undefined;
    this.#chunks[this.#next++] = undefined;
    this.bytes -= chunk.bytes.length;
    return chunk;
  }

  get isEmpty(): boolean {
    return this.#next >= this.#chunks.length;
  }
}
