/** An HTTP/2 codec at one end of a simulated connection, a peer that speaks frames at the other. */
import type { Connection } from "#lib/connection.ts";
import { simulatedRuntime, type SimulatedRuntime } from "#lib/simulated-runtime.ts";
import { createStatsStore, type StatsStore } from "../../observability/stats-store.ts";
import type { ClientCodec, ServerCodec, StreamDecoder, StreamEncoder } from "../codec.ts";
import { createHttp2ClientCodec, defaultHttp2ClientOptions, type Http2ClientOptions } from "../http2/client-codec.ts";
import { http2Stats } from "../http2/http2-stats.ts";
import { createHttp2Shared } from "../http2/options.ts";
import { createHttp2ServerCodec, type Http2ServerOptions } from "../http2/server-codec.ts";
import { prefaceText } from "../http2/preface.ts";
import { Http2Peer, settings } from "./http2-peer.ts";
import { RecordingDecoder } from "./recording-decoder.ts";

export interface ServerStreamSeen {
  readonly encoder: StreamEncoder;
  readonly decoder: RecordingDecoder;
}

export class ServerWorld {
  readonly runtime: SimulatedRuntime;
  readonly stats: StatsStore;
  readonly streams: ServerStreamSeen[] = [];
  readonly errors: string[] = [];
  readonly peer: Http2Peer;
  readonly codec: ServerCodec;
  drained = 0;
  goAways = 0;
  /** What the server does with each stream; by default it only listens. */
  onStream: (stream: ServerStreamSeen) => void = () => {};

  constructor(runtime: SimulatedRuntime, client: Connection, server: Connection, options: Partial<Http2ServerOptions>) {
    this.runtime = runtime;
    this.stats = createStatsStore();
    this.peer = new Http2Peer(client, runtime, false);
    const shared = createHttp2Shared(http2Stats(this.stats.root));
    this.codec = createHttp2ServerCodec(
      server,
      {
        onStream: (encoder) => {
          const decoder = new RecordingDecoder();
          const seen = { encoder, decoder };
          this.streams.push(seen);
          this.onStream(seen);
          return decoder;
        },
        onProtocolError: (error) => void this.errors.push(error.details),
        onGoAway: () => void this.goAways++,
        onDrained: () => {
          this.drained++;
          server.end();
        },
      },
      { ...serverDefaults, shared, clock: runtime.clock, ...options },
    );
    server.handler = {
      onData: (chunk) => this.codec.onData(chunk),
      onDrain: () => this.codec.onDrain(),
      onEnd: () => server.end(),
      onClose: () => this.codec.onClose(),
    };
  }

  counter(name: string): number {
    return this.stats.root.counter(`http2.${name}`).value;
  }
  gauge(name: string): number {
    return this.stats.root.gauge(`http2.${name}`).value;
  }
}

export const serverDefaults: Omit<Http2ServerOptions, "shared"> = {
  maxConcurrentStreams: 100,
  initialStreamWindowBytes: 65_535,
  initialConnectionWindowBytes: 65_535,
  headerTableBytes: 4096,
  allowConnect: false,
  maxRequestHeadersBytes: 60 * 1024,
  maxHeadersCount: 100,
};

async function pair(): Promise<{ runtime: SimulatedRuntime; client: Connection; server: Connection }> {
  const runtime = simulatedRuntime();
  let server: Connection | undefined;
  const address = { kind: "ip", address: "127.0.0.1", port: 80 } as const;
  await runtime.network.listen({ address }, (connection) => void (server = connection));
  const client = runtime.network.connect({ address }, { onData() {}, onClose() {} });
  await runtime.settle();
  if (server === undefined) throw new Error("nobody came");
  return { runtime, client, server };
}

/** A server codec whose client has said hello; `raw`: it has not. */
export async function serverWorld(options: Partial<Http2ServerOptions> = {}, raw = false): Promise<ServerWorld> {
  const { runtime, client, server } = await pair();
  const world = new ServerWorld(runtime, client, server, options);
  if (!raw) await world.peer.send(Buffer.from(prefaceText), settings());
  return world;
}

export class ClientWorld {
  readonly runtime: SimulatedRuntime;
  readonly stats: StatsStore;
  readonly errors: string[] = [];
  readonly peer: Http2Peer;
  readonly codec: ClientCodec;
  ended = 0;
  goAways = 0;
  settings = 0;

  constructor(runtime: SimulatedRuntime, client: Connection, server: Connection, options: Partial<Http2ClientOptions>) {
    this.runtime = runtime;
    this.stats = createStatsStore();
    this.peer = new Http2Peer(server, runtime, true);
    const shared = createHttp2Shared(http2Stats(this.stats.root));
    this.codec = createHttp2ClientCodec(
      client,
      {
        onStreamEnd: () => void this.ended++,
        onGoAway: () => void this.goAways++,
        onSettings: () => void this.settings++,
        onProtocolError: (error) => void this.errors.push(error.details),
      },
      { ...defaultHttp2ClientOptions, shared, clock: runtime.clock, ...options },
    );
    client.handler = {
      onData: (chunk) => this.codec.onData(chunk),
      onDrain: () => this.codec.onDrain(),
      onEnd: () => client.end(),
      onClose: () => this.codec.onClose(),
    };
  }

  counter(name: string): number {
    return this.stats.root.counter(`http2.${name}`).value;
  }
}

export async function clientWorld(options: Partial<Http2ClientOptions> = {}): Promise<ClientWorld> {
  const { runtime, client, server } = await pair();
  const world = new ClientWorld(runtime, client, server, options);
  await world.peer.send(settings());
  return world;
}

/** Serves HTTP/2 on an accepted connection: `onStream` gives the decoder of each request. */
export function serverOn(
  runtime: SimulatedRuntime,
  connection: Connection,
  onStream: (encoder: StreamEncoder) => StreamDecoder,
): ServerCodec {
  const shared = createHttp2Shared(http2Stats(createStatsStore().root));
  const handler = { onStream, onProtocolError: () => connection.destroy() };
  const codec = createHttp2ServerCodec(connection, handler, { ...serverDefaults, shared, clock: runtime.clock });
  connection.handler = {
    onData: (chunk) => codec.onData(chunk),
    onDrain: () => codec.onDrain(),
    onEnd: () => connection.end(),
    onClose: () => codec.onClose(),
  };
  return codec;
}
