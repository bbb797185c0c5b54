/** The origins (nginx, nghttpd) and the load (wrk, h2load). */
import { execFile } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { start, type Running } from "./processes.ts";

const run = promisify(execFile);

/** nginx that answers every request with 1 KB; with `http2`, in HTTP/2 without TLS. */
export async function startOrigin(folder: string, port: number, http2 = false): Promise<Running> {
  mkdirSync(join(folder, "nginx"), { recursive: true });
  const config = join(folder, `nginx-${port}.conf`);
  writeFileSync(
    config,
    `worker_processes 1; daemon off; master_process off; pid ${folder}/nginx-${port}.pid; error_log ${folder}/nginx.log;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; server_tokens off;
  client_body_temp_path ${folder}/nginx; proxy_temp_path ${folder}/nginx; fastcgi_temp_path ${folder}/nginx;
  uwsgi_temp_path ${folder}/nginx; scgi_temp_path ${folder}/nginx;
  server { listen 127.0.0.1:${port}${http2 ? " http2" : ""}; location / { default_type text/plain; return 200 "${"x".repeat(1024)}"; } }
}
`,
  );
  return start(
    [process.env["NGINX"] ?? "/usr/sbin/nginx", "-p", folder, "-c", config],
    port,
    join(folder, "nginx.out"),
  );
}

/** `/bench.Echo/Unary.grpc` at this port answers a gRPC message of 32 bytes and the trailer `grpc-status: 0` (nghttpd). */
export async function startGrpcOrigin(folder: string, port: number): Promise<Running> {
  const root = join(folder, "grpc");
  mkdirSync(join(root, "bench.Echo"), { recursive: true });
  writeFileSync(join(root, "bench.Echo", "Unary.grpc"), grpcMessage(32));
  writeFileSync(join(folder, "mime.types"), "application/grpc grpc\n");
  const options = ["--no-tls", "--htdocs", root, "--mime-types-file", join(folder, "mime.types")];
  return start(
    ["nghttpd", ...options, "--trailer", "grpc-status: 0", "--max-concurrent-streams", "1000", String(port)],
    port,
    join(folder, "nghttpd.out"),
  );
}

function grpcMessage(bytes: number): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(bytes, 1);
  return Buffer.concat([prefix, Buffer.alloc(bytes, "m")]);
}

export interface LoadResult {
  readonly requests: number;
  readonly seconds: number;
  readonly errors: number;
}

/** Closed-loop load over keep-alive connections, with the headers of an ordinary client. */
export function load(port: number, seconds: number, connections: number): Promise<LoadResult> {
  return loadPath(port, seconds, connections, "/items/42?view=full");
}

export async function loadPath(port: number, seconds: number, connections: number, path: string): Promise<LoadResult> {
  const headers = [
    "Host: origin.default.svc.cluster.local",
    "User-Agent: curl/8.5.0",
    "Accept: */*",
    "X-Trace-Color: blue",
  ].flatMap((header) => ["-H", header]);
  // The machine is busy, not the proxy stuck, when an answer takes seconds.
  const args = [
    "-t1",
    "--timeout",
    "30s",
    `-c${connections}`,
    `-d${seconds}s`,
    ...headers,
    `http://127.0.0.1:${port}${path}`,
  ];
  const { stdout } = await run("wrk", args);
  const [, requests, taken] = /(\d+) requests in ([\d.]+)s/.exec(stdout) ?? [];
  const socketErrors = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(stdout);
  const statusErrors = /Non-2xx or 3xx responses: (\d+)/.exec(stdout);
  const errors = (socketErrors ?? [])
    .slice(1)
    .reduce((sum, text) => sum + Number(text), Number(statusErrors?.[1] ?? 0));
  return { requests: Number(requests), seconds: Number(taken), errors };
}

/** The same over HTTP/2 by prior knowledge: few connections, several streams on each. */
export function loadHttp2(port: number, seconds: number, connections: number, streams: number): Promise<LoadResult> {
  const headers = ["user-agent: curl/8.5.0", "accept: */*", "x-trace-color: blue"];
  return h2load(seconds, connections, streams, headers, [`http://127.0.0.1:${port}/items/42?view=full`]);
}

/** gRPC calls with a message of 32 bytes. */
export async function loadGrpc(
  folder: string,
  port: number,
  seconds: number,
  connections: number,
  streams: number,
): Promise<LoadResult> {
  const body = join(folder, "call");
  writeFileSync(body, grpcMessage(32));
  const headers = ["content-type: application/grpc", "te: trailers", "user-agent: grpc-node-js/1.14.0"];
  const target = `http://127.0.0.1:${port}/bench.Echo/Unary.grpc`;
  return h2load(seconds, connections, streams, [...headers, "grpc-timeout: 5S"], ["-d", body, target]);
}

async function h2load(
  seconds: number,
  connections: number,
  streams: number,
  headers: readonly string[],
  rest: readonly string[],
): Promise<LoadResult> {
  const fields = [":authority: origin.default.svc.cluster.local", ...headers].flatMap((header) => ["-H", header]);
  const { stdout } = await run("h2load", [
    "-t1",
    `-c${connections}`,
    `-m${streams}`,
    "-D",
    String(seconds),
    ...fields,
    ...rest,
  ]);
  const [, done, failed] =
    /requests: \d+ total, \d+ started, (\d+) done, \d+ succeeded, (\d+) failed/.exec(stdout) ?? [];
  const [, ok] = /status codes: (\d+) 2xx/.exec(stdout) ?? [];
  return { requests: Number(done), seconds, errors: Number(failed) + Number(done) - Number(ok) };
}
