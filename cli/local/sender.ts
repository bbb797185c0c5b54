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

/** A caller from outside the mesh, with PEM texts of its own. */
export interface Outside {
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly isInsecure: boolean;
}

/** Throws `MeshError("usage")` for a URL that a sidecar can't take; a gateway takes https:// too. */
export function parseTarget(text: string, protocols: readonly string[] = ["http:"]): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new MeshError("usage", `"${text}" is no URL; write http://SERVICE/PATH`);
  }
  if (!protocols.includes(url.protocol)) {
    throw new MeshError(
      "usage",
      protocols.includes("https:")
        ? `${url.protocol}// is nothing that a gateway is called by; write http:// or https://`
        : `${url.protocol}// can't go through a sidecar's HTTP proxy; write http://, mutual TLS is the mesh's own`,
    );
  }
  return url;
}

export function createSender(
  mesh: MeshFile,
  from: RunningWorkload,
  request: Outgoing,
  options: { readonly connections: number; readonly timeoutMs: number; readonly outside?: Outside | undefined },
): Sender {
  const { outside } = options;
  const { origin, endpoint } = outside === undefined ? wayOut(mesh, from, request.url) : wayIn(from, request.url);
  const pool = new Pool(origin, {
    ...(outside !== undefined && request.url.protocol === "https:" && { connect: clientTls(request.url, outside) }),
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
          headers: {
            host: request.url.host,
            ...request.headers,
            "x-request-id": requestId,
            ...(outside !== undefined && { "x-glassmesh-call": requestId }),
          },
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

/** The gateway's server for the port of a URL. */
function wayIn(gateway: RunningWorkload, url: URL): { readonly origin: string; readonly endpoint: undefined } {
  const { name, servers } = gateway;
  if (servers === undefined) throw new MeshError("usage", `${name} is no gateway; call it by --from WORKLOAD`);
  const isTls = url.protocol === "https:";
  const port = Number(url.port === "" ? (isTls ? 443 : 80) : url.port);
  const server = servers.find((candidate) => candidate.port === port || candidate.bind.port === port);
  if (server === undefined) {
    const ports = [...new Set(servers.map((candidate) => candidate.port))].join(", ");
    throw new MeshError("usage", `${name} has no server on port ${port}; it has ${ports === "" ? "none" : ports}`);
  }
  return { origin: `http${isTls ? "s" : ""}://${server.bind.address}:${server.bind.port}`, endpoint: undefined };
}

function clientTls({ hostname }: URL, { ca, cert, key, isInsecure }: Outside): Readonly<Record<string, unknown>> {
  return {
    servername: hostname,
    rejectUnauthorized: !isInsecure,
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
  };
}

function wayOut(
  mesh: MeshFile,
  from: RunningWorkload,
  url: URL,
): { readonly origin: string; readonly endpoint: string | undefined } {
  if (from.servers !== undefined)
    throw new MeshError(
      "usage",
      `${from.name} is a gateway, no workload calls from there; send through it by --gateway`,
    );
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
