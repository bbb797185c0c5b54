/** What a port's protocol means for listeners and clusters (rules 81, 82). */
import type { Protocol } from "../model/service.ts";

/** How a listener treats a port. */
export type ListenerProtocol = "http" | "tcp" | "auto";

export function listenerProtocol(protocol: Protocol): ListenerProtocol {
  switch (protocol) {
    case "HTTP":
    case "HTTP2":
    case "GRPC":
    case "GRPC-Web":
    case "HTTP_PROXY":
      return "http";
    case "auto":
      return "auto";
    case "HTTPS":
    case "TLS":
    case "TCP":
    case "MONGO":
    case "MYSQL":
    case "REDIS":
    case "UDP":
      return "tcp";
  }
}

/** Has virtual hosts: declared HTTP, or sniffed. */
export function hasRoutes(protocol: Protocol): boolean {
  return listenerProtocol(protocol) !== "tcp";
}

export function isHttp2(protocol: Protocol): boolean {
  return protocol === "HTTP2" || protocol === "GRPC" || protocol === "GRPC-Web";
}

/** TLS that passes through: routed by SNI, `tls` rules apply. */
export function isTls(protocol: Protocol): boolean {
  return protocol === "TLS" || protocol === "HTTPS";
}
