/** Sends requests as a workload: through its sidecar's HTTP proxy port, or straight to an endpoint where it has none. */
import { randomUUID } from "node:crypto";
import { Pool } from "undici";
import { MeshError } from "#lib/problem.ts";
import type { MeshFile, RunningWorkload } from "./mesh-file.ts";

export interface Outgoing {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
}

export interface Sent {
  readonly requestId: string;
  /** 0: no answer at all. */
  readonly status: number;
  readonly latencyMs: number;
  /** The endpoint that was called, where the sender chose it itself. */
  readonly endpoint?: string | undefined;
  readonly error?: string | undefined;
}

export interface Sender {
  send(): Promise<Sent>;
  close(): Promise<void>;
}

/** Throws `MeshError("usage")` for a URL that a sidecar can't take. */
export function parseTarget(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new MeshError("usage", `"${text}" is no URL; write http://SERVICE/PATH`);
  }
  if (url.protocol !== "http:") {
    throw new MeshError(
      "usage",
      `${url.protocol}// can't go through a sidecar's HTTP proxy; write http://, mutual TLS is the mesh's own`,
    );
  }
  return url;
}

export function createSender(
  mesh: MeshFile,
  from: RunningWorkload,
  request: Outgoing,
  options: { readonly connections: number; readonly timeoutMs: number },
): Sender {
  const { origin, endpoint } = wayOut(mesh, from, request.url);
  const pool = new Pool(origin, {
    connections: options.connections,
    pipelining: 1,
    bodyTimeout: options.timeoutMs,
    headersTimeout: options.timeoutMs,
  });
  const path = `${request.url.pathname}${request.url.search}`;
  return {
    async send() {
      const requestId = request.headers["x-request-id"] ?? randomUUID();
      const start = performance.now();
      try {
        const response = await pool.request({
          method: request.method,
          path,
          headers: { host: request.url.host, ...request.headers, "x-request-id": requestId },
          ...(request.body === undefined ? {} : { body: request.body }),
        });
        await response.body.dump({ limit: Number.MAX_SAFE_INTEGER });
        return { requestId, status: response.statusCode, latencyMs: performance.now() - start, endpoint };
      } catch (error) {
        return {
          requestId,
          status: 0,
          latencyMs: performance.now() - start,
          endpoint,
          error: error instanceof Error ? error.message : String(error),
        };
      }
    },
    async close() {
      await pool.destroy();
    },
  };
}

function wayOut(
  mesh: MeshFile,
  from: RunningWorkload,
  url: URL,
): { readonly origin: string; readonly endpoint: string | undefined } {
  if (from.sidecar !== undefined) {
    const { address, port } = from.sidecar.httpProxy;
    return { origin: `http://${address}:${port}`, endpoint: undefined };
  }
  const service = url.hostname.split(".");
  const [name, namespace] = [service[0], service[1] ?? from.namespace];
  const direct = mesh.services.find((candidate) => candidate.name === name && candidate.namespace === namespace);
  const port = Number(url.port === "" ? 80 : url.port);
  const endpoint = direct?.endpoints.find((candidate) => candidate.servicePort === port);
  const origin = endpoint === undefined ? url.host : `${endpoint.address}:${endpoint.port}`;
  return { origin: `http://${origin}`, endpoint: origin };
}
