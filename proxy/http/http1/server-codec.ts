/**
 * The server side of HTTP/1.1 on bytes: requests out of a connection, one at a time; what is pipelined waits.
 * A request that could be read in two ways is refused before anybody sees it.
 */
import type { Connection } from "#lib/connection.ts";
import type { CodecError, ServerCodec, ServerCodecHandler } from "../codec.ts";
import { HeaderMap } from "../header-map.ts";
import { BodyReader, type BodySink } from "./body-reader.ts";
import type { BulkWriter } from "./bulk-writer.ts";
import type { HeadLimits } from "./head.ts";
import { HeadBuffer, hasBareLineFeed } from "./head-buffer.ts";
import type { FieldNames } from "./field-names.ts";
import type { HeaderKeySettings } from "./header-key-format.ts";
import { headAt, latin1 } from "./latin1.ts";
import { RequestHeadReader, type RequestHeadOptions } from "./request-head.ts";
import { Http1ServerStream, type ServerStreamOwner } from "./server-stream.ts";

export interface Http1ServerOptions extends RequestHeadOptions {
  readonly names: FieldNames;
  readonly bulk: BulkWriter;
  readonly maxRequestHeadersBytes: number;
  readonly maxHeadersCount: number;
  readonly enableTrailers: boolean;
  readonly headersWithUnderscores: "allow" | "reject" | "drop";
  readonly onUnderscoreDropped?: (() => void) | undefined;
  /** Absent: names are written in lower case. */
  readonly keys?: HeaderKeySettings | undefined;
  /** Counts what is written. */
  readonly sentBytes?: { add(amount: number): void } | undefined;
}

/** `onData` of the connection goes to the codec's `onData`; so do drain and close. */
export function createHttp1ServerCodec(
  connection: Connection,
  handler: ServerCodecHandler,
  options: Http1ServerOptions,
): ServerCodec {
  return new Http1ServerCodec(connection, handler, options);
}

class Http1ServerCodec implements ServerCodec, ServerStreamOwner, BodySink {
  readonly protocol = "HTTP/1.1";
  isDraining = false;
  /** The request in progress; undefined between requests. */
  #stream: Http1ServerStream | undefined = undefined;
  /** Nothing that still arrives counts: after an error, or after the last response. */
  #ignoresInput = false;
  #isReading = false;
  #isPausedForPipeline = false;
  #isReadDisabled = false;
  #flushing: Http1ServerStream | undefined = undefined;
  readonly #head = new HeadBuffer();
  #pipelined: HeadBuffer | undefined = undefined;
  readonly #body: BodyReader;
  readonly #reader: RequestHeadReader;
  readonly #connection: Connection;
  readonly #handler: ServerCodecHandler;
  readonly #options: Http1ServerOptions;

  constructor(connection: Connection, handler: ServerCodecHandler, options: Http1ServerOptions) {
    this.#connection = connection;
    this.#handler = handler;
    this.#options = options;
    const limits: HeadLimits = {
      names: options.names,
      maxCount: options.maxHeadersCount,
      underscores: options.headersWithUnderscores,
      onUnderscoreDropped: options.onUnderscoreDropped,
      newSpelling: options.keys?.newSpelling,
    };
    this.#reader = new RequestHeadReader(limits, options);
    this.#body = new BodyReader(this, limits, options.maxRequestHeadersBytes, options.enableTrailers);
  }

  get activeStreams(): number {
    return this.#stream === undefined ? 0 : 1;
  }

  get canWrite(): boolean {
    return this.#connection.bufferedBytes === 0;
  }

  get closesAfterResponse(): boolean {
    return this.isDraining;
  }

  drain(): void {
    this.isDraining = true;
  }

