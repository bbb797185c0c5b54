/**
 * What HTTP/2 itself costs: a bare forwarder on our codec beside the same on `node:http2`, no routes, no filters.
 * CPU microseconds per request of the forwarder's process; same load, same origin, order alternated.
 *
 *   node bench/http2-codec.ts [requests per round = 60000] [rounds = 3]
 */
import { spawn, type ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import type { Connection, SocketAddress } from "#lib/connection.ts";
import { nodeRuntime } from "#lib/node-runtime.ts";
import type { Network } from "#lib/runtime.ts";
import type { ClientCodec, StreamDecoder, StreamEncoder } from "#proxy/http/codec.ts";
import { createHttp2ClientCodec, defaultHttp2ClientOptions } from "#proxy/http/http2/client-codec.ts";
import { createHttp2Shared } from "#proxy/http/http2/options.ts";
import { createHttp2ServerCodec, type Http2ServerOptions } from "#proxy/http/http2/server-codec.ts";
import { HeaderMap } from "#proxy/http/header-map.ts";

const body = "x".repeat(1024);
const shared = createHttp2Shared();
const endsOfTurn: Readonly<Record<string, (flush: () => void) => void>> = {
  microtask: queueMicrotask,
  immediate: setImmediate,
};

const serverOptions: Http2ServerOptions = {
  maxConcurrentStreams: 1024,
  initialStreamWindowBytes: 16 * 1024 * 1024,
  initialConnectionWindowBytes: 24 * 1024 * 1024,
  headerTableBytes: 4096,
  allowConnect: false,
  maxRequestHeadersBytes: 60 * 1024,
  maxHeadersCount: 100,
  shared,
};

async function listen(
  network: Network,
  onStream: (encoder: StreamEncoder) => StreamDecoder,
  options: Http2ServerOptions,
): Promise<number> {
  const address: SocketAddress = { kind: "ip", address: "127.0.0.1", port: 0 };
  const socket = await network.listen({ address }, (connection) => {
    const codec = createHttp2ServerCodec(connection, { onStream, onProtocolError() {} }, options);
    connection.handler = handlerOf(codec);
  });
  return socket.address.kind === "ip" ? socket.address.port : 0;
}

function handlerOf(codec: { onData(c: Buffer): void; onDrain(): void; onClose(): void }): Connection["handler"] {
  return { onData: (c) => codec.onData(c), onDrain: () => codec.onDrain(), onClose: () => codec.onClose() };
}

function connectTo(network: Network, port: number, options = defaultHttp2ClientOptions): Promise<ClientCodec> {
  return new Promise((resolve) => {
    const address: SocketAddress = { kind: "ip", address: "127.0.0.1", port };
    const connection = network.connect(
      { address },
      {
        onConnect() {
          const handler = { onStreamEnd() {}, onGoAway() {}, onProtocolError() {} };
          const codec = createHttp2ClientCodec(connection, handler, { ...options, shared });
          connection.handler = handlerOf(codec);
          resolve(codec);
        },
        onData() {},
        onClose() {},
      },
    );
  });
}

/** Answers at once with the same 1 KB. */
class Answer implements StreamDecoder {
  readonly #encoder: StreamEncoder;
  constructor(encoder: StreamEncoder) {
    this.#encoder = encoder;
  }
  onHeaders(): void {
    const headers = new HeaderMap();
    headers.status = 200;
    headers.add("content-type", "application/json");
    headers.add("content-length", String(body.length));
    headers.add("server", "origin");
    headers.add("date", "Sat, 21 Nov 2026 03:00:00 GMT");
    this.#encoder.sendHeaders(headers, false);
    this.#encoder.sendData(body, true);
  }
  onData(): void {}
  onTrailers(): void {}
  onReset(): void {}
  onWritable(): void {}
}

/** A request on its way up, its response on its way down. */
class Forward implements StreamDecoder {
  readonly #down: StreamEncoder;
  readonly #upstream: ClientCodec;
  #up: StreamEncoder | undefined = undefined;
  constructor(down: StreamEncoder, upstream: ClientCodec) {
    this.#down = down;
    this.#upstream = upstream;
  }
  onHeaders(headers: HeaderMap, endStream: boolean): void {
    const down = this.#down;
    headers.add("x-request-id", "0d3c2d8e-7c7f-4a2c-9d53-8a9d2f9b4f0a");
    this.#up = this.#upstream.newStream({
      onHeaders(response, end) {
        response.add("x-envoy-upstream-service-time", "1");
        down.sendHeaders(response, end);
      },
      onData: (chunk, end) => void down.sendData(chunk, end),
      onTrailers: (trailers) => down.sendTrailers(trailers),
      onReset: (reason) => down.reset(reason),
      onWritable() {},
    });
    this.#up.sendHeaders(headers, endStream);
  }
  onData(chunk: Buffer, endStream: boolean): void {
    this.#up?.sendData(chunk, endStream);
  }
  onTrailers(trailers: HeaderMap): void {
    this.#up?.sendTrailers(trailers);
  }
  onReset(): void {
    this.#up?.reset("local reset");
  }
  onWritable(): void {}
}

