/** The client side of HTTP/2 over Node's own implementation, until there is a codec on bytes behind the same interface. */
import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import type { Connection } from "#lib/connection.ts";
import type { ClientCodec, ClientCodecHandler, StreamDecoder, StreamEncoder } from "../codec.ts";
import type { HeaderMap } from "../header-map.ts";
import { CodecDuplex } from "./codec-duplex.ts";
import { headerMapOf, outgoingFields } from "./header-fields.ts";
import { NodeStream } from "./node-stream.ts";
import { END_STREAM, ErrorCode, http2 } from "./node-http2.ts";

export interface Http2ClientOptions {
  readonly maxConcurrentStreams: number;
  readonly initialStreamWindowBytes: number;
  readonly initialConnectionWindowBytes: number;
  readonly headerTableBytes: number;
  readonly maxResponseHeadersBytes: number;
  readonly maxHeadersCount: number;
}

/** What a cluster uses when its configuration says nothing. */
export const defaultHttp2ClientOptions: Http2ClientOptions = {
  maxConcurrentStreams: 1024,
  initialStreamWindowBytes: 16 * 1024 * 1024,
  initialConnectionWindowBytes: 24 * 1024 * 1024,
  headerTableBytes: 4096,
  maxResponseHeadersBytes: 60 * 1024,
  maxHeadersCount: 100,
};

/** The owner of the connection passes its `onData`, `onDrain` and `onClose` on to the codec. */
export function createHttp2ClientCodec(
  connection: Connection,
  handler: ClientCodecHandler,
  options: Http2ClientOptions,
): ClientCodec {
  return new Http2ClientCodec(connection, handler, options);
}

class Http2ClientCodec implements ClientCodec {
  readonly protocol = "HTTP/2";
  isDraining = false;
  maxConcurrentStreams: number;
  readonly #streams = new Set<ClientStream>();
  readonly #duplex: CodecDuplex;
  readonly #session: ClientHttp2Session;
  readonly #handler: ClientCodecHandler;

  constructor(connection: Connection, handler: ClientCodecHandler, options: Http2ClientOptions) {
    this.#handler = handler;
    this.maxConcurrentStreams = options.maxConcurrentStreams;
    this.#duplex = new CodecDuplex(connection);
    this.#duplex.on("error", () => {});
    this.#session = http2().connect("http://upstream", {
      createConnection: () => this.#duplex,
      maxHeaderListPairs: options.maxHeadersCount + 6,
      settings: {
        enablePush: false,
        initialWindowSize: options.initialStreamWindowBytes,
        headerTableSize: options.headerTableBytes,
        maxHeaderListSize: options.maxResponseHeadersBytes,
      },
    });
    const session = this.#session;
    session.once("connect", () => session.setLocalWindowSize(options.initialConnectionWindowBytes));
    session.on("remoteSettings", (settings) => {
      this.maxConcurrentStreams = Math.min(
        options.maxConcurrentStreams,
        settings.maxConcurrentStreams ?? Number.MAX_SAFE_INTEGER,
      );
      handler.onSettings?.();
    });
    session.on("goaway", () => {
      this.isDraining = true;
      handler.onGoAway();
    });
    session.on("error", () => {
      this.isDraining = true;
      handler.onProtocolError({ details: "http2.violation.of.messaging.rule", message: "HTTP/2 session error" });
    });
    session.on("close", () => (this.isDraining = true));
  }

  get activeStreams(): number {
    return this.#streams.size;
  }

  newStream(decoder: StreamDecoder): StreamEncoder {
    const stream = new ClientStream(this.#session, decoder, () => {
      this.#streams.delete(stream);
      this.#handler.onStreamEnd();
    });
    this.#streams.add(stream);
    return stream;
  }

  onData(chunk: Buffer): void {
    this.#duplex.feed(chunk);
  }

  onDrain(): void {
    this.#duplex.drained();
  }

  onClose(): void {
    this.isDraining = true;
    for (const stream of this.#streams) stream.onGone("connection termination");
    this.#duplex.destroy();
    this.#session.destroy();
  }
}

/** A stream begins on the wire with its headers. */
class ClientStream implements StreamEncoder {
  #inner: InnerStream | undefined = undefined;
  #isOver = false;
  readonly #session: ClientHttp2Session;
  readonly #decoder: StreamDecoder;
  readonly #onOver: () => void;

  constructor(session: ClientHttp2Session, decoder: StreamDecoder, onOver: () => void) {
    this.#session = session;
    this.#decoder = decoder;
    this.#onOver = onOver;
  }

  get canWrite(): boolean {
    return this.#inner?.canWrite ?? true;
  }

  sendHeaders(headers: HeaderMap, endStream: boolean): void {
    if (this.#isOver) return;
    if (this.#session.closed || this.#session.destroyed) return this.onGone("connection termination");
    const pseudo = {
      ":method": headers.method,
      ":scheme": headers.scheme === "" ? "http" : headers.scheme,
      ":authority": headers.authority,
      ":path": headers.path,
    };
    const stream = this.#session.request(
      { ...pseudo, ...outgoingFields(headers) },
      { endStream, waitForTrailers: !endStream },
    );
    const inner = new InnerStream(stream, this.#decoder, () => this.#over());
    this.#inner = inner;
    if (endStream) inner.isSent = true;
  }

  sendData(chunk: Buffer | string, endStream: boolean): boolean {
    return this.#inner?.sendData(chunk, endStream) ?? true;
  }

  sendTrailers(trailers: HeaderMap): void {
    this.#inner?.sendTrailers(trailers);
  }

  sendInformational(): void {
    throw new Error("a client sends no informational response");
  }

  reset(): void {
    if (this.#inner === undefined) this.#over();
    else this.#inner.reset("local reset");
  }

  setReadDisabled(disabled: boolean): void {
    this.#inner?.setReadDisabled(disabled);
  }

  onGone(reason: "connection termination"): void {
    if (this.#inner !== undefined) return this.#inner.onGone(reason);
    if (this.#isOver) return;
    this.#over();
    this.#decoder.onReset(reason, "");
  }

  #over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#onOver();
  }
}

class InnerStream extends NodeStream {
  readonly #onOver: () => void;

  constructor(stream: ClientHttp2Stream, decoder: StreamDecoder, onOver: () => void) {
    super(stream, ErrorCode.cancel);
    this.#onOver = onOver;
    this.decoder = decoder;
    stream.on("headers", (_headers: unknown, _flags: number, raw?: string[]) => {
      if (!this.isOver) decoder.onInformational?.(headerMapOf(raw ?? []));
    });
    stream.on("response", (_headers: unknown, flags: number, raw?: string[]) => {
      if (this.isOver) return;
      const endStream = (flags & END_STREAM) !== 0;
      if (endStream) this.isReceived = true;
      decoder.onHeaders(headerMapOf(raw ?? []), endStream);
      if (endStream && this.isSent) this.over();
      else this.startReading();
    });
  }

  protected onOver(): void {
    this.#onOver();
  }
}
