/**
 * The echo server plays a workload that has no command: it answers with what it received and who it is.
 * One port speaks HTTP/1.1, HTTP/2 without TLS, and (for anything else) echoes bytes.
 *
 * Environment: `PORTS` (comma separated) or `PORT`, `HOST`, `POD_NAME`, `POD_NAMESPACE`, `WORKLOAD`.
 * Paths: `/status/503` answers so; `/delay/200` waits so many ms; `/bytes/1000` answers so many bytes; both may be
 * combined by query: `?status=503&delay=200`. `/fail-first/2/KEY` answers 503 to the first two requests with that key.
 * `POST /echo/status/503` makes it the answer to everything else from now on (200 ends that); `/echo/count` tells how
 * many requests it has had.
 */
import http from "node:http";
import http2 from "node:http2";
import net from "node:net";

const identity = {
  workload: process.env["WORKLOAD"] ?? process.env["POD_NAME"] ?? "echo",
  pod: process.env["POD_NAME"] ?? "echo",
  namespace: process.env["POD_NAMESPACE"] ?? "default",
};

const failures = new Map<string, number>();
let usualStatus = 200;
let requests = 0;

interface Echo {
  readonly method: string;
  readonly path: string;
  readonly protocol: string;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

function answer(echo: Echo): { status: number; body: string; delayMs: number } {
  const url = new URL(echo.path, "http://echo");
  const [, verb, first, key] = url.pathname.split("/");
  if (verb === "echo") {
    if (first === "status" && echo.method === "POST") usualStatus = Number(key);
    return { status: 200, body: `${JSON.stringify({ requests, usualStatus })}\n`, delayMs: 0 };
  }
  requests += 1;
  let status = Number(url.searchParams.get("status") ?? (verb === "status" ? first : usualStatus));
  const delayMs = Number(url.searchParams.get("delay") ?? (verb === "delay" ? first : 0));
  if (verb === "fail-first") {
    const seen = (failures.get(key ?? "") ?? 0) + 1;
    failures.set(key ?? "", seen);
    if (seen <= Number(first)) status = 503;
  }
  if (!(status >= 200 && status <= 599)) status = 400;
  if (verb === "bytes") return { status, body: "x".repeat(Math.min(Number(first) || 0, 1e9)), delayMs };
  return { status, body: `${JSON.stringify({ ...identity, ...echo }, undefined, 1)}\n`, delayMs };
}

function onRequest(request: http.IncomingMessage, response: http.ServerResponse): void {
  const chunks: Buffer[] = [];
  let kept = 0;
  request.on("data", (chunk: Buffer) => {
    if (kept < 65_536) chunks.push(chunk);
    kept += chunk.length;
  });
  request.on("error", () => undefined);
  request.on("end", () => {
    const { status, body, delayMs } = answer({
      method: request.method ?? "",
      path: request.url ?? "/",
      protocol: `HTTP/${request.httpVersion}`,
      headers: request.headers,
      body: Buffer.concat(chunks).toString("utf8"),
    });
    const send = (): void => {
      response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(body) });
      response.end(request.method === "HEAD" ? "" : body);
    };
    if (delayMs > 0) setTimeout(send, delayMs);
    else send();
  });
}

const http1 = http.createServer(onRequest);
http1.keepAliveTimeout = 0;
http1.requestTimeout = 0;
const h2 = http2.createServer((request, response) => {
  // The compatibility API: the same methods under other types.
  onRequest(request as unknown as http.IncomingMessage, response as unknown as http.ServerResponse);
});
const METHOD = /^[A-Z]{3,10} [/*h]/;

const server = net.createServer({ allowHalfOpen: true }, (socket) => {
  socket.on("error", () => socket.destroy());
  socket.once("data", (chunk) => {
    socket.pause();
    const text = chunk.toString("latin1", 0, 32);
    if (text.startsWith("PRI * HTTP/2.0")) {
      socket.unshift(chunk);
      h2.emit("connection", socket);
    } else if (METHOD.test(text)) {
      socket.unshift(chunk);
      http1.emit("connection", socket);
      socket.resume();
    } else {
      socket.write(chunk);
      socket.pipe(socket);
    }
  });
});

const ports = (process.env["PORTS"] ?? process.env["PORT"] ?? "8080")
  .split(",")
  .filter((port) => port !== "")
  .map(Number);
const servers = ports.map((port, index) => {
  const listening =
    index === 0 ? server : net.createServer({ allowHalfOpen: true }, (socket) => server.emit("connection", socket));
  return listening.listen(port, process.env["HOST"] ?? "127.0.0.1");
});
process.on("SIGTERM", () => {
  for (const listening of servers) listening.close();
  http1.closeIdleConnections();
  setTimeout(() => process.exit(0), 500).unref();
});
