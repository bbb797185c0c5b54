/** The server side of HTTP/2 over Node's own implementation, until there is a codec on bytes behind the same interface. */
import type { ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { Connection } from "#lib/connection.ts";
import type { ServerCodec, ServerCodecHandler, StreamEncoder } from "../codec.ts";
import type { HeaderMap } from "../header-map.ts";
import { CodecDuplex } from "./codec-duplex.ts";
import { headerMapOf, outgoingFields } from "./header-fields.ts";
import { NodeStream } from "./node-stream.ts";
import { END_STREAM, ErrorCode, http2 } from "./node-http2.ts";

export interface Http2ServerOptions {
  readonly maxConcurrentStreams: number;
  readonly initialStreamWindowBytes: number;
  readonly initialConnectionWindowBytes: number;
  readonly headerTableBytes: number;
  /** Extended CONNECT (RFC 8441). */
  readonly allowConnect: boolean;
  readonly maxRequestHeadersBytes: number;
  readonly maxHeadersCount: number;
}

/** The owner of the connection passes its events on to the codec. */
export function createHttp2ServerCodec(
  connection: Connection,
  handler: ServerCodecHandler,
  options: Http2ServerOptions,
): ServerCodec {
  return new Http2ServerCodec(connection, handler, options);
}

class Http2ServerCodec implements ServerCodec {
  readonly protocol = "HTTP/2";
  isDraining = false;
  readonly #streams = new Set<ServerStream>();
  readonly #duplex: CodecDuplex;
  readonly #session: ServerHttp2Session;
  readonly #handler: ServerCodecHandler;

  constructor(connection: Connection, handler: ServerCodecHandler, options: Http2ServerOptions) {
    this.#handler = handler;
    this.#duplex = new CodecDuplex(connection);
    this.#duplex.on("error", () => {});
    this.#session = http2().performServerHandshake(this.#duplex, {
      maxHeaderListPairs: options.maxHeadersCount + 6,
      settings: {
        maxConcurrentStreams: options.maxConcurrentStreams,
        initialWindowSize: options.initialStreamWindowBytes,
        headerTableSize: options.headerTableBytes,
        enableConnectProtocol: options.allowConnect,
        maxHeaderListSize: options.maxRequestHeadersBytes,
      },
    });
    const session = this.#session;
    session.setLocalWindowSize(options.initialConnectionWindowBytes);
    session.on("stream", (stream: ServerHttp2Stream, _headers: unknown, flags: number, raw?: string[]) =>
      this.#onStream(stream, flags, raw ?? []),
    );
    session.on("error", () => {
      this.isDraining = true;
      handler.onProtocolError({
        status: 400,
        details: "http2.violation.of.messaging.rule",
        message: "HTTP/2 session error",
      });
    });
    session.on("goaway", () => {
      this.isDraining = true;
      handler.onGoAway?.();
    });
    session.on("close", () => (this.isDraining = true));
  }

  get activeStreams(): number {
    return this.#streams.size;
  }

  onData(chunk: Buffer): void {
    this.#duplex.feed(chunk);
  }

  onDrain(): void {
    this.#duplex.drained();
  }

  onClose(): void {
    for (const stream of this.#streams) stream.onGone("connection termination");
    this.#duplex.destroy();
    this.#session.destroy();
  }

  drain(): void {
    if (this.isDraining) return;
    this.isDraining = true;
    this.#session.close();
  }

  #onStream(stream: ServerHttp2Stream, flags: number, raw: readonly string[]): void {
    const headers = headerMapOf(raw);
    const endStream = (flags & END_STREAM) !== 0;
    const own = new ServerStream(stream, headers, () => this.#streams.delete(own));
    this.#streams.add(own);
    own.decoder = this.#handler.onStream(own);
    if (endStream) own.isReceived = true;
    own.decoder.onHeaders(headers, endStream);
    own.startReading();
  }
}

class ServerStream extends NodeStream implements StreamEncoder {
  readonly #onOver: () => void;
  /** An extended CONNECT is shown as an upgrade, and its 101 as 200 (RFC 8441, R-104). */
  readonly #isExtendedConnect: boolean;

  constructor(stream: ServerHttp2Stream, headers: HeaderMap, onOver: () => void) {
    super(stream, ErrorCode.internalError);
    this.#onOver = onOver;
    this.#isExtendedConnect = headers.protocol !== "";
    if (this.#isExtendedConnect) {
      headers.method = "GET";
      headers.set("connection", "upgrade");
      headers.set("upgrade", headers.protocol);
    }
  }

  protected onOver(): void {
    this.#onOver();
  }

  sendHeaders(headers: HeaderMap, endStream: boolean): void {
    const stream = this.stream as ServerHttp2Stream;
    if (this.isOver || stream.destroyed) return;
    const status = this.#isExtendedConnect && headers.status === 101 ? 200 : headers.status;
    stream.respond({ ":status": status, ...outgoingFields(headers) }, { endStream, waitForTrailers: !endStream });
    if (endStream) this.sent();
  }

  sendInformational(headers: HeaderMap): void {
    const stream = this.stream as ServerHttp2Stream;
    if (this.isOver || stream.destroyed || stream.headersSent) return;
    stream.additionalHeaders({ ":status": headers.status, ...outgoingFields(headers) });
  }

  protected override sent(): void {
    super.sent();
    // An early answer: the client need not send the rest (RFC 9113 §8.1).
    if (!this.isReceived) this.stream.once("finish", () => this.stream.close(ErrorCode.noError));
  }
}
