/** The client side of HTTP/1.1 on bytes: one exchange at a time over a connection that is used again and again. */
import type { Connection } from "#lib/connection.ts";
import type { ClientCodec, ClientCodecHandler, StreamDecoder, StreamEncoder } from "../codec.ts";
import { HeaderMap } from "../header-map.ts";
import { BodyReader, type BodySink } from "./body-reader.ts";
import { BulkWriter } from "./bulk-writer.ts";
import type { FieldNames } from "./field-names.ts";
import type { HeaderKeySettings } from "./header-key-format.ts";
import { Http1ClientStream, type ClientStreamOwner } from "./client-stream.ts";
import { Framing, LineMemo, parseFields, type HeadLimits } from "./head.ts";
import { HeadBuffer } from "./head-buffer.ts";
import { headAt } from "./latin1.ts";
import { hasNoBody } from "./server-stream.ts";

export interface Http1ClientOptions {
  readonly names: FieldNames;
  readonly bulk: BulkWriter;
  readonly maxResponseHeadersBytes: number;
  readonly maxHeadersCount: number;
  readonly enableTrailers: boolean;
  readonly allowChunkedLength: boolean;
  /** Absent: names are written in lower case. */
  readonly keys?: HeaderKeySettings | undefined;
}

/** What a cluster uses when its configuration says nothing. */
export function defaultHttp1ClientOptions(names: FieldNames): Http1ClientOptions {
  return {
    names,
    bulk: new BulkWriter(),
    maxResponseHeadersBytes: 60 * 1024,
    maxHeadersCount: 100,
    enableTrailers: false,
    allowChunkedLength: false,
  };
}

/** The owner of the connection passes its `onData`, `onDrain` and `onClose` on to the codec. */
export function createHttp1ClientCodec(
  connection: Connection,
  handler: ClientCodecHandler,
  options: Http1ClientOptions,
): ClientCodec {
  return new Http1ClientCodec(connection, handler, options);
}

const noBytes = Buffer.alloc(0);

class Http1ClientCodec implements ClientCodec, BodySink, ClientStreamOwner {
  readonly protocol = "HTTP/1.1";
  readonly maxConcurrentStreams = 1;
  isDraining = false;
  #stream: Http1ClientStream | undefined = undefined;
  #isReadDisabled = false;
  #flushing: Http1ClientStream | undefined = undefined;
  readonly #head = new HeadBuffer();
  readonly #framing = new Framing();
  readonly #memo = new LineMemo();
  readonly #limits: HeadLimits;
  readonly #body: BodyReader;
  readonly #connection: Connection;
  readonly #handler: ClientCodecHandler;
  #isGivenUp = false;
  readonly #options: Http1ClientOptions;

