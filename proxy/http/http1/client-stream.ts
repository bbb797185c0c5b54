/** The request side of one HTTP/1.1 exchange. */
import type { ResetReason, StreamDecoder, StreamEncoder } from "../codec.ts";
import type { HeaderMap } from "../header-map.ts";
import { writeBody, type BodyOutput } from "./write-body.ts";
import type { HeaderKeyFormat } from "./header-key-format.ts";
import { fieldLines, ownField, requestHead } from "./write-head.ts";

/** What a stream asks of its codec. */
export interface ClientStreamOwner extends BodyOutput {
  /** Calls `stream.flush()` before the turn of the event loop ends. */
  flushSoon(stream: Http1ClientStream): void;
  /** Gives the stream up, and the connection with it. */
  reset(stream: Http1ClientStream): void;
  setReadDisabled(disabled: boolean): void;
  /** A tunnel has no other sign of its end than the connection's. */
  endTunnel(): void;
}

/** Requests of these methods have no body unless one is sent; others say `content-length: 0`. */
const bodilessMethods: ReadonlySet<string> = new Set(["GET", "HEAD", "DELETE", "TRACE", "CONNECT"]);

export class Http1ClientStream implements StreamEncoder {
  isHead = false;
  isConnect = false;
  wantsUpgrade = false;
  isUpgraded = false;
  isRequestComplete = false;
  isResponseStarted = false;
  isOver = false;
  #isChunked = false;
  #pending = "";
  readonly decoder: StreamDecoder;
  readonly #owner: ClientStreamOwner;
  readonly #passTrailers: boolean;
  readonly #format: HeaderKeyFormat | undefined;

  constructor(
    owner: ClientStreamOwner,
    decoder: StreamDecoder,
    passTrailers: boolean,
    format: HeaderKeyFormat | undefined,
  ) {
    this.#format = format;
    this.#owner = owner;
    this.decoder = decoder;
    this.#passTrailers = passTrailers;
  }

  get canWrite(): boolean {
    return this.#owner.canWrite;
  }

  sendHeaders(headers: HeaderMap, endStream: boolean): void {
    if (this.isOver) return;
    this.isHead = headers.method === "HEAD";
    this.isConnect = headers.method === "CONNECT";
    const format = headers.spelling?.format ?? this.#format;
    let head = requestHead(headers, format);
    if (headers.has("upgrade")) {
      this.wantsUpgrade = true;
    } else if (endStream) {
      if (!bodilessMethods.has(headers.method) && !headers.has("content-length"))
        head += ownField("content-length", "0", format);
    } else if (!this.isConnect && !headers.has("content-length")) {
      this.#isChunked = true;
      head += ownField("transfer-encoding", "chunked", format);
    }
    head += "\r\n";
    this.isRequestComplete = endStream;
    if (endStream || this.wantsUpgrade || this.isConnect) {
      this.#owner.write(head);
    } else {
      this.#pending = head;
      this.#owner.flushSoon(this);
    }
  }

  sendData(chunk: Buffer | string, endStream: boolean): boolean {
    if (this.isOver) return true;
    if (endStream) this.isRequestComplete = true;
    const head = this.#pending;
    this.#pending = "";
    const isWritable = writeBody(this.#owner, head, chunk, this.#isChunked, endStream);
    if (endStream && this.isConnect) this.#owner.endTunnel();
    return isWritable;
  }

  sendTrailers(trailers: HeaderMap): void {
    if (this.isOver) return;
    this.isRequestComplete = true;
    const head = this.#pending;
    this.#pending = "";
    if (this.#isChunked) this.#owner.write(`${head}0\r\n${this.#passTrailers ? fieldLines(trailers) : ""}\r\n`);
    else if (head !== "") this.#owner.write(head);
  }

  sendInformational(): void {
    throw new Error("a client sends no informational response");
  }

  reset(_reason: ResetReason): void {
    this.#owner.reset(this);
  }

  setReadDisabled(disabled: boolean): void {
    if (!this.isOver) this.#owner.setReadDisabled(disabled);
  }

  flush(): void {
    if (this.#pending === "") return;
    const head = this.#pending;
    this.#pending = "";
    this.#owner.write(head);
  }
}
