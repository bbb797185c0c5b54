/** A real Envoy with one connection manager, spoken to in raw bytes. */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Json } from "#proxy/http/testing/http-world.ts";

export interface RealEnvoy {
  readonly port: number;
  /** Sends raw bytes on a connection of their own; what comes back until it is complete, or nothing more comes. */
  exchange(bytes: string): Promise<string>;
  stop(): Promise<void>;
}

/** Starts it, and an upstream that answers as `answer` says. */
export async function startEnvoy(
  binary: string,
  manager: Json,
  answer: (request: string) => string,
): Promise<RealEnvoy> {
  const folder = mkdtempSync(join(tmpdir(), "envoy-"));
  const upstream = await startUpstream(answer);
  const port = await freePort();
  const config = join(folder, "envoy.json");
  writeFileSync(config, JSON.stringify(bootstrap(manager, port, upstream.port)));
  const child = spawn(binary, ["-c", config, "--concurrency", "1", "-l", "off", "--use-dynamic-base-id"], {
    stdio: "ignore",
  });
  await accepting(child, port);
  return {
    port,
    exchange: (bytes) => exchange(port, bytes),
    async stop() {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await ended;
      await upstream.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function bootstrap(manager: Json, port: number, upstreamPort: number): Json {
  const address = (portValue: number): Json => ({ socket_address: { address: "127.0.0.1", port_value: portValue } });
  const typedConfig = {
    "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    ...manager,
  };
  const endpoints = [{ lb_endpoints: [{ endpoint: { address: address(upstreamPort) } }] }];
  return {
    static_resources: {
      listeners: [
        { address: address(port), filter_chains: [{ filters: [{ name: "hcm", typed_config: typedConfig }] }] },
      ],
      clusters: [{ name: "up", type: "STATIC", load_assignment: { cluster_name: "up", endpoints } }],
    },
  };
}

async function startUpstream(
  answer: (request: string) => string,
): Promise<{ readonly port: number; close(): Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    let text = "";
    let timer: NodeJS.Timeout | undefined;
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      clearTimeout(timer);
      // A request is what has come when nothing more does: the upstream need not understand what it is sent.
      timer = setTimeout(() => {
        socket.write(answer(text), "latin1");
        text = "";
      }, 40);
    });
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

async function accepting(child: ChildProcess, port: number): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`envoy ended with ${child.exitCode}`);
    const isUp = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1");
      socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
      socket.once("connect", () => socket.destroy());
    });
    if (isUp) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function exchange(port: number, bytes: string): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    const socket = connect(port, "127.0.0.1", () => socket.write(bytes, "latin1"));
    const finish = (): void => {
      clearTimeout(limit);
      socket.destroy();
      resolve(text);
    };
    const limit = setTimeout(finish, 3000);
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      if (isComplete(text)) finish();
    });
    socket.on("close", finish).on("error", finish);
  });
}

/** A final response with all of its `content-length`. */
function isComplete(text: string): boolean {
  const start = text.startsWith("HTTP/1.1 100") ? text.indexOf("\r\n\r\n") + 4 : 0;
  const headEnd = text.indexOf("\r\n\r\n", start);
  if (headEnd < 0) return false;
  const length = /\r\ncontent-length: (\d+)/.exec(text.slice(start, headEnd + 2))?.[1];
  return length !== undefined && text.length >= headEnd + 4 + Number(length);
}
