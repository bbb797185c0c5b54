/**
 * The server side of HTTP/1.1 on bytes: requests out of a connection, one at a time; what is pipelined waits.
 * A request that could be read in two ways is refused before anybody sees it.
 */
import type { Connection } from "#lib/connection.ts";
import type { CodecError, ServerCodec, ServerCodecHandler } from "../codec.ts";
import { HeaderMap } from "../header-map.ts";
import { BodyReader, type BodySink } from "./body-reader.ts";
import type { BulkWriter } from "./bulk-writer.ts";
import { Framing, LineMemo, parseFields, type HeadLimits } from "./head.ts";
import { HeadBuffer, hasBareLineFeed } from "./head-buffer.ts";
import type { FieldNames } from "./field-names.ts";
import { headAt, latin1 } from "./latin1.ts";
import { isSameAuthority, parseAbsoluteTarget, parseRequestLine, type RequestLine } from "./request-line.ts";
import { Http1ServerStream, type ServerStreamOwner } from "./server-stream.ts";

export interface Http1ServerOptions {
  readonly names: FieldNames;
  readonly bulk: BulkWriter;
  readonly maxRequestHeadersBytes: number;
  readonly maxHeadersCount: number;
  readonly acceptHttp10: boolean;
  readonly defaultHostForHttp10: string;
  readonly allowAbsoluteUrl: boolean;
  readonly allowChunkedLength: boolean;
  readonly allowCustomMethods: boolean;
  readonly enableTrailers: boolean;
  readonly headersWithUnderscores: "allow" | "reject" | "drop";
  readonly onUnderscoreDropped?: (() => void) | undefined;
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
  #lastAuthority = "";
  readonly #head = new HeadBuffer();
  #pipelined: HeadBuffer | undefined = undefined;
  readonly #body: BodyReader;
  readonly #framing = new Framing();
  readonly #memo = new LineMemo();
  readonly #line: RequestLine = { method: "", target: "", version: "HTTP/1.1" };
  readonly #limits: HeadLimits;
  readonly #connection: Connection;
  readonly #handler: ServerCodecHandler;
  readonly #options: Http1ServerOptions;

  constructor(connection: Connection, handler: ServerCodecHandler, options: Http1ServerOptions) {
    this.#connection = connection;
    this.#handler = handler;
    this.#options = options;
    this.#limits = {
      names: options.names,
      maxCount: options.maxHeadersCount,
      underscores: options.headersWithUnderscores,
      onUnderscoreDropped: options.onUnderscoreDropped,
    };
    this.#body = new BodyReader(this, this.#limits, options.maxRequestHeadersBytes, options.enableTrailers);
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

