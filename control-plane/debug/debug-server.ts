/** Shell: the HTTP ports of the control plane: `/ready`, `/version`, `/metrics`, `/debug/…`. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { MeshError } from "#lib/problem.ts";
import { jsonAnswer, textAnswer, type DebugAnswer, type DebugView } from "./debug-view.ts";
import { streamEvents } from "./event-stream.ts";
import { configz, endpointz, findings, gatewayApiz, meshPage, pushStatus, registryz } from "./mesh-pages.ts";
import { adsz, configDump, connections, edsz, syncz } from "./proxies.ts";
import type { ControlPlaneMetrics } from "./metrics.ts";

type Page = (view: DebugView, query: URLSearchParams) => DebugAnswer;

/** Path → what it shows and who answers. */
const pages: Readonly<Record<string, { readonly says: string; readonly page: Page }>> = {
  "/debug/syncz": {
    says: "how far each proxy is with each type",
    page: (view, query) => syncz(view, query.get("namespace")),
  },
  "/debug/adsz": { says: "connected proxies and what they watch", page: adsz },
  "/debug/connections": { says: "connected proxies", page: connections },
  "/debug/config_dump": {
    says: "what a proxy has been sent (?proxyID=name.namespace)",
    page: (view, query) => configDump(view, query.get("proxyID")),
  },
  "/debug/configz": {
    says: "Istio's and the Gateway API's objects in force (?kind=VirtualService)",
    page: (view, query) => configz(view, query.get("kind")),
  },
  "/debug/gatewayapiz": {
    says: "status of Gateway API objects (?name=HTTPRoute/default/web)",
    page: (view, query) => gatewayApiz(view, query.get("name")),
  },
  "/debug/registryz": { says: "services known", page: registryz },
  "/debug/endpointz": { says: "endpoints of each service", page: endpointz },
  "/debug/edsz": {
    says: "endpoints that proxies have been sent (?proxyID=)",
    page: (view, query) => edsz(view, query.get("proxyID")),
  },
  "/debug/mesh": { says: "mesh configuration in force", page: meshPage },
  "/debug/push_status": { says: "the newest configuration and who has it", page: pushStatus },
  "/debug/findings": { says: "what was refused, ignored, or is questionable", page: findings },
};

export interface HttpPort {
  readonly port: number;
  close(): Promise<void>;
}

/** The debug port. Reads only: every other method is 405. */
export async function openDebugPort(view: DebugView, address: string, port: number, flag: string): Promise<HttpPort> {
  return openPort(address, port, flag, (request, response) => {
    const url = new URL(request.url ?? "/", "http://control-plane");
    if (url.pathname === "/debug/events") {
      streamEvents(view, request, response);
      return;
    }
    write(request, response, answerDebug(view, url));
  });
}

/** A page of `/debug`, by its path. */
export function answerDebug(view: DebugView, url: URL): DebugAnswer {
  const page = Object.hasOwn(pages, url.pathname) ? pages[url.pathname] : undefined;
  if (page !== undefined) return page.page(view, url.searchParams);
  switch (url.pathname) {
    case "/ready":
      return view.isReady()
        ? textAnswer("ready\n")
        : textAnswer("not ready: the configuration has not been read yet\n", 503);
    case "/version":
      return jsonAnswer({ version: view.version, component: "glassmesh-control-plane" });
    case "/":
    case "/debug":
    case "/debug/":
    case "/debug/list":
      return index();
    default:
      return textAnswer(`nothing at ${url.pathname}; /debug lists what there is\n`, 404);
  }
}

/** The monitoring port: Prometheus. */
export async function openMonitoringPort(
  metrics: ControlPlaneMetrics,
  view: DebugView,
  address: string,
  port: number,
  flag: string,
): Promise<HttpPort> {
  return openPort(address, port, flag, (request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://control-plane");
    if (pathname === "/metrics") {
      metrics.registry.metrics().then(
        (body) => write(request, response, { status: 200, contentType: metrics.registry.contentType, body }),
        (error: unknown) => write(request, response, textAnswer(`${String(error)}\n`, 500)),
      );
      return;
    }
    const isKnown = pathname === "/version" || pathname === "/ready";
    write(
      request,
      response,
      isKnown ? answerDebug(view, new URL(pathname, "http://control-plane")) : textAnswer("see /metrics\n", 404),
    );
  });
}

function index(): DebugAnswer {
  const rows = [
    ...Object.entries(pages),
    ["/debug/events", { says: "what happens, live, a JSON object a line" }] as const,
  ]
    .map(([path, { says }]) => `<li><a href="${path}">${path}</a> ${says}</li>`)
    .join("\n");
  const body = `<!doctype html><meta charset="utf-8"><title>Glassmesh control plane</title>\n<h1>Glassmesh control plane</h1>\n<ul>\n${rows}\n</ul>\n`;
  return { status: 200, contentType: "text/html; charset=utf-8", body };
}

function write(request: IncomingMessage, response: ServerResponse, answer: DebugAnswer): void {
  response.writeHead(answer.status, {
    "content-type": answer.contentType,
    "content-length": Buffer.byteLength(answer.body),
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
  });
  response.end(request.method === "HEAD" ? undefined : answer.body);
}

async function openPort(
  address: string,
  port: number,
  flag: string,
  handle: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<HttpPort> {
  const server = createServer((request, response) => {
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.setHeader("allow", "GET, HEAD");
      write(request, response, textAnswer("only GET and HEAD: this port changes nothing\n", 405));
      return;
    }
    try {
      handle(request, response);
    } catch (error) {
      write(
        request,
        response,
        textAnswer(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`, 500),
      );
    }
  });
  await listen(server, address, port, flag);
  const bound = server.address();
  return {
    port: typeof bound === "object" && bound !== null ? bound.port : port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(server: Server, address: string, port: number, flag: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) =>
      reject(listenFault(error.code ?? "unknown", address, port, flag)),
    );
    server.listen(port, address, resolve);
  });
}

/** Why a port could not be had, and the way out. */
export function listenFault(code: string, address: string, port: number, flag: string): MeshError {
  const at = `${address}:${port}`;
  switch (code) {
    case "EADDRINUSE":
      return new MeshError(
        "port-in-use",
        `${at} is in use by another process; choose another port with ${flag} (0 takes any free one).`,
      );
    case "EACCES":
      return new MeshError(
        "port-forbidden",
        `${at} may not be bound by this user; choose a port above 1023 with ${flag}.`,
      );
    case "EADDRNOTAVAIL":
      return new MeshError(
        "address-not-available",
        `${address} is no address of this machine; choose another with --address.`,
      );
    default:
      return new MeshError("port-unusable", `${at} can't be bound (${code}); choose another port with ${flag}.`);
  }
}
