/**
 * What a request costs in the proxy's own code: the whole proxy with the bootstrap of the comparison, but over connections
 * in memory that answer at once. No system call, so the figure is steady on a busy machine: what is left is ours.
 *
 *     node bench/request-path.ts [requests per round] [rounds]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Connection, ConnectionHandler, SocketAddress } from "#lib/connection.ts";
import { nodeRuntime } from "#lib/node-runtime.ts";
import type { Runtime } from "#lib/runtime.ts";
import { loadBootstrap } from "#proxy/bootstrap/bootstrap.ts";
import { parseCommandLine } from "#proxy/options.ts";
import { createProxyServer } from "#proxy/server.ts";
import { bootstrapOf } from "./bootstrap.ts";

const requestBytes = Buffer.from(
  "GET /items/42?view=full HTTP/1.1\r\nHost: origin.default.svc.cluster.local\r\nUser-Agent: curl/8.5.0\r\n" +
    "Accept: */*\r\nX-Trace-Color: blue\r\n\r\n",
);
const responseBytes = Buffer.from(
  "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sat, 21 Nov 2026 02:00:00 GMT\r\nContent-Type: text/plain\r\n" +
    `Content-Length: 1024\r\nConnection: keep-alive\r\n\r\n${"x".repeat(1024)}`,
);

/** One end of a connection whose other end is this script. */
class LoopConnection implements Connection {
  readonly id: number;
  handler: ConnectionHandler;
  readonly localAddress: SocketAddress = { kind: "ip", address: "127.0.0.1", port: 80 };
  readonly remoteAddress: SocketAddress;
  readonly bufferedBytes = 0;
  isClosed = false;
  /** Bytes that the proxy has written. */
  written = 0;
  hasWritten = false;
  readonly #out: Buffer = Buffer.allocUnsafe(65_536);

  constructor(id: number, handler: ConnectionHandler) {
    this.id = id;
    this.handler = handler;
    this.remoteAddress = { kind: "ip", address: "127.0.0.1", port: 40_000 + id };
  }
  write(data: string | Buffer): boolean {
    // As the socket would: a string is flattened and its bytes are copied.
    this.written += typeof data === "string" ? this.#out.write(data, "latin1") : data.copy(this.#out);
    this.hasWritten = true;
    return true;
  }
  end(): void {}
  destroy(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.handler.onClose();
  }
  reset(): void {
    this.destroy();
  }
  pause(): void {}
  resume(): void {}
  unshift(): void {}
}

const upstreams: LoopConnection[] = [];
let accept: ((connection: Connection) => void) | undefined;
const real = nodeRuntime({ logLevel: "off" });
const runtime: Runtime = {
  ...real,
  network: {
    ...real.network,
    listen(options, onConnection) {
      accept ??= onConnection;
      return Promise.resolve({ address: options.address, close: () => Promise.resolve() });
    },
    connect(_options, handler) {
      const connection = new LoopConnection(1000 + upstreams.length, handler);
      upstreams.push(connection);
      queueMicrotask(() => handler.onConnect?.());
      return connection;
    },
  },
};

const folder = mkdtempSync(join(tmpdir(), "glassmesh-bench-"));
const ports = { listener: 80, upstream: 81, admin: 0 };
const command = parseCommandLine(["--config-yaml", "{}", "--use-dynamic-base-id"]);
if (command.kind !== "run") throw new Error("the command line is wrong");
const { admin: _admin, ...bootstrap } = bootstrapOf({ ports, accessLog: join(folder, "access.log") });
const loaded = loadBootstrap(JSON.stringify(bootstrap));
if (loaded.value === undefined) throw new Error(JSON.stringify(loaded.problems));
const server = await createProxyServer({ runtime, bootstrap: loaded.value, options: command.options });
await server.start();
await server.live;
if (accept === undefined) throw new Error("nothing listens");
const downstreams = Array.from({ length: 32 }, (_, index) => new LoopConnection(index, { onData() {}, onClose() {} }));
for (const downstream of downstreams) accept(downstream);
await new Promise((resolve) => setTimeout(resolve, 50));

/** Every downstream sends one request; every upstream that was written to answers. */
async function round(): Promise<void> {
  for (const downstream of downstreams) downstream.handler.onData(requestBytes);
  await Promise.resolve();
  for (const upstream of upstreams) {
    if (!upstream.hasWritten) continue;
    upstream.hasWritten = false;
    upstream.handler.onData(responseBytes);
  }
  await Promise.resolve();
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

const perRound = Number(process.argv[2] ?? 64_000);
const rounds = Number(process.argv[3] ?? 8);
const figures: number[] = [];
for (let i = 0; i < rounds + 2; i++) {
  const before = process.cpuUsage();
  for (let sent = 0, turn = 0; sent < perRound; sent += downstreams.length) {
    await round();
    if (++turn % 8 === 0) await nextTurn(); // as often as a loaded proxy goes around its event loop
  }
  const { user, system } = process.cpuUsage(before);
  await new Promise((resolve) => setTimeout(resolve, 20)); // timers, the log's file
  if (i >= 2) figures.push((user + system) / perRound);
}
const answered =
  downstreams.reduce((sum, { written }) => sum + written, 0) /
  ((downstreams.length * perRound * (rounds + 2)) / downstreams.length);
if (answered < 1000) throw new Error(`only ${answered} bytes a request came back`);
figures.sort((a, b) => a - b);
const median = figures[Math.floor(figures.length / 2)] ?? 0;
process.stdout.write(
  `µs/request: best ${figures[0]?.toFixed(2)}, median ${median.toFixed(2)}, of ${figures.length} rounds\n`,
);
await server.stop();
rmSync(folder, { recursive: true });
