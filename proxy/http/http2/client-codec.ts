/** The client side of HTTP/2 on bytes. */
import type { Connection } from "#lib/connection.ts";
import type { ClientCodec, ClientCodecHandler, StreamDecoder, StreamEncoder } from "../codec.ts";
import type { HeaderMap } from "../header-map.ts";
import { hasNoBody } from "../http1/server-stream.ts";
import { ErrorCode, maxStreamId, Setting } from "./frames.ts";
import type { BlockKind, HeadError } from "./head-builder.ts";
import type { SessionOptions } from "./options.ts";
import { prefaceText } from "./preface.ts";
import { defaultHttp2ProtocolSettings } from "./protocol-options.ts";
import { Http2Session } from "./session.ts";
import { Http2Stream } from "./stream.ts";

export interface Http2ClientOptions extends SessionOptions {
  readonly maxResponseHeadersBytes: number;
}

/** What a cluster uses when its configuration says nothing. */
export const defaultHttp2ClientOptions: Http2ClientOptions = {
  ...defaultHttp2ProtocolSettings,
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

class Http2ClientCodec extends Http2Session implements ClientCodec {
  maxConcurrentStreams: number;
  /** The server begins no streams: push was never allowed. */
  protected override readonly lastStreamId = 0;
  #nextStreamId = 1;
  #hasGoAway = false;
  /** Streams whose head has not been sent. */
  readonly #unstarted: ClientStream[] = [];
  readonly #handler: ClientCodecHandler;
  readonly #options: Http2ClientOptions;

  constructor(connection: Connection, handler: ClientCodecHandler, options: Http2ClientOptions) {
    const { maxResponseHeadersBytes: maxBytes, maxHeadersCount: maxCount } = options;
    super(connection, options, { maxBytes, maxCount, allowConnect: false, underscores: "allow" }, false);
    this.#handler = handler;
    this.#options = options;
    this.maxConcurrentStreams = options.maxConcurrentStreams;
    this.writer.raw(prefaceText);
    this.greet([[Setting.enablePush, 0]]);
  }

  get activeStreams(): number {
    return this.streams.size + this.#unstarted.length;
  }

  newStream(decoder: StreamDecoder): StreamEncoder {
    const stream = new ClientStream(this, this.peer.initialWindowBytes, this.streamReceiveWindow);
    stream.decoder = decoder;
    stream.start = this.#start;
    this.#unstarted.push(stream);
    return stream;
  }

  /** A stream begins on the wire with its head. False: there is no connection for it. */
  readonly #start = (stream: ClientStream): boolean => {
    this.#leaveUnstarted(stream);
    if (this.isDead || this.connection.isClosed) {
      this.forget(stream);
      stream.decoder?.onReset("connection termination", "");
      this.onStreamGone(stream);
      return false;
    }
    stream.id = this.#nextStreamId;
    // Settings may have come since it was made.
    stream.sendWindow = this.peer.initialWindowBytes;
    stream.receiveWindow = this.streamReceiveWindow;
    this.#nextStreamId += 2;
    if (this.#nextStreamId > maxStreamId) this.isDraining = true;
    this.begin(stream);
    this.keepalive?.onNewStream();
    return true;
  };

  #leaveUnstarted(stream: ClientStream): void {
    const unstarted = this.#unstarted;
    if (unstarted[unstarted.length - 1] === stream) unstarted.pop();
    else if (unstarted.includes(stream)) unstarted.splice(unstarted.indexOf(stream), 1);
  }

  #endUnstarted(): void {
    for (let stream = this.#unstarted.pop(); stream !== undefined; stream = this.#unstarted.pop()) {
      this.forget(stream);
      stream.decoder?.onReset("connection termination", "");
      this.onStreamGone(stream);
    }
  }

  protected override isIdle(streamId: number): boolean {
    return (streamId & 1) === 0 || streamId >= this.#nextStreamId;
  }

  protected override streamForHeaders(streamId: number): undefined {
    return this.onStrayHeaders(streamId);
  }

  protected override blockKind(stream: Http2Stream): BlockKind {
    return stream.hasHead ? "trailers" : "response";
  }

  protected override onHead(stream: ClientStream, headers: HeaderMap, endStream: boolean): HeadError | undefined {
    const { status } = headers;
    if (status < 200) {
      if (endStream) return "http2.violation.of.messaging.rule";
      stream.decoder?.onInformational?.(headers);
      return undefined;
    }
    const isBodiless = stream.isHead || hasNoBody(status) || (stream.isConnect && status < 300);
    stream.contentLeft = isBodiless ? -1 : this.head.contentLength;
    if (endStream && stream.contentLeft > 0) return "http2.violation.of.messaging.rule";
    stream.hasHead = true;
    if (stream.upgrade !== undefined && status === 200) {
      headers.status = 101;
      headers.set("connection", "upgrade");
      headers.set("upgrade", stream.upgrade);
    }
    if (endStream) {
      stream.isReceived = true;
      stream.isDelivered = true;
    }
    stream.decoder?.onHeaders(headers, endStream);
    if (endStream) stream.delivered();
    return undefined;
  }

  protected override onHeadBegun(): void {}

  protected override onRefusedHead(): void {}

  /** An upgrade is asked for as extended CONNECT (RFC 8441, R-104). */
  protected override writeHead(stream: ClientStream, headers: HeaderMap): void {
    const { encoder } = this;
    const { out } = this.writer;
    const { upgrade } = stream;
    encoder.method(out, upgrade === undefined ? headers.method : "CONNECT");
    if (upgrade !== undefined) encoder.field(out, ":protocol", upgrade, false);
    encoder.field(out, ":authority", headers.authority, false);
    if (headers.method === "CONNECT") return;
    encoder.scheme(out, headers.scheme === "" ? "http" : headers.scheme);
    encoder.path(out, headers.path);
  }

  protected override onStreamGone(stream: ClientStream): void {
    if (stream.id === 0) this.#leaveUnstarted(stream);
    this.#handler.onStreamEnd();
  }

  protected override onPeerReset(): void {}

  protected override resetReasonOf(): "protocol error" {
    return "protocol error";
  }

  protected override onConnectionError(details: string, message: string): void {
    this.#handler.onProtocolError({ details, message });
  }

  protected override endAll(reason: "connection termination" | "protocol error", details: string): void {
    super.endAll(reason, details);
    this.#endUnstarted();
  }

  /** The server will not look at streams above the last one: they may be begun again elsewhere. */
  protected override onGoAwayFrame(lastStreamId: number): void {
    this.isDraining = true;
    if (!this.#hasGoAway) {
      this.#hasGoAway = true;
      this.#handler.onGoAway();
    }
    for (const stream of this.streams.all()) {
      if (stream.id <= lastStreamId || stream.isOver) continue;
      this.forget(stream);
      this.givenUp.add(stream.id);
      stream.decoder?.onReset("remote refused stream reset", "http2.remote_refuse");
      this.onStreamGone(stream as ClientStream);
    }
  }

  protected override onPeerSettings(): void {
    const max = Math.min(this.#options.maxConcurrentStreams, this.peer.maxConcurrentStreams);
    if (max === this.maxConcurrentStreams) return;
    this.maxConcurrentStreams = max;
    this.#handler.onSettings?.();
  }

  protected override onPingAck(): void {}
}

class ClientStream extends Http2Stream {
  isHead = false;
  isConnect = false;
  /** The protocol that an upgrade asks for. */
  upgrade: string | undefined = undefined;
  start: (stream: ClientStream) => boolean = () => false;
  protected override readonly resetCode: ErrorCode = ErrorCode.cancel;

  sendHeaders(headers: HeaderMap, endStream: boolean): void {
    if (this.isOver || this.isHeadSent || !this.start(this)) return;
    this.isHeadSent = true;
    this.isHead = headers.method === "HEAD";
    this.upgrade = headers.get("upgrade");
    this.isConnect = headers.method === "CONNECT" || this.upgrade !== undefined;
    this.owner.writeHeaders(this, headers, endStream);
    if (!endStream) return;
    this.isEnding = true;
    this.sent();
  }

  sendInformational(): void {
    throw new Error("a client sends no informational response");
  }

  /** The rest of a request that has been answered has nowhere to go, but for a tunnel's. */
  override delivered(): void {
    if (this.isSent || this.isConnect) super.delivered();
    else if (!this.isOver) this.owner.end(this, ErrorCode.cancel);
  }

  /** The response is still to come. */
  protected override onSentFirst(): void {}
}
