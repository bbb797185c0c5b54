/**
 * What every service of the shop shares: an HTTP server that knows who it is, and a client that keeps the trace.
 * Nothing here knows of the mesh but for two environment variables that any container gets: `PORT`, where to listen,
 * and `HTTP_PROXY`, the way out.
 */
import http from "node:http";

export interface Identity {
  readonly service: string;
  readonly version: string;
  readonly pod: string;
}

export const me: Identity = {
  service: process.env["SERVICE"] ?? "unknown",
  version: process.env["VERSION"] ?? "v1",
  pod: process.env["POD_NAME"] ?? "local",
};

export interface Call {
  readonly method: string;
  readonly url: URL;
  readonly headers: http.IncomingHttpHeaders;
  /** Calls another service by its name in the mesh, passing the trace and the user on. */
  get(url: string): Promise<Answer>;
}

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** Headers that a service of a traced mesh passes on: the mesh can't know which request caused which. */
const PASSED_ON = [
  "x-request-id",
  "traceparent",
  "tracestate",
  "b3",
  "x-b3-traceid",
  "x-b3-spanid",
  "x-b3-parentspanid",
  "x-b3-sampled",
  "x-b3-flags",
  "user",
];

/** Starts the service; `handle` answers every request, an exception of it is a 500. */
export function serve(handle: (call: Call) => Answer | Promise<Answer>): void {
  const agent = new http.Agent({ keepAlive: true });
  const server = http.createServer((request, response) => {
    const call: Call = {
      method: request.method ?? "GET",
      url: new URL(request.url ?? "/", `http://${request.headers.host ?? me.service}`),
      headers: request.headers,
      get: (url) => get(url, request.headers, agent),
    };
    Promise.resolve()
      .then(() => handle(call))
      .catch((error: unknown): Answer => ({ status: 500, body: { error: String(error) } }))
      .then(({ status, body }) => {
        response.writeHead(status, {
          "content-type": "application/json",
          "x-served-by": `${me.service}-${me.version}`,
        });
        response.end(`${JSON.stringify(body)}\n`);
      })
      .catch((error: unknown) => {
        console.error(error);
        response.destroy();
      });
  });
  server.keepAliveTimeout = 0;
  server.listen(Number(process.env["PORT"] ?? 8080), process.env["HOST"] ?? "127.0.0.1");
  process.on("SIGTERM", () => {
    server.close(() => process.exit(0));
    server.closeIdleConnections();
  });
}

function get(url: string, from: http.IncomingHttpHeaders, agent: http.Agent): Promise<Answer> {
  const target = new URL(url);
  const headers: Record<string, string> = { host: target.host };
  for (const name of PASSED_ON) {
    const value = from[name];
    if (typeof value === "string") headers[name] = value;
  }
  const proxy = process.env["HTTP_PROXY"];
  const via = proxy === undefined ? target : new URL(proxy);
  return new Promise((resolve, reject) => {
    const request = http.get(
      {
        agent,
        host: via.hostname,
        port: via.port === "" ? 80 : via.port,
        path: proxy === undefined ? target.pathname + target.search : url,
        headers,
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 0, body: parse(Buffer.concat(chunks).toString()) }),
        );
      },
    );
    request.on("error", reject);
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text.trim();
  }
}
