/** One server of a Gateway, and what becomes of a connection to it. */
import type { MeshObject } from "../model/object.ts";
import type { Protocol } from "../model/service.ts";
import { listenerProtocol } from "./protocols.ts";
import type { ServerSpec, ServerTls } from "./spec/gateway.ts";

/** One server of one Gateway, on the port that it listens on. */
export interface GatewayServer {
  readonly object: MeshObject;
  /** `namespace/name` of the Gateway, as VirtualServices call it. */
  readonly gateway: string;
  readonly path: string;
  readonly spec: ServerSpec;
  readonly tls: ServerTls | undefined;
  /** As the Gateway writes it. */
  readonly port: number;
  readonly protocol: Protocol;
  readonly bind: string;
  /** `host`, or `namespace/host`. */
  readonly hosts: readonly string[];
  /** Without namespaces, each once, sorted: what the filter chain is matched by. */
  readonly sniHosts: readonly string[];
  /** Empty for a server without HTTP. */
  readonly routeName: string;
}

export function isPlainHttp({ protocol }: { readonly protocol: Protocol }): boolean {
  return listenerProtocol(protocol) === "http";
}

/** HTTP behind TLS that ends here. */
export function terminatesHttps(server: Pick<GatewayServer, "protocol" | "tls">): boolean {
  return server.protocol === "HTTPS" && server.tls !== undefined && !passesTlsThrough(server);
}

export function passesTlsThrough({ tls }: Pick<GatewayServer, "tls">): boolean {
  if (tls === undefined) return false;
  const mode = tls.mode ?? "PASSTHROUGH";
  return mode === "PASSTHROUGH" || mode === "AUTO_PASSTHROUGH";
}