  abortHead(error: CodecError): void {
    if (this.#head.length > 0 && this.#stream === undefined) this.#refuse(error);
  }

  onData(chunk: Buffer): void {
    this.#isReading = true;
    let bytes = chunk;
    let offset = 0;
    while (offset < bytes.length && !this.#ignoresInput) {
      if (!this.#body.isDone) {
        offset = this.#body.read(bytes, offset);
        if (offset < 0) this.#fail(400, "http1.codec_error", "the body is not framed as HTTP/1.1 asks");
        continue;
      }
      if (this.#stream !== undefined) {
        this.#holdBack(bytes.subarray(offset));
        break;
      }
      if (this.#head.length > 0) {
        const more = this.#completeHead(bytes);
        if (more === undefined) break;
        bytes = more;
        offset = 0;
      }
      offset = this.#readHead(bytes, offset);
    }
    this.#isReading = false;
  }

  onDrain(): void {
    this.#stream?.decoder?.onWritable();
  }

  onClose(): void {
    this.#ignoresInput = true;
    const stream = this.#stream;
    this.#stream = undefined;
    if (stream !== undefined && !(stream.isRequestComplete && stream.isResponseComplete))
      stream.decoder?.onReset("connection termination", "");
  }

  // The request, arriving.

  /** A head that begins at `offset`; returns where it ends. An incomplete one is kept. */
  #readHead(bytes: Buffer, offset: number): number {
    while (bytes[offset] === 13 && bytes[offset + 1] === 10) offset += 2; // empty lines before a request (RFC 9112 §2.2)
    const block = headAt(bytes, offset);
    if (block === undefined) return this.#keepPartialHead(bytes, offset);
    if (block.length > this.#options.maxRequestHeadersBytes) return this.#failTooLarge();
    this.#onHead(block);
    return offset + block.length + 2;
  }

  #keepPartialHead(bytes: Buffer, offset: number): number {
    if (bytes.length - offset > this.#options.maxRequestHeadersBytes) return this.#failTooLarge();
    if (offset === bytes.length) return offset;
    // Lines that end with a bare LF would never become a head: say so now instead of at the timeout.
    const text = latin1(bytes, offset, bytes.length);
    if (text.startsWith("\n") || hasBareLineFeed(text)) return this.#failBareLineFeed();
    this.#head.append(bytes.subarray(offset));
    this.#handler.onHeadBegun?.();
    return bytes.length;
  }

  /** Adds to a head that has begun; the whole of it (and what follows) when it is complete. */
  #completeHead(bytes: Buffer): Buffer | undefined {
    const state = this.#head.appendHead(bytes);
    if (state === "complete") return this.#head.take();
    if (state === "bare-lf") this.#failBareLineFeed();
    else if (this.#head.length > this.#options.maxRequestHeadersBytes) this.#failTooLarge();
    return undefined;
  }

  #failTooLarge(): number {
    return this.#fail(431, "http1.headers_too_large", "request headers are too large");
  }

