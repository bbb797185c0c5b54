/** Shell: an HTTPS port that answers one document, with a certificate that may change. */
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { type HttpPort, listenFault } from "./debug-server.ts";

/** PEM. */
export interface ServingCertificate {
  readonly cert: string;
  readonly key: string;
}

export interface HttpsPort extends HttpPort {
  /** For new connections. Throws when it can't be used. */
  setCertificate(certificate: ServingCertificate): void;
}

/** `document` is asked at every GET of `/`; there is nothing else. */
export async function openHttpsPort(
  listen: { readonly address: string; readonly port: number; readonly flag: string },
  certificate: ServingCertificate,
  document: () => string,
): Promise<HttpsPort> {
  const { address, port, flag } = listen;
  const server: Server = createServer({ ...certificate }, (request, response) => {
    const isRead = request.method === "GET" || request.method === "HEAD";
    if (!isRead || (request.url ?? "/").split("?")[0] !== "/") {
      response.writeHead(isRead ? 404 : 405, isRead ? {} : { allow: "GET, HEAD" }).end();
      return;
    }
    const body = document();
    response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(body) });
    response.end(request.method === "HEAD" ? undefined : body);
  });
  server.headersTimeout = 5000;
  server.requestTimeout = 10_000;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      reject(listenFault(error.code ?? "unknown", address, port, flag));
    });
    server.listen(port, address, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    setCertificate: ({ cert, key }) => server.setSecureContext({ cert, key }),
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
