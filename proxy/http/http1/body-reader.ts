/** Takes a message body out of the byte stream: by length, in chunks (RFC 9112 §7.1, strictly), until close, or opaque. */
import { HeaderMap } from "../header-map.ts";
import { Framing, LineMemo, parseFields, type HeadLimits } from "./head.ts";
import { latin1 } from "./latin1.ts";

export interface BodySink {
  /** Chunks are borrowed. `end`: the body is complete. */
  onBody(chunk: Buffer, end: boolean): void;
  /** Ends the body. */
  onBodyTrailers(trailers: HeaderMap): void;
}

const noBytes = Buffer.alloc(0);
/** Size in hexadecimal, then what we skip: blanks and extensions without controls. */
// oxlint-disable-next-line no-control-regex -- these are what must not be in an extension
const chunkSizeLine = /^([0-9a-fA-F]{1,13})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?$/;
const maxChunkLineBytes = 1024;

type State = "done" | "length" | "until-close" | "size-line" | "chunk" | "chunk-end" | "trailers";

export class BodyReader {
  #state: State = "done";
  #remaining = 0;
  /** Of a size line or trailer section that is not complete yet. */
  #text = "";
  readonly #sink: BodySink;
  readonly #limits: HeadLimits;
  readonly #maxTrailerBytes: number;
  readonly #passTrailers: boolean;

  constructor(sink: BodySink, limits: HeadLimits, maxTrailerBytes: number, passTrailers: boolean) {
    this.#sink = sink;
    this.#limits = limits;
    this.#maxTrailerBytes = maxTrailerBytes;
    this.#passTrailers = passTrailers;
  }

  get isDone(): boolean {
    return this.#state === "done";
  }

  get isUntilClose(): boolean {
    return this.#state === "until-close";
  }

  startLength(length: number): void {
    this.#state = "length";
    this.#remaining = length;
  }

  startChunked(): void {
    this.#state = "size-line";
    this.#text = "";
  }

  /** Everything that comes belongs to the body: a response framed by close, or the bytes after an upgrade. */
  startUntilClose(): void {
    this.#state = "until-close";
  }

  stop(): void {
    this.#state = "done";
    this.#text = "";
  }

  /** Consumes from `offset`; returns where the next message begins (or the chunk ends), -1 for a violation. */
  read(chunk: Buffer, offset: number): number {
    while (offset < chunk.length) {
      switch (this.#state) {
        case "done":
          return offset;
        case "until-close":
          this.#sink.onBody(slice(chunk, offset, chunk.length), false);
          return chunk.length;
        case "length": {
          const end = Math.min(chunk.length, offset + this.#remaining);
          this.#remaining -= end - offset;
          const isLast = this.#remaining === 0;
          if (isLast) this.#state = "done";
          this.#sink.onBody(slice(chunk, offset, end), isLast);
          offset = end;
          break;
        }
        case "chunk": {
          const end = Math.min(chunk.length, offset + this.#remaining);
          this.#remaining -= end - offset;
          if (this.#remaining === 0) this.#state = "chunk-end";
          if (this.#remaining === 0 && isLastChunkAt(chunk, end)) {
            this.#state = "done";
            this.#sink.onBody(slice(chunk, offset, end), true);
            return end + lastChunk.length;
          }
          this.#sink.onBody(slice(chunk, offset, end), false);
          offset = end;
          break;
        }
        default: {
          offset = this.#readLine(chunk, offset);
          if (offset < 0) return -1;
        }
      }
    }
    return offset;
  }

  /** One line (or the part of it that is there) of the chunk framing. */
  #readLine(chunk: Buffer, offset: number): number {
    const newline = chunk.indexOf(10, offset);
    const end = newline < 0 ? chunk.length : newline + 1;
    const limit = this.#state === "trailers" ? this.#maxTrailerBytes : maxChunkLineBytes;
    if (this.#text.length + end - offset > limit) return -1;
    this.#text += latin1(chunk, offset, end);
    if (newline < 0) return end;
    if (!this.#text.endsWith("\r\n")) return -1;
    const ok = this.#onLine();
    return ok ? end : -1;
  }

  #onLine(): boolean {
    const text = this.#text;
    if (this.#state === "trailers") {
      if (text !== "\r\n" && !text.endsWith("\r\n\r\n")) return true; // more to come
      this.#text = "";
      return this.#finish(text === "\r\n" ? "" : text.slice(0, -2));
    }
    this.#text = "";
    if (this.#state === "chunk-end") {
      this.#state = "size-line";
      return text === "\r\n";
    }
    const match = chunkSizeLine.exec(text.slice(0, -2));
    if (match === null) return false;
    this.#remaining = Number.parseInt(match[1] as string, 16);
    this.#state = this.#remaining === 0 ? "trailers" : "chunk";
    return true;
  }

  #finish(block: string): boolean {
    if (block === "") {
      this.#state = "done";
      this.#sink.onBody(noBytes, true);
      return true;
    }
    const trailers = new HeaderMap();
    const framing = new Framing();
    if (parseFields(block, 0, trailers, framing, this.#limits, new LineMemo()) !== undefined) return false;
    // A trailer that frames or routes would be a second, hidden head.
    if (framing.contentLength >= 0 || framing.hasTransferEncoding || framing.hostCount > 0) return false;
    this.#state = "done";
    if (this.#passTrailers && trailers.size > 0) this.#sink.onBodyTrailers(trailers);
    else this.#sink.onBody(noBytes, true);
    return true;
  }
}

/** What usually follows the data of the only chunk; seen at once, it lets the end travel with the data. */
const lastChunk = Buffer.from("\r\n0\r\n\r\n", "latin1");

function isLastChunkAt(chunk: Buffer, at: number): boolean {
  if (chunk.length - at < lastChunk.length) return false;
  for (let i = 0; i < lastChunk.length; i++) if (chunk[at + i] !== lastChunk[i]) return false;
  return true;
}

function slice(chunk: Buffer, from: number, to: number): Buffer {
  return from === 0 && to === chunk.length ? chunk : chunk.subarray(from, to);
}