  #failBareLineFeed(): number {
    return this.#fail(400, "http1.codec_error", "a line of the request ends without CR");
  }

  #onHead(block: string): void {
    const headers = this.#reader.read(block);
    if (headers instanceof HeaderMap) this.#begin(headers);
    // The same status however the bytes came: of a head in pieces, a bare LF is the first that is seen.
    else if (headers.status !== 400 && hasBareLineFeed(block)) this.#failBareLineFeed();
    else this.#refuse(headers);
  }

  #begin(headers: HeaderMap): void {
    const { framing, isHttp10, wantsClose } = this.#reader;
    const stream = new Http1ServerStream(this, this.#options.enableTrailers, this.#options.keys?.format);
    if (wantsClose) this.isDraining = true;
    stream.isHead = headers.method === "HEAD";
    stream.isHttp10 = isHttp10;
    stream.wantsUpgrade = framing.isUpgrade;
    stream.isConnect = headers.method === "CONNECT";
    if (framing.isChunked) this.#body.startChunked();
    else if (framing.isUpgrade || headers.method === "CONNECT") this.#body.startUntilClose();
    else if (framing.contentLength > 0) this.#body.startLength(framing.contentLength);
    else stream.isRequestComplete = true;
    this.#stream = stream;
    stream.decoder = this.#handler.onStream(stream);
    stream.decoder.onHeaders(headers, stream.isRequestComplete);
  }

  onBody(chunk: Buffer, end: boolean): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    if (end) stream.isRequestComplete = true;
    stream.decoder?.onData(chunk, end);
    if (end) this.#endIfComplete(stream);
  }

  onBodyTrailers(trailers: HeaderMap): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    stream.isRequestComplete = true;
    stream.decoder?.onTrailers(trailers);
    this.#endIfComplete(stream);
  }

  /** Refuses what was read: the handler answers on a stream (made for it when there is none) and closes. */
  #fail(status: CodecError["status"], details: string, message: string): number {
    return this.#refuse({ status, details, message });
  }

  #refuse(error: CodecError): number {
    this.#ignoresInput = true;
    this.isDraining = true;
    this.#head.clear();
    this.#body.stop();
    if (this.#stream === undefined) {
      const stream = new Http1ServerStream(this, false, this.#options.keys?.format);
      this.#stream = stream;
      stream.decoder = this.#handler.onStream(stream);
    }
    this.#handler.onProtocolError(error);
    return -1;
  }

  // The response, leaving.

  write(text: string): boolean {
    this.#options.sentBytes?.add(text.length);
    return this.#connection.write(text);
  }

  writeBulk(before: string, chunk: Buffer, after: string): boolean {
    this.#options.sentBytes?.add(before.length + chunk.length + after.length);
    return this.#options.bulk.write(this.#connection, before, chunk, after);
  }

  flushSoon(stream: Http1ServerStream): void {
    this.#flushing = stream;
    queueMicrotask(this.#flush);
  }

  readonly #flush = (): void => {
    const stream = this.#flushing;
    this.#flushing = undefined;
    if (stream !== undefined && !this.#connection.isClosed) stream.flush();
  };

  onUpgraded(): void {
    this.isDraining = true;
  }

  onResponseEnd(stream: Http1ServerStream): void {
    if (stream !== this.#stream) return;
    if (stream.isRequestComplete) {
      this.#endIfComplete(stream);
      return;
    }
    // An early answer: the rest of the request would have to be read and thrown away; the connection ends instead.
    this.isDraining = true;
    this.#ignoresInput = true;
    this.#body.stop();
    this.#stream = undefined;
  }

  resetConnection(stream: Http1ServerStream): void {
    if (stream === this.#stream) this.#stream = undefined;
    this.#ignoresInput = true;
    this.isDraining = true;
    this.#connection.destroy();
  }

  setReadDisabled(disabled: boolean): void {
    if (this.#isReadDisabled === disabled) return;
    this.#isReadDisabled = disabled;
    if (this.#isPausedForPipeline) return;
    if (disabled) this.#connection.pause();
    else this.#connection.resume();
  }

  #endIfComplete(stream: Http1ServerStream): void {
    if (!stream.isRequestComplete || !stream.isResponseComplete || stream !== this.#stream) return;
    this.#stream = undefined;
    if (this.#isReadDisabled) this.setReadDisabled(false);
    if (this.isDraining) this.#ignoresInput = true;
    else if (this.#pipelined !== undefined && !this.#isReading) queueMicrotask(this.#readPipelined);
  }

  // Pipelining: bytes of the next request wait until this one is answered.

  #holdBack(bytes: Buffer): void {
    this.#pipelined ??= new HeadBuffer();
    this.#pipelined.append(bytes);
    if (!this.#isPausedForPipeline) {
      this.#isPausedForPipeline = true;
      this.#connection.pause();
    }
  }

  readonly #readPipelined = (): void => {
    const pipelined = this.#pipelined;
    if (pipelined === undefined || this.#stream !== undefined || this.#ignoresInput) return;
    this.#pipelined = undefined;
    this.#isPausedForPipeline = false;
    this.onData(pipelined.take());
    if (!this.#isPausedForPipeline && !this.#isReadDisabled) this.#connection.resume();
  };
}