  abortHead({ status, details, message }: CodecError): void {
    if (this.#head.length > 0 && this.#stream === undefined) this.#fail(status, details, message);
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
    const lineEnd = block.indexOf("\r\n");
    const line = this.#line;
    const framing = this.#framing;
    const lineError = parseRequestLine(block.slice(0, lineEnd), line, this.#options.allowCustomMethods);
    if (lineError !== undefined) {
      if (lineError === "low_version") this.#fail(426, "low_version", "only HTTP/1.1 is spoken here");
      else this.#fail(400, lineError, "the request line is malformed");
      return;
    }
    const headers = new HeaderMap();
    framing.clear();
    const fieldError = parseFields(block, lineEnd + 2, headers, framing, this.#limits, this.#memo);
    if (fieldError !== undefined) {
      const status =
        fieldError === "http1.too_many_headers" ? 431 : fieldError === "http1.invalid_transfer_encoding" ? 501 : 400;
      this.#fail(status, fieldError, "the header fields are malformed");
      return;
    }
    headers.method = line.method;
    if (!this.#checkVersion() || !this.#checkFraming(headers) || !this.#setTarget(headers)) return;
    this.#begin(headers);
  }

  #checkVersion(): boolean {
    const framing = this.#framing;
    if (this.#line.version === "HTTP/1.1") {
      if (framing.close) this.isDraining = true;
      return true;
    }
    if (!this.#options.acceptHttp10) {
      this.#fail(426, "low_version", "only HTTP/1.1 is spoken here");
      return false;
    }
    if (!framing.keepAlive || framing.close) this.isDraining = true;
    return true;
  }

  #checkFraming(headers: HeaderMap): boolean {
    const framing = this.#framing;
    if (framing.hasTransferEncoding) {
      if (this.#line.version === "HTTP/1.0") {
        this.#fail(400, "http1.transfer_encoding_not_allowed", "HTTP/1.0 knows no transfer codings");
        return false;
      }
      if (framing.contentLength >= 0) {
        if (!this.#options.allowChunkedLength) {
          this.#fail(400, "http1.content_length_and_chunked_not_allowed", "both content-length and transfer-encoding");
          return false;
        }
        headers.remove("content-length");
        framing.contentLength = -1;
      }
    }
    const hasBody = framing.isChunked || framing.contentLength > 0;
    if (hasBody && (framing.isUpgrade || headers.method === "CONNECT")) {
      this.#fail(400, "http1.body_disallowed", "a request to upgrade or tunnel has no body");
      return false;
    }
    if (framing.hostCount > 1) {
      this.#fail(400, "http.invalid_authority", "more than one host");
      return false;
    }
    return true;
  }

  /** The four forms of a target (RFC 9112 §3.2). */
  #setTarget(headers: HeaderMap): boolean {
    const target = this.#line.target;
    if (headers.method === "CONNECT") {
      headers.authority = target;
    } else if (target.charCodeAt(0) === 47 /* / */ || (target === "*" && headers.method === "OPTIONS")) {
      headers.path = target;
      if (headers.authority === "" && this.#line.version === "HTTP/1.0")
        headers.authority = this.#options.defaultHostForHttp10;
    } else {
      const absolute = this.#options.allowAbsoluteUrl ? parseAbsoluteTarget(target) : "http1.invalid_url";
      if (typeof absolute === "string") {
        this.#fail(400, absolute, "the request target is neither a path nor an absolute URL");
        return false;
      }
      // Differs from Envoy, which lets the target win: two names for one request are refused.
      const defaultPort = absolute.scheme === "https" ? "443" : "80";
      if (headers.authority !== "" && !isSameAuthority(headers.authority, absolute.authority, defaultPort)) {
        this.#fail(400, "http.invalid_authority", "host differs from the request target");
        return false;
      }
      headers.authority = absolute.authority;
      headers.path = absolute.path;
      headers.scheme = absolute.scheme;
    }
    // A connection mostly asks one host again and again: it is looked at once.
    if (headers.authority !== this.#lastAuthority) {
      if (headers.authority !== "" && !isAuthority(headers.authority)) {
        this.#fail(400, "http.invalid_authority", "host is not an authority");
        return false;
      }
      this.#lastAuthority = headers.authority;
    }
    return true;
  }

  #begin(headers: HeaderMap): void {
    const framing = this.#framing;
    const stream = new Http1ServerStream(this, this.#options.enableTrailers);
    stream.isHead = headers.method === "HEAD";
    stream.isHttp10 = this.#line.version === "HTTP/1.0";
    stream.wantsUpgrade = framing.isUpgrade;
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
    this.#ignoresInput = true;
    this.isDraining = true;
    this.#head.clear();
    this.#body.stop();
    if (this.#stream === undefined) {
      const stream = new Http1ServerStream(this, false);
      this.#stream = stream;
      stream.decoder = this.#handler.onStream(stream);
    }
    this.#handler.onProtocolError({ status, details, message });
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

const authoritySyntax = /^[A-Za-z0-9\-._~%!$&'()*+,;=:@[\]]+$/;

/** Characters that RFC 3986 allows in an authority; no slash, no space, no second name. */
function isAuthority(text: string): boolean {
  return authoritySyntax.test(text) && !text.includes(",");
}
