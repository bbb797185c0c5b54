/** An origin and a client for bodies of any size, on our own codecs: neither ever holds more than a piece of one. */
import type { Connection, ConnectionHandler, SocketAddress } from "#lib/connection.ts";
import type { ListeningSocket, Runtime } from "#lib/runtime.ts";
import type { ServerCodec, ServerCodecHandler, StreamDecoder, StreamEncoder } from "#proxy/http/codec.ts";
import { HeaderMap } from "#proxy/http/header-map.ts";
import { BulkWriter } from "#proxy/http/http1/bulk-writer.ts";
import { FieldNames } from "#proxy/http/http1/field-names.ts";
import { createHttp1ServerCodec, type Http1ServerOptions } from "#proxy/http/http1/server-codec.ts";
import { createHttp2ServerCodec, type Http2ServerOptions } from "#proxy/http/http2/server-codec.ts";

/** What bodies are made of. */
export const piece: Buffer = Buffer.alloc(65_536, "b");

/** `GET /bytes/<n>` is answered with n bytes; anything else is read to its end and answered with its length. */
export interface StreamingOrigin {
  readonly http1: number;
  readonly http2: number;
  /** Bytes of bodies that the connections have taken, and given. */
  readonly sent: number;
  readonly received: number;
  /** While true, new requests' bodies are not read. */
  holdsBodies: boolean;
  /** Reads the bodies that were held; how many. */
  readHeld(): number;
  close(): Promise<void>;
}

const http1Options: Http1ServerOptions = {
  names: new FieldNames(),
  bulk: new BulkWriter(),
  maxRequestHeadersBytes: 60 * 1024,
  maxHeadersCount: 100,
  acceptHttp10: false,
  defaultHostForHttp10: "",
  allowAbsoluteUrl: true,
  allowChunkedLength: false,
  allowCustomMethods: false,
  enableTrailers: false,
  headersWithUnderscores: "allow",
};
const http2Options: Http2ServerOptions = {
  maxConcurrentStreams: 1000,
  initialStreamWindowBytes: 256 * 1024,
  initialConnectionWindowBytes: 1024 * 1024,
  headerTableBytes: 4096,
  allowConnect: false,
  maxRequestHeadersBytes: 60 * 1024,
  maxHeadersCount: 100,
};

export async function startStreamingOrigin(runtime: Runtime): Promise<StreamingOrigin> {
  const open = new Set<Connection>();
  const origin = new Origin();
  const listen = (codecOn: (connection: Connection) => ServerCodec): Promise<ListeningSocket> =>
    runtime.network.listen({ address: { kind: "ip", address: "127.0.0.1", port: 0 } }, (connection) => {
      open.add(connection);
      connection.handler = handlerOf(codecOn(connection), connection, () => open.delete(connection));
    });
  const sockets = await Promise.all([
    listen((connection) => createHttp1ServerCodec(connection, origin, http1Options)),
    listen((connection) => createHttp2ServerCodec(connection, origin, { ...http2Options, clock: runtime.clock })),
  ]);
  const [http1 = 0, http2 = 0] = sockets.map(({ address }) => portOf(address));
  return Object.assign(origin, {
    http1,
    http2,
    async close() {
      for (const connection of open) connection.destroy();
      await Promise.all(sockets.map((socket) => socket.close()));
    },
  });
}

export function portOf(address: SocketAddress): number {
  return address.kind === "ip" ? address.port : 0;
}

/** The events of a connection go to a codec. */
function handlerOf(codec: ServerCodec, connection: Connection, onGone: () => void): ConnectionHandler {
  return {
    onData: (chunk) => codec.onData(chunk),
    onDrain: () => codec.onDrain(),
    onEnd: () => connection.end(),
    onClose() {
      codec.onClose();
      onGone();
    },
  };
}

class Origin implements ServerCodecHandler {
  sent = 0;
  received = 0;
  holdsBodies = false;
  readonly held: StreamEncoder[] = [];

  onStream(encoder: StreamEncoder): StreamDecoder {
    return new OriginStream(this, encoder);
  }
  onProtocolError(): void {}
  readHeld(): number {
    const held = this.held.splice(0);
    for (const encoder of held) encoder.setReadDisabled(false);
    return held.length;
  }
}

class OriginStream implements StreamDecoder {
  readonly #origin: Origin;
  readonly #encoder: StreamEncoder;
  #received = 0;
  #left = 0;
  #isGone = false;

  constructor(origin: Origin, encoder: StreamEncoder) {
    this.#origin = origin;
    this.#encoder = encoder;
  }
  onHeaders(headers: HeaderMap, endStream: boolean): void {
    this.#left = Number(/^\/bytes\/(\d+)$/.exec(headers.path)?.[1] ?? -1);
    if (this.#left < 0) {
      if (endStream) this.#answerLength();
      else if (this.#origin.holdsBodies) {
        this.#origin.held.push(this.#encoder);
        this.#encoder.setReadDisabled(true);
      }
      return;
    }
    this.#encoder.sendHeaders(answer(this.#left), this.#left === 0);
    this.onWritable();
  }
  onData(chunk: Buffer, endStream: boolean): void {
    this.#received += chunk.length;
    this.#origin.received += chunk.length;
    if (endStream) this.#answerLength();
  }
  onTrailers(): void {
    this.#answerLength();
  }
  onReset(): void {
    this.#isGone = true;
  }
  onWritable(): void {
    let takesMore = true;
    while (takesMore && this.#left > 0 && !this.#isGone) {
      const length = Math.min(piece.length, this.#left);
      this.#left -= length;
      this.#origin.sent += length;
      takesMore = this.#encoder.sendData(piece.subarray(0, length), this.#left === 0);
    }
  }
  #answerLength(): void {
    const text = String(this.#received);
    this.#encoder.sendHeaders(answer(text.length), false);
    this.#encoder.sendData(text, true);
  }
}

function answer(length: number): HeaderMap {
  return HeaderMap.of({ ":status": "200", "content-type": "text/plain", "content-length": String(length) });
}
