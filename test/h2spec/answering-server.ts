/** A server made of the HTTP/2 codec alone: every request is answered, a body is sent back. */
import type { Connection, ConnectionHandler, SocketAddress } from "#lib/connection.ts";
import { nodeRuntime } from "#lib/node-runtime.ts";
import type { ServerCodec, StreamDecoder, StreamEncoder } from "#proxy/http/codec.ts";
import { createHttp2ServerCodec, type Http2ServerOptions } from "#proxy/http/http2/server-codec.ts";
import { HeaderMap } from "#proxy/http/header-map.ts";

export interface AnsweringServer {
  readonly port: number;
  close(): Promise<void>;
}

const options: Http2ServerOptions = {
  maxConcurrentStreams: 100,
  initialStreamWindowBytes: 65_536,
  initialConnectionWindowBytes: 1024 * 1024,
  headerTableBytes: 4096,
  allowConnect: false,
  maxRequestHeadersBytes: 60 * 1024,
  maxHeadersCount: 100,
  streamErrorOnInvalidMessage: true,
};

export async function answeringServer(changes: Partial<Http2ServerOptions> = {}): Promise<AnsweringServer> {
  const runtime = nodeRuntime({ logLevel: "off" });
  const address: SocketAddress = { kind: "ip", address: "127.0.0.1", port: 0 };
  const open = new Set<Connection>();
  const socket = await runtime.network.listen({ address }, (connection) => {
    open.add(connection);
    connection.handler = handlerFor(connection, { ...options, clock: runtime.clock, ...changes }, () =>
      open.delete(connection),
    );
  });
  return {
    port: socket.address.kind === "ip" ? socket.address.port : 0,
    async close() {
      for (const connection of open) connection.destroy();
      await socket.close();
    },
  };
}

function handlerFor(connection: Connection, codecOptions: Http2ServerOptions, onGone: () => void): ConnectionHandler {
  const codec: ServerCodec = createHttp2ServerCodec(
    connection,
    { onStream: (encoder) => new Echo(encoder), onProtocolError() {} },
    codecOptions,
  );
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

/** Answers a GET at once, anything else with its own body. */
class Echo implements StreamDecoder {
  readonly #encoder: StreamEncoder;

  constructor(encoder: StreamEncoder) {
    this.#encoder = encoder;
  }

  onHeaders(_headers: HeaderMap, endStream: boolean): void {
    const answer = HeaderMap.of({ ":status": "200", "content-type": "text/plain" });
    this.#encoder.sendHeaders(answer, false);
    if (endStream) this.#encoder.sendData("a short answer", true);
  }
  onData(chunk: Buffer, endStream: boolean): void {
    if (!this.#encoder.sendData(chunk, endStream)) this.#encoder.setReadDisabled(true);
  }
  onTrailers(trailers: HeaderMap): void {
    this.#encoder.sendTrailers(trailers);
  }
  onReset(): void {}
  onWritable(): void {
    this.#encoder.setReadDisabled(false);
  }
}