async function nodeForwarder(originPort: number): Promise<number> {
  const upstream = http2.connect(`http://127.0.0.1:${originPort}`);
  const server = http2.createServer();
  server.on("stream", (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => {
    const request = upstream.request({ ...headers, "x-request-id": "0d3c2d8e-7c7f-4a2c-9d53-8a9d2f9b4f0a" });
    request.on("response", (response) => {
      stream.respond({ ...response, "x-envoy-upstream-service-time": "1" });
      request.pipe(stream);
    });
    request.end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

// Processes: each prints its port, and answers every line with its CPU time so far.

async function child(role: string, originPort: number): Promise<void> {
  const { network } = nodeRuntime({ logLevel: "off" });
  let port: number;
  if (role === "origin") port = await listen(network, (encoder) => new Answer(encoder), serverOptions);
  else if (role === "node:http2") port = await nodeForwarder(originPort);
  else {
    const atEndOfTurn = endsOfTurn[role] ?? queueMicrotask;
    const upstream = await connectTo(network, originPort, { ...defaultHttp2ClientOptions, atEndOfTurn });
    port = await listen(network, (encoder) => new Forward(encoder, upstream), { ...serverOptions, atEndOfTurn });
  }
  process.stdout.write(`${port}\n`);
  process.on("SIGINT", () => process.exit());
  createInterface({ input: process.stdin }).on("line", () => {
    const { user, system } = process.cpuUsage();
    process.stdout.write(`${user + system}\n`);
  });
}

class Process {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  constructor(role: string, originPort: number) {
    const args = [fileURLToPath(import.meta.url), "--role", role, String(originPort)];
    this.#child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] });
    if (this.#child.stdout === null) throw new Error("no output");
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }
  async number(): Promise<number> {
    const { value } = (await this.#lines.next()) as { value: string };
    return Number(value);
  }
  cpu(): Promise<number> {
    this.#child.stdin?.write("\n");
    return this.number();
  }
  stop(): void {
    this.#child.kill();
  }
}

/** Closed loop: every stream asks again as soon as it is answered. */
async function load(
  network: Network,
  port: number,
  connections: number,
  streams: number,
  total: number,
): Promise<void> {
  const codecs = await Promise.all(Array.from({ length: connections }, () => connectTo(network, port)));
  let started = 0;
  let done = 0;
  await new Promise<void>((resolve, reject) => {
    const ask = (codec: ClientCodec): void => {
      if (started >= total) return;
      const path = `/items/${started % 7}`;
      started++;
      const headers = HeaderMap.of({
        ":method": "GET",
        ":scheme": "http",
        ":authority": "items.example",
        ":path": path,
        "user-agent": "bench",
        accept: "application/json",
        "x-forwarded-for": "10.1.2.3",
      });
      const onEnd = (): void => {
        if (++done === total) resolve();
        else ask(codec);
      };
      const stream = codec.newStream({
        onHeaders: (response, end) => {
          if (response.status !== 200) reject(new Error(`status ${response.status}`));
          if (end) onEnd();
        },
        onData: (_chunk, end) => {
          if (end) onEnd();
        },
        onTrailers: onEnd,
        onReset: (reason) => reject(new Error(reason)),
        onWritable() {},
      });
      stream.sendHeaders(headers, true);
    };
    for (const codec of codecs) for (let i = 0; i < streams; i++) ask(codec);
  });
}

async function main(): Promise<void> {
  const total = Number(process.argv[2] ?? 60_000);
  const rounds = Number(process.argv[3] ?? 3);
  const { network } = nodeRuntime({ logLevel: "off" });
  const origin = new Process("origin", 0);
  const originPort = await origin.number();
  const roles = ["node:http2", "microtask", "immediate"];
  const shapes = [
    [8, 8],
    [32, 1],
    [1, 1],
  ] as const;
  const results = new Map<string, number[]>();
  for (let round = 0; round < rounds; round++) {
    for (const role of round % 2 === 0 ? roles : roles.toReversed()) {
      for (const [connections, streams] of shapes) {
        const forwarder = new Process(role, originPort);
        const port = await forwarder.number();
        await load(network, port, connections, streams, Math.ceil(total / 3));
        const before = await forwarder.cpu();
        await load(network, port, connections, streams, total);
        const each = ((await forwarder.cpu()) - before) / total;
        const key = `${connections} × ${streams}\t${role}`;
        results.set(key, [...(results.get(key) ?? []), each]);
        forwarder.stop();
      }
    }
  }
  origin.stop();
  console.log(
    `${cpus()[0]?.model ?? "?"}, ${cpus().length} cores, Node ${process.version}, ${total} requests, 1 KB answers`,
  );
  console.log("CPU of a bare HTTP/2 forwarder, µs per request: median (lowest – highest)");
  for (const [key, values] of [...results].toSorted(([a], [b]) => a.localeCompare(b))) {
    const sorted = values.toSorted((a, b) => a - b);
    const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
    console.log(
      `${key.padEnd(20)}\t${median.toFixed(1)} (${(sorted[0] ?? 0).toFixed(1)} – ${(sorted.at(-1) ?? 0).toFixed(1)})`,
    );
  }
  process.exit(0);
}

if (process.argv[2] === "--role") await child(process.argv[3] ?? "", Number(process.argv[4]));
else await main();