  constructor(connection: Connection, handler: ClientCodecHandler, options: Http1ClientOptions) {
    this.#connection = connection;
    this.#handler = handler;
    this.#options = options;
    this.#limits = {
      names: options.names,
      maxCount: options.maxHeadersCount,
      underscores: "allow",
      newSpelling: options.keys?.newSpelling,
    };
    this.#body = new BodyReader(this, this.#limits, options.maxResponseHeadersBytes, options.enableTrailers);
  }

  get activeStreams(): number {
    return this.#stream === undefined ? 0 : 1;
  }

  newStream(decoder: StreamDecoder): StreamEncoder {
    if (this.#stream !== undefined) throw new Error("an HTTP/1.1 connection carries one stream at a time");
    const stream = new Http1ClientStream(this, decoder, this.#options.enableTrailers, this.#options.keys?.format);
    this.#stream = stream;
    return stream;
  }

  onData(chunk: Buffer): void {
    let bytes = chunk;
    let offset = 0;
    while (offset < bytes.length) {
      const stream = this.#stream;
      if (stream === undefined && this.#isGivenUp) return; // what was on its way when the stream was reset
      // A byte that nobody asked for: the two sides no longer agree on where a message ends.
      if (stream === undefined) return this.#fail("http1.codec_error", "a response without a request");
      if (stream.isResponseStarted) {
        offset = this.#body.read(bytes, offset);
        if (offset < 0) return this.#fail("http1.codec_error", "the body is not framed as HTTP/1.1 asks");
        continue;
      }
      if (this.#head.length > 0) {
        const state = this.#head.appendHead(bytes);
        if (state === "bare-lf") return this.#fail("http1.codec_error", "a line of the response ends without CR");
        if (state === "incomplete") {
          if (this.#head.length > this.#options.maxResponseHeadersBytes) this.#failTooLarge();
          return;
        }
        bytes = this.#head.take();
        offset = 0;
      }
      offset = this.#readHead(stream, bytes, offset);
      if (offset < 0) return;
    }
  }

  onDrain(): void {
    this.#stream?.decoder.onWritable();
  }

  onClose(isError = false): void {
    this.isDraining = true;
    const stream = this.#stream;
    if (stream === undefined) return;
    if (!isError && stream.isResponseStarted && this.#body.isUntilClose) {
      this.#body.stop();
      this.onBody(noBytes, true);
      return;
    }
    const hasBegun = stream.isResponseStarted || this.#head.length > 0;
    this.#body.stop();
    this.#end();
    // A message that breaks off is malformed; before its first byte there is none (as in Envoy).
    if (hasBegun && !stream.isUpgraded) {
      this.#handler.onProtocolError({ details: "http1.codec_error", message: "the response breaks off" });
      stream.decoder.onReset("protocol error", "http1.codec_error");
    } else stream.decoder.onReset("connection termination", "");
    this.#handler.onStreamEnd();
  }

  // The response, arriving.

  #readHead(stream: Http1ClientStream, bytes: Buffer, offset: number): number {
    const max = this.#options.maxResponseHeadersBytes;
    const block = headAt(bytes, offset);
    if (block !== undefined) {
      if (block.length > max) return this.#failTooLarge();
      return this.#onHead(stream, block) ? offset + block.length + 2 : -1;
    }
    this.#head.append(bytes.subarray(offset));
    return this.#head.length > max ? this.#failTooLarge() : bytes.length;
  }

  /** False: refused. */
  #onHead(stream: Http1ClientStream, block: string): boolean {
    const lineEnd = block.indexOf("\r\n");
    const status = parseStatusLine(block, lineEnd);
    // A reason phrase with a bare LF is two lines to some.
    if (status < 0 || block.indexOf("\n") <= lineEnd) return this.#failCodec("the status line is malformed");
    const headers = new HeaderMap();
    const framing = this.#framing;
    framing.clear();
    headers.status = status;
    const error = parseFields(block, lineEnd + 2, headers, framing, this.#limits, this.#memo);
    if (error !== undefined) return this.#failWith(error, "the header fields of the response are malformed");
    if (framing.hasTransferEncoding && framing.contentLength >= 0) {
      if (!this.#options.allowChunkedLength)
        return this.#failWith(
          "http1.content_length_and_chunked_not_allowed",
          "both content-length and transfer-encoding",
        );
      headers.remove("content-length");
    }
    if (status < 200 && status !== 101) {
      stream.decoder.onInformational?.(headers);
      return true;
    }
    // Chance framing: only the host's own bytes may decide where the next response begins.
    if (framing.close || (block.charCodeAt(7) === 48 /* HTTP/1.0 */ && !framing.keepAlive)) this.isDraining = true;
    return this.#startBody(stream, headers);
  }

  #startBody(stream: Http1ClientStream, headers: HeaderMap): boolean {
    const framing = this.#framing;
    const status = headers.status;
    const isTunnel = stream.isConnect && status >= 200 && status < 300;
    stream.isResponseStarted = true;
    if (isTunnel || status === 101) {
      if (status === 101 && !stream.wantsUpgrade) return this.#failCodec("101 without a request to upgrade");
      stream.isUpgraded = true;
      this.isDraining = true;
      this.#body.startUntilClose();
    } else if (stream.isHead || hasNoBody(status)) {
      if (status === 204 && (framing.hasTransferEncoding || framing.contentLength > 0))
        return this.#failWith("http1.body_disallowed", "204 with a body");
      if (status === 204) headers.remove("content-length");
    } else if (framing.isChunked) {
      this.#body.startChunked();
    } else if (framing.contentLength > 0) {
      this.#body.startLength(framing.contentLength);
    } else if (framing.contentLength < 0) {
      this.isDraining = true;
      this.#body.startUntilClose();
    }
    const endStream = this.#body.isDone;
    stream.decoder.onHeaders(headers, endStream);
    if (endStream) this.#onResponseEnd(stream);
    return true;
  }

  onBody(chunk: Buffer, end: boolean): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    stream.decoder.onData(chunk, end);
    if (end) this.#onResponseEnd(stream);
  }

  onBodyTrailers(trailers: HeaderMap): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    stream.decoder.onTrailers(trailers);
    this.#onResponseEnd(stream);
  }

  #onResponseEnd(stream: Http1ClientStream): void {
    if (stream !== this.#stream) return; // given up by its decoder meanwhile
    // The response came before the request was through: the rest of it has nowhere to go.
    if (!stream.isRequestComplete) this.isDraining = true;
    this.#end();
    this.#handler.onStreamEnd();
  }

  #end(): void {
    const stream = this.#stream;
    this.#stream = undefined;
    this.#head.clear();
    if (stream !== undefined) stream.isOver = true;
    if (this.#isReadDisabled) this.setReadDisabled(false);
  }

  #failCodec(message: string): false {
    return this.#failWith("http1.codec_error", message);
  }

  #failTooLarge(): number {
    this.#fail("http1.headers_too_large", "response headers are too large");
    return -1;
  }

  #failWith(details: string, message: string): false {
    this.#fail(details, message);
    return false;
  }

  #fail(details: string, message: string): void {
    const stream = this.#stream;
    this.isDraining = true;
    this.#isGivenUp = true;
    this.#body.stop();
    this.#end();
    this.#handler.onProtocolError({ details, message });
    if (stream !== undefined) {
      stream.decoder.onReset("protocol error", details);
      this.#handler.onStreamEnd();
    }
    this.#connection.destroy();
  }

  // The request, leaving; called by the stream.

  get canWrite(): boolean {
    return this.#connection.bufferedBytes === 0;
  }

  write(text: string): boolean {
    return this.#connection.write(text);
  }

  writeBulk(before: string, chunk: Buffer, after: string): boolean {
    return this.#options.bulk.write(this.#connection, before, chunk, after);
  }

  endTunnel(): void {
    this.#connection.end();
  }

  flushSoon(stream: Http1ClientStream): void {
    this.#flushing = stream;
    queueMicrotask(this.#flush);
  }

  readonly #flush = (): void => {
    const stream = this.#flushing;
    this.#flushing = undefined;
    if (stream !== undefined && !stream.isOver && !this.#connection.isClosed) stream.flush();
  };

  reset(stream: Http1ClientStream): void {
    if (stream !== this.#stream) return;
    this.#isGivenUp = true;
    this.isDraining = true;
    this.#body.stop();
    this.#end();
    this.#connection.destroy();
    this.#handler.onStreamEnd();
  }

  setReadDisabled(disabled: boolean): void {
    if (this.#isReadDisabled === disabled) return;
    this.#isReadDisabled = disabled;
    if (disabled) this.#connection.pause();
    else this.#connection.resume();
  }
}

/** `HTTP/1.x SP 3DIGIT [SP reason]`; -1 for anything else. */
function parseStatusLine(block: string, lineEnd: number): number {
  if (lineEnd < 12 || !(block.startsWith("HTTP/1.1 ") || block.startsWith("HTTP/1.0 "))) return -1;
  if (lineEnd > 12 && block.charCodeAt(12) !== 32) return -1;
  const status = digit(block, 9) * 100 + digit(block, 10) * 10 + digit(block, 11);
  return status >= 100 && status <= 999 ? status : -1;
}

function digit(text: string, at: number): number {
  const value = text.charCodeAt(at) - 48;
  return value >= 0 && value <= 9 ? value : -1000;
}
