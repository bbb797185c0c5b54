/** One request of an HTTP/1.1 connection, seen from the connection manager: the encoder of its response. */
import type { ResetReason, StreamDecoder, StreamEncoder } from "../codec.ts";
import type { HeaderMap } from "../header-map.ts";
import { writeBody, type BodyOutput } from "./write-body.ts";
import type { HeaderKeyFormat } from "./header-key-format.ts";
import { fieldLines, ownField, responseHead } from "./write-head.ts";

/** What a stream asks of its codec. */
export interface ServerStreamOwner extends BodyOutput {
  /** True: this response is the last one of the connection. */
  readonly closesAfterResponse: boolean;
  /** Makes it so. */
  drain(): void;
  /** Calls `stream.flush()` before the turn of the event loop ends. */
  flushSoon(stream: Http1ServerStream): void;
  onResponseEnd(stream: Http1ServerStream): void;
  onUpgraded(): void;
  resetConnection(stream: Http1ServerStream): void;
  setReadDisabled(disabled: boolean): void;
}

export class Http1ServerStream implements StreamEncoder {
  decoder: StreamDecoder | undefined = undefined;
  isHead = false;
  isHttp10 = false;
  wantsUpgrade = false;
  isConnect = false;
  isRequestComplete = false;
  isResponseStarted = false;
  isResponseComplete = false;
  #isChunked = false;
  #hasNoBody = false;
  /** A head that waits for its body, so that both go out in one write. */
  #pending = "";
  readonly #owner: ServerStreamOwner;
  readonly #passTrailers: boolean;
  readonly #format: HeaderKeyFormat | undefined;

  constructor(owner: ServerStreamOwner, passTrailers: boolean, format: HeaderKeyFormat | undefined) {
    this.#format = format;
    this.#owner = owner;
    this.#passTrailers = passTrailers;
  }

  get canWrite(): boolean {
    return this.#owner.canWrite;
  }

  sendHeaders(headers: HeaderMap, endStream: boolean): void {
    this.isResponseStarted = true;
    const format = headers.spelling?.format ?? this.#format;
    let head = responseHead(headers, this.isHttp10, format);
    const { status } = headers;
    const isUpgrade = (status === 101 && this.wantsUpgrade) || (this.isConnect && status >= 200 && status < 300);
    const hasLength = headers.has("content-length");
    this.#hasNoBody = !isUpgrade && (this.isHead || hasNoBody(headers.status));
    // Without a length, and without chunks to put it in, a body ends with the connection.
    if (this.isHttp10 && !endStream && !hasLength && !this.#hasNoBody) this.#owner.drain();
    if (this.#owner.closesAfterResponse && !isUpgrade) head += ownField("connection", "close", format);
    else if (this.isHttp10) head += ownField("connection", "keep-alive", format);
    if (isUpgrade) {
      this.#owner.onUpgraded();
    } else if (!hasLength && this.isHead && !this.isHttp10 && !hasNoBody(headers.status)) {
      head += ownField("transfer-encoding", "chunked", format); // what a GET would have been answered with
    } else if (!hasLength && !this.#hasNoBody) {
      if (endStream) head += ownField("content-length", "0", format);
      else if (!this.isHttp10) {
        this.#isChunked = true;
        head += ownField("transfer-encoding", "chunked", format);
      }
    }
    head += "\r\n";
    if (endStream) {
      this.#owner.write(head);
      this.#complete();
    } else if (isUpgrade) {
      this.#owner.write(head);
    } else {
      this.#pending = head;
      this.#owner.flushSoon(this);
    }
  }

  sendData(chunk: Buffer | string, endStream: boolean): boolean {
    let writable = true;
    if (!this.#hasNoBody) writable = this.#writeBody(chunk, endStream);
    else if (endStream) this.flush();
    if (endStream) this.#complete();
    return writable;
  }

  sendTrailers(trailers: HeaderMap): void {
    const head = this.#pending;
    this.#pending = "";
    if (this.#isChunked) this.#owner.write(`${head}0\r\n${this.#passTrailers ? fieldLines(trailers) : ""}\r\n`);
    else if (head !== "") this.#owner.write(head);
    this.#complete();
  }

  sendInformational(headers: HeaderMap): void {
    if (!this.isHttp10) this.#owner.write(`${responseHead(headers)}\r\n`);
  }

  reset(_reason: ResetReason): void {
    this.flush();
    this.isResponseComplete = true;
    this.#owner.resetConnection(this);
  }

  setReadDisabled(disabled: boolean): void {
    this.#owner.setReadDisabled(disabled);
  }

  /** Writes a head whose body has not come. */
  flush(): void {
    if (this.#pending === "") return;
    const head = this.#pending;
    this.#pending = "";
    this.#owner.write(head);
  }

  #writeBody(chunk: Buffer | string, endStream: boolean): boolean {
    const head = this.#pending;
    this.#pending = "";
    return writeBody(this.#owner, head, chunk, this.#isChunked, endStream);
  }

  #complete(): void {
    this.isResponseComplete = true;
    this.#owner.onResponseEnd(this);
  }
}

/** Statuses whose responses end with their head (RFC 9112 §6.3). */
export function hasNoBody(status: number): boolean {
  return status < 200 || status === 204 || status === 304;
}
