/** The same bootstrap for a real Envoy and for our proxy, the same requests, and what came of them. */
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { connect, type AddressInfo } from "node:net";
import { join } from "node:path";
import { expect, vi } from "vitest";
import { startProxy, workspace, type Workspace } from "#proxy/testing/proxy-process.ts";
import { needEnvoy } from "../needs.ts";

export type Json = Readonly<Record<string, unknown>>;

export interface Running {
  /** Listener → port. */
  readonly ports: ReadonlyMap<string, number>;
  page(path: string): Promise<readonly string[]>;
  /** Lines of the access log, once there are `count`. */
  logged(count: number): Promise<readonly string[]>;
  stop(): void;
}

export interface Exchanged {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Makes the bootstrap; its access logs go to `log`. */
export type Bootstrap = (log: string) => unknown;

export async function startOurs(bootstrap: Bootstrap): Promise<Running> {
  const folder = workspace();
  const log = join(folder.path, "log");
  const proxy = await startProxy(folder, bootstrap(log), { args: ["--file-flush-interval-msec", "50"] });
  return running(proxy.admin, log, () => {
    proxy.kill("SIGKILL");
    folder.remove();
  });
}

export async function startTheirs(bootstrap: Bootstrap): Promise<Running> {
  const folder = workspace();
  const log = join(folder.path, "log");
  const config = folder.write("bootstrap.json", bootstrap(log));
  const admin = join(folder.path, "admin");
  const flags = ["--use-dynamic-base-id", "--concurrency", "1", "-l", "critical", "--file-flush-interval-msec", "50"];
  const child = spawn(needEnvoy().path, ["-c", config, "--admin-address-path", admin, ...flags], { stdio: "inherit" });
  await vi.waitFor(
    async () => {
      if (child.exitCode !== null) throw new Error("envoy refuses the bootstrap");
      expect(existsSync(admin)).toBe(true);
      const ready = await fetch(`http://${readFileSync(admin, "utf8")}/ready`);
      expect(await ready.text()).toBe("LIVE\n");
    },
    { timeout: 20_000, interval: 50 },
  );
  return running(readFileSync(admin, "utf8"), log, () => stopEnvoy(child, folder));
}

function stopEnvoy(child: ReturnType<typeof spawn>, folder: Workspace): void {
  child.kill("SIGKILL");
  folder.remove();
}

async function running(admin: string, log: string, stop: () => void): Promise<Running> {
  const page = async (path: string): Promise<readonly string[]> =>
    (await (await fetch(`http://${admin}${path}`)).text()).split("\n");
  const lines = (await page("/listeners")).filter((line) => line !== "");
  const ports = new Map(
    lines.map((line): [string, number] => {
      const [name = "", address = ""] = line.split("::");
      return [name, Number(address.split(":").at(-1))];
    }),
  );
  return {
    ports,
    page,
    stop,
    logged: (count) =>
      vi.waitFor(
        () => {
          const all = readFileSync(log, "latin1").split("\n").slice(0, -1);
          expect(all.length).toBe(count);
          return all;
        },
        { timeout: 10_000, interval: 50 },
      ),
  };
}

/** One request on a connection of its own. */
export function exchange(port: number, text: string): Promise<Exchanged> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(text, "latin1"));
    let answer = "";
    const limit = setTimeout(() => socket.destroy(), 5000);
    socket.on("data", (chunk: Buffer) => {
      answer += chunk.toString("latin1");
      if (isComplete(answer, text)) socket.destroy();
    });
    socket.on("close", () => {
      clearTimeout(limit);
      resolve(exchanged(answer));
    });
    socket.on("error", reject);
  });
}

function isComplete(answer: string, request: string): boolean {
  const end = answer.indexOf("\r\n\r\n");
  if (end < 0) return false;
  if (request.startsWith("HEAD")) return true;
  const length = /\r\ncontent-length: (\d+)/.exec(answer.slice(0, end))?.[1];
  return length !== undefined ? answer.length >= end + 4 + Number(length) : answer.endsWith("0\r\n\r\n");
}

function exchanged(answer: string): Exchanged {
  const end = answer.indexOf("\r\n\r\n");
  const [line = "", ...fields] = answer.slice(0, end).split("\r\n");
  const headers: Record<string, string> = {};
  for (const field of fields) {
    const colon = field.indexOf(":");
    const name = field.slice(0, colon);
    headers[name] = [headers[name], field.slice(colon + 2)].filter((value) => value !== undefined).join("|");
  }
  const body = answer.slice(end + 4);
  const isChunked = headers["transfer-encoding"] === "chunked";
  return { status: Number(line.split(" ")[1]), headers, body: isChunked ? unchunked(body) : body };
}

function unchunked(body: string): string {
  let text = "";
  for (let at = 0; at < body.length;) {
    const end = body.indexOf("\r\n", at);
    const size = Number.parseInt(body.slice(at, end), 16);
    if (!(size > 0)) break;
    text += body.slice(end + 2, end + 2 + size);
    at = end + 4 + size;
  }
  return text;
}

export interface TestServer {
  readonly port: number;
  close(): void;
}

export async function serve(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<TestServer> {
  const server: Server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** What differs from run to run, or says which proxy it was. */
const OF_THE_RUN = new Set(["x-request-id", "date", "x-envoy-upstream-service-time", "server", "connection"]);

/** An upstream that answers with what it was asked, without what is of the run. */
export function echo(request: IncomingMessage, response: ServerResponse): void {
  const fields: Record<string, string> = {};
  for (let i = 0; i < request.rawHeaders.length; i += 2) {
    const name = (request.rawHeaders[i] ?? "").toLowerCase();
    if (OF_THE_RUN.has(name)) continue;
    fields[name] = [fields[name], request.rawHeaders[i + 1]].filter((value) => value !== undefined).join("|");
  }
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    const body = Buffer.concat(chunks).toString("latin1");
    const sorted = Object.fromEntries(Object.entries(fields).toSorted(([a], [b]) => (a < b ? -1 : 1)));
    response.end(JSON.stringify({ method: request.method, url: request.url, fields: sorted, body }), "latin1");
  });
}

/** The same, without what is of the run. */
export function comparable({ status, headers, body }: Exchanged): Exchanged {
  const kept = Object.entries(headers).filter(([name]) => !OF_THE_RUN.has(name));
  return { status, headers: Object.fromEntries(kept.toSorted(([a], [b]) => (a < b ? -1 : 1))), body };
}
