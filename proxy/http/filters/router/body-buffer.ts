/** The request's body so far, kept while an attempt waits for its connection and while there may be another attempt. */
import type { HeaderMap } from "../../header-map.ts";

export interface BodyTarget {
  sendData(chunk: Buffer, endStream: boolean): void;
  sendTrailers(trailers: HeaderMap): void;
}

const noBytes = Buffer.alloc(0);

export class BodyBuffer {
  /** The request ended with its headers. */
  isHeadersOnly = false;
  isComplete = false;
  bytes = 0;
  #chunks: Buffer[] | undefined = undefined;
  #trailers: HeaderMap | undefined = undefined;
  /** The body has been longer than what is kept: it cannot be sent again. */
  isIncomplete = false;

  get isEmpty(): boolean {
    return this.#chunks === undefined && this.#trailers === undefined && !this.isIncomplete;
  }

  /** Keeps a copy of `chunk`. */
  add(chunk: Buffer): void {
    if (this.isIncomplete || chunk.length === 0) return;
    this.bytes += chunk.length;
    (this.#chunks ??= []).push(Buffer.from(chunk));
  }

  addTrailers(trailers: HeaderMap): void {
    this.#trailers = trailers;
  }

  /** All that is kept in one piece; undefined when there is nothing. */
  joined(): Buffer | undefined {
    return this.#chunks === undefined ? undefined : Buffer.concat(this.#chunks);
  }

  /** Nobody will ask for it again. */
  drop(): void {
    this.isIncomplete = this.isIncomplete || this.#chunks !== undefined;
    this.#chunks = undefined;
  }

  /** Sends everything so far, with the end when it is there. */
  replay(target: BodyTarget): void {
    const chunks = this.#chunks ?? [];
    const endsWithData = this.isComplete && this.#trailers === undefined;
    for (let i = 0; i < chunks.length; i++)
      target.sendData(chunks[i] as Buffer, endsWithData && i === chunks.length - 1);
    if (this.#trailers !== undefined) target.sendTrailers(this.#trailers);
    else if (endsWithData && chunks.length === 0) target.sendData(noBytes, true);
  }
}
