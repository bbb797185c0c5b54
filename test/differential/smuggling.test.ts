/**
 * One message may not mean two requests to what is behind us: bytes that proxies have disagreed about, through ours to a real
 * nginx and a real HAProxy. Whatever is let through, they must not have been asked for more than we took for requests.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { needProgram } from "../needs.ts";
import type { Json } from "./harness/case.ts";
import { exchangeRaw, openPlain } from "./harness/client.ts";
import { router } from "./harness/requests.ts";
import { startSide, type Side } from "./harness/side.ts";

const smuggled = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
const post = (fields: string, body = smuggled): string => `POST / HTTP/1.1\r\nhost: a\r\n${fields}\r\n${body}`;
const length = `content-length: ${smuggled.length}\r\n`;
const chunk = `${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n`;
const end = "0\r\n\r\n";

const codings = [
  "transfer-encoding: chunked",
  "transfer-encoding : chunked",
  "transfer-encoding:\tchunked",
  "transfer-encoding: xchunked",
  "transfer-encoding: chunked, identity",
  "transfer-encoding: identity, chunked",
  "transfer-encoding: chunked\r\ntransfer-encoding: x",
  "transfer-encoding: x\r\ntransfer-encoding: chunked",
  "transfer-encoding:\x0bchunked",
  "transfer-encoding: \x00chunked",
  'transfer-encoding: "chunked"',
  "transfer-encoding: chunked;q=1",
  "transfer-encoding:\r\n chunked",
  "x: y\r\n transfer-encoding: chunked",
  "x: y\ntransfer-encoding: chunked",
  "x: y\rtransfer-encoding: chunked",
  " transfer-encoding: chunked",
  "transfer_encoding: chunked",
  "TRANSFER-ENCODING: CHUNKED",
  "transfer-encoding: chunk",
  "connection: transfer-encoding\r\ntransfer-encoding: chunked",
  "te: chunked",
] as const;

const rows: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    codings.flatMap((coding) => [
      [`length, then ${JSON.stringify(coding)}`, post(`${length}${coding}\r\n`, `${end}${smuggled}`)],
      [`${JSON.stringify(coding)}, then length`, post(`${coding}\r\ncontent-length: 5\r\n`, `${end}${smuggled}`)],
      [`${JSON.stringify(coding)} alone`, post(`${coding}\r\n`, `${end}${smuggled}`)],
    ]),
  ),
  "two lengths": post(`content-length: 0\r\n${length}`),
  "two lengths, the longer first": post(`${length}content-length: 0\r\n`),
  "a list of lengths": post(`content-length: 0, ${smuggled.length}\r\n`),
  "a signed length": post("content-length: +0\r\n"),
  "a negative length": post("content-length: -1\r\n"),
  "an octal length": post(`content-length: 0${smuggled.length}\r\n`),
  "a hexadecimal length": post("content-length: 0x24\r\n"),
  "a length with a letter": post(`content-length: ${smuggled.length}a\r\n`),
  "a length with a vertical tab": post(`content-length: \x0b${smuggled.length}\r\n`),
  "an empty length": post("content-length:\r\n"),
  "a length named by connection": post(`connection: content-length\r\n${length}`),
  "a length with an underscore": post(`content_length: ${smuggled.length}\r\n`),
  "a length without end": post(`content-length: ${"9".repeat(30)}\r\n`),
  "a body with GET": `GET / HTTP/1.1\r\nhost: a\r\n${length}\r\n${smuggled}`,
  "a body with HEAD": `HEAD / HTTP/1.1\r\nhost: a\r\n${length}\r\n${smuggled}`,
  "a body with an upgrade": `GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n${length}\r\n${smuggled}`,
  "an upgrade to h2c": `GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AA\r\n\r\n${smuggled}`,
  "a chunk that holds a request": post("transfer-encoding: chunked\r\n", chunk),
  "a chunk size with an extension and LF": post("transfer-encoding: chunked\r\n", `0;\n${smuggled}`),
  "a chunk size that ends in LF": post("transfer-encoding: chunked\r\n", `0\n\n${smuggled}`),
  "a chunk size with a CR alone": post("transfer-encoding: chunked\r\n", `0\r\r\n${smuggled}`),
  "a chunk size that overflows": post("transfer-encoding: chunked\r\n", `10000000000000000\r\n${smuggled}`),
  "a chunk size with 0x": post("transfer-encoding: chunked\r\n", `0x0\r\n\r\n${smuggled}`),
  "a chunk size with a sign": post("transfer-encoding: chunked\r\n", `+0\r\n\r\n${smuggled}`),
  "a chunk size with a blank before": post("transfer-encoding: chunked\r\n", ` 0\r\n\r\n${smuggled}`),
  "an empty chunk size": post("transfer-encoding: chunked\r\n", `\r\n\r\n${smuggled}`),
  "a chunk longer than its size": post("transfer-encoding: chunked\r\n", `1\r\nab\r\n0\r\n\r\n${smuggled}`),
  "a trailer that frames": post(
    "transfer-encoding: chunked\r\n",
    `0\r\ncontent-length: ${smuggled.length}\r\n\r\n${smuggled}`,
  ),
  "a request line with LF": `GET / HTTP/1.1\nhost: a\n\n${smuggled}`,
  "a line break in the target": `GET /\rX HTTP/1.1\r\nhost: a\r\n\r\n${smuggled}`,
  "a request in a header value": `GET / HTTP/1.1\r\nhost: a\r\nx: y\n\nGET /smuggled HTTP/1.1\nhost: a\r\n\r\n`,
  "an HTTP/1.0 request with a coding": `POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n${end}${smuggled}`,
  "an HTTP/0.9 request": `GET /\r\n${smuggled}`,
  "a CONNECT": `CONNECT a:80 HTTP/1.1\r\nhost: a\r\n\r\n${smuggled}`,
  "a target in absolute form that hides another": `GET http://a/ HTTP/1.1/smuggled HTTP/1.1\r\nhost: a\r\n\r\n`,
  "expect and a body": post(`expect: 100-continue\r\n${length}`),
  "expect something else and a body": post(`expect: x\r\n${length}`),
};

interface Backend {
  readonly socket: string;
  requests(): string;
  stop(): Promise<void>;
}

async function startBackend(program: "nginx" | "haproxy", path: string, folder: string): Promise<Backend> {
  const socket = join(folder, `${program}.sock`);
  const log = join(folder, `${program}.log`);
  const config = join(folder, `${program}.conf`);
  writeFileSync(log, "");
  writeFileSync(config, program === "nginx" ? nginxConfig(folder, socket, log) : haproxyConfig(socket));
  const args = program === "nginx" ? ["-c", config, "-p", folder, "-e", log] : ["-f", config, "-db"];
  const child: ChildProcess = spawn(path, args, { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => (said += text));
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (said += text));
  while (!existsSync(socket)) {
    if (child.exitCode !== null) throw new Error(`${program} ended:\n${said}`);
    await sleep(20);
  }
  return {
    socket,
    requests: () => (program === "nginx" ? readFileSync(log, "latin1") : said),
    stop: () =>
      new Promise((resolve) => {
        child.once("exit", () => resolve());
        child.kill("SIGTERM");
      }),
  };
}

function nginxConfig(folder: string, socket: string, log: string): string {
  return `daemon off; master_process off; pid ${folder}/nginx.pid;
events { worker_connections 256; }
http {
  log_format asked 'asked $request_method $request_uri';
  access_log ${log} asked;
  client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/p; fastcgi_temp_path ${folder}/f; uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;
  server { listen unix:${socket}; keepalive_requests 100000; location / { return 200 "ok"; } }
}
`;
}

function haproxyConfig(socket: string): string {
  return `global
  log stdout format raw local0
defaults
  mode http
  timeout client 30s
  timeout server 30s
  timeout connect 5s
frontend f
  bind unix@${socket}
  log global
  log-format "asked %HM %HU"
  http-request return status 200 content-type text/plain string ok
`;
}

for (const program of ["nginx", "haproxy"] as const) {
  const need = needProgram(program, `apt-get install ${program}`);
  if (need.missing !== undefined) process.stderr.write(`tests with ${program} are skipped: ${need.missing}\n`);

  describe.skipIf(need.missing !== undefined)(`request smuggling to ${program}`, () => {
    let folder = "";
    let backend: Backend;
    let ours: Side;
    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), "smuggling-"));
      backend = await startBackend(program, need.path, folder);
      ours = await startSide({ name: "ours" }, bootstrapOf(backend.socket), () => undefined);
    });
    afterAll(async () => {
      await ours?.stop();
      await backend?.stop();
      rmSync(folder, { recursive: true, force: true });
    });

    test.each(Object.entries(rows))("%s", async (what, bytes) => {
      const before = asked(backend.requests());
      const seenBefore = await requestsSeen(ours);
      // The connection's end ends a message that waits for more.
      await exchangeRaw({ kind: "raw", steps: [bytes, { waitMs: 20 }, { act: "end" }], responses: 2 }, () =>
        openPlain(ours.port("in")),
      );
      // A request of somebody else's is answered for itself, and not for something before it.
      const next = `GET /next HTTP/1.1\r\nhost: a\r\n\r\n`;
      expect(await exchangeRaw({ kind: "raw", steps: [next] }, () => openPlain(ours.port("in")))).toMatch(
        /^HTTP\/1\.1 200 /,
      );
      const lines = await until(() => {
        const found = asked(backend.requests()).slice(before.length);
        return found.some((line) => line.endsWith("/next")) ? found : undefined;
      });
      // The upstream has been asked for no more than we have taken for requests: a hidden one would be one more.
      const seen = (await requestsSeen(ours)) - seenBefore;
      expect(lines.length, `${what}: ${lines.join("; ")} for ${seen} requests`).toBeLessThanOrEqual(seen);
    });
  });
}

async function requestsSeen(side: Side): Promise<number> {
  return Number((await side.admin("/stats?filter=^http.in.downstream_rq_total$")).split(": ")[1]);
}

function asked(log: string): string[] {
  return log.split("\n").filter((line) => line.startsWith("asked "));
}

async function until<T>(look: () => T | undefined): Promise<T> {
  for (;;) {
    const found = look();
    if (found !== undefined) return found;
    await sleep(5);
  }
}

function bootstrapOf(socket: string): Json {
  const at = { socket_address: { address: "127.0.0.1", port_value: "port:any" } };
  const type = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
  const manager = {
    "@type": type,
    stat_prefix: "in",
    upgrade_configs: [{ upgrade_type: "websocket" }],
    http_protocol_options: { accept_http_10: true },
    route_config: {
      virtual_hosts: [{ name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: "up" } }] }],
    },
    http_filters: [router],
  };
  const endpoint = { endpoint: { address: { pipe: { path: socket } } } };
  return {
    admin: { address: at },
    static_resources: {
      listeners: [{ name: "in", address: at, filter_chains: [{ filters: [{ name: "http", typed_config: manager }] }] }],
      clusters: [
        {
          name: "up",
          type: "STATIC",
          load_assignment: { cluster_name: "up", endpoints: [{ lb_endpoints: [endpoint] }] },
        },
      ],
    },
  };
}
