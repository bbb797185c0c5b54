/** The origin (nginx) and the load (wrk). */
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

export interface LoadResult {
  readonly requests: number;
  readonly seconds: number;
  readonly errors: number;
}

/** Closed-loop load over keep-alive connections, with the headers of an ordinary client. */
export async function load(port: number, seconds: number, connections: number): Promise<LoadResult> {
  const headers = [
    "Host: origin.default.svc.cluster.local",
    "User-Agent: curl/8.5.0",
    "Accept: */*",
    "X-Trace-Color: blue",
  ].flatMap((header) => ["-H", header]);
  const args = ["-t1", `-c${connections}`, `-d${seconds}s`, ...headers, `http://127.0.0.1:${port}/items/42?view=full`];
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
export async function loadHttp2(
  port: number,
  seconds: number,
  connections: number,
  streams: number,
): Promise<LoadResult> {
  const headers = ["user-agent: curl/8.5.0", "accept: */*", "x-trace-color: blue"].flatMap((header) => ["-H", header]);
  const authority = ["-H", ":authority: origin.default.svc.cluster.local"];
  const url = `http://127.0.0.1:${port}/items/42?view=full`;
  const args = ["-t1", `-c${connections}`, `-m${streams}`, "-D", String(seconds), ...authority, ...headers, url];
  const { stdout } = await run("h2load", args);
  const [, done, failed] =
    /requests: \d+ total, \d+ started, (\d+) done, \d+ succeeded, (\d+) failed/.exec(stdout) ?? [];
  const [, ok] = /status codes: (\d+) 2xx/.exec(stdout) ?? [];
  return { requests: Number(done), seconds, errors: Number(failed) + Number(done) - Number(ok) };
}
