/** The admin interface: Envoy's pages over HTTP, on the address of the bootstrap. Nothing changes by GET. */
import { chmodSync } from "node:fs";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { formatAddress, type SocketAddress } from "#lib/connection.ts";
import { MeshError } from "#lib/problem.ts";
import type { Clock, Logger } from "#lib/runtime.ts";
import { HeaderMap } from "../http/header-map.ts";
import type { AccessLogger } from "../observability/access-log/types.ts";
import { StreamInfo } from "../stream-info.ts";
import { helpPage, homePage } from "./help.ts";
import { text, type AdminEndpoint, type AdminResponse } from "./endpoint.ts";

export interface AdminServerOptions {
  readonly address: SocketAddress;
  /** Permissions of a Unix socket. */
  readonly socketMode?: number | undefined;
  /** `admin.allow_paths`: tells whether a path may be asked for. Absent: all. */
  readonly allows?: ((path: string) => boolean) | undefined;
  readonly endpoints: readonly AdminEndpoint[];
  readonly log: Logger;
  readonly clock: Clock;
  /** `admin.access_log`. */
  readonly accessLog?: AccessLogger | undefined;
}

export interface AdminServer {
  /** The bound address; the port is the real one when 0 was asked for. */
  readonly address: SocketAddress;
  close(): Promise<void>;
}

/** Binds and serves. Rejects with a `MeshError` `admin-address` when the address can't be had. */
export async function startAdminServer(options: AdminServerOptions): Promise<AdminServer> {
  const endpoints = withFixedPages(options.endpoints);
  const byPath = new Map(endpoints.map((endpoint) => [endpoint.path, endpoint]));
  // Not by import: that reads every export, and one of them loads a whole HTTP client (15 MB).
  const { createServer } = process.getBuiltinModule("node:http");
  const server = createServer((request, response) => {
    if (options.accessLog !== undefined) logWhenDone(request, response, options.accessLog, options.clock);
    answer(request, response).catch((error: unknown) => {
      options.log.error(
        `admin ${request.url}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
      );
      if (response.headersSent) response.destroy();
      else send(response, text("internal error\n", 500));
    });
  });
  const address = await listen(server, options);
  return {
    address,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const target = request.url ?? "/";
    const question = target.indexOf("?");
    const path = question < 0 ? target : target.slice(0, question);
    if (options.allows?.(path) === false) {
      send(response, text(`request to path ${path} not allowed`, 403));
      return;
    }
    const endpoint = byPath.get(path);
    if (endpoint === undefined) {
      send(response, text(`invalid path. ${helpPage(endpoints)}`, 404));
      return;
    }
    if (endpoint.mutates === true && request.method !== "POST") {
      send(response, text(`Method ${request.method ?? ""} not allowed, POST required.`, 405));
      return;
    }
    const query = new URLSearchParams(question < 0 ? "" : target.slice(question + 1));
    const form = request.headers["content-type"] === "application/x-www-form-urlencoded";
    if (form) for (const [name, value] of new URLSearchParams(await bodyOf(request))) query.append(name, value);
    send(response, await endpoint.handle({ method: request.method ?? "GET", query }));
  }
}

/** An entry for one exchange, with what there is of a stream's record. */
function logWhenDone(request: IncomingMessage, response: ServerResponse, log: AccessLogger, clock: Clock): void {
  const info = new StreamInfo();
  info.startTimeMs = clock.now();
  info.start = clock.monotonic();
  info.protocol = request.httpVersion === "1.0" ? "HTTP/1.0" : "HTTP/1.1";
  info.downstreamRemoteAddress = `${request.socket.remoteAddress ?? ""}:${request.socket.remotePort ?? 0}`;
  const requestHeaders = new HeaderMap();
  for (const [name, value] of Object.entries(request.headers))
    if (typeof value === "string") requestHeaders.add(name, value);
  requestHeaders.method = request.method ?? "";
  requestHeaders.path = request.url ?? "";
  requestHeaders.authority = request.headers.host ?? "";
  response.once("close", () => {
    info.end = clock.monotonic();
    info.responseCode = response.statusCode;
    info.responseCodeDetails = "admin_filter_response";
    log.log({ info, requestHeaders, accessLogType: "DownstreamEnd" });
  });
}

/** More than any form of the admin pages holds. */
const MAX_FORM_BYTES = 64 * 1024;

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = "";
  for await (const chunk of request) {
    body += (chunk as Buffer).toString("latin1");
    if (body.length > MAX_FORM_BYTES) throw new Error("the form is too large");
  }
  return body;
}

function send(response: ServerResponse, { status = 200, contentType, body, afterwards }: AdminResponse): void {
  response.writeHead(status, {
    "content-type": contentType ?? "text/plain; charset=UTF-8",
    "cache-control": "no-cache, max-age=0",
    "x-content-type-options": "nosniff",
    server: "envoy",
  });
  response.end(body, afterwards);
}

function withFixedPages(endpoints: readonly AdminEndpoint[]): readonly AdminEndpoint[] {
  const all: AdminEndpoint[] = [
    ...endpoints,
    {
      path: "/",
      help: "Admin home page",
      handle: () => ({ contentType: "text/html; charset=UTF-8", body: homePage(all) }),
    },
    { path: "/help", help: "print out list of admin commands", handle: () => text(helpPage(all)) },
  ];
  return all.sort((a, b) => (a.path < b.path ? -1 : 1));
}

function listen(server: Server, { address, socketMode }: AdminServerOptions): Promise<SocketAddress> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      reject(new MeshError("admin-address", listenMessage(address, error)));
    });
    server.once("listening", () => {
      const bound = server.address();
      if (address.kind === "pipe" && socketMode !== undefined) chmodSync(address.path, socketMode);
      resolve(
        bound === null || typeof bound === "string"
          ? address
          : { kind: "ip", address: bound.address, port: bound.port },
      );
    });
    if (address.kind !== "ip") server.listen(address.path);
    else server.listen({ host: address.address, port: address.port });
  });
}

function listenMessage(address: SocketAddress, error: NodeJS.ErrnoException): string {
  const place = formatAddress(address);
  switch (error.code) {
    case "EADDRINUSE":
      return `cannot bind the admin interface to ${place}: the address is in use. End what listens there, or set admin.address to another port (0 takes a free one)`;
    case "EACCES":
      return `cannot bind the admin interface to ${place}: permission denied. Ports below 1024 need root; set admin.address to a higher port`;
    case "EADDRNOTAVAIL":
      return `cannot bind the admin interface to ${place}: this machine has no such address. Set admin.address to 127.0.0.1`;
    default:
      return `cannot bind the admin interface to ${place}: ${error.message}`;
  }
}
