/** Which protocol a port speaks (rule 81), by appProtocol, name, and a few well-known numbers. */
import type { Protocol } from "./service.ts";

const byInstance: Readonly<Record<string, Protocol>> = {
  grpc: "GRPC",
  "grpc-web": "GRPC-Web",
  http: "HTTP",
  http_proxy: "HTTP_PROXY",
  http2: "HTTP2",
  https: "HTTPS",
  tls: "TLS",
  tcp: "TCP",
  udp: "UDP",
  mongo: "MONGO",
  mysql: "MYSQL",
  redis: "REDIS",
};

/** Server-first protocols on their well-known ports can't be sniffed. */
const tcpPorts: ReadonlySet<number> = new Set([25, 53, 3306, 27017]);

/** A protocol as ServiceEntry and Gateway write it, any case; `auto` where it is none of Istio's. */
export function protocolFromName(name: string): Protocol {
  return byInstance[name.toLowerCase()] ?? "auto";
}

/** The protocol of a Kubernetes Service port: appProtocol wins over the name, and the prefix before `-` counts. */
export function protocolOfServicePort(port: {
  readonly number: number;
  readonly name: string;
  readonly transport: string;
  readonly appProtocol?: string | undefined;
}): Protocol {
  if (port.transport === "UDP") return "UDP";
  if (port.appProtocol === "kubernetes.io/h2c") return "HTTP2";
  if (port.appProtocol === "kubernetes.io/ws") return "HTTP";
  if (port.appProtocol === "kubernetes.io/wss") return "HTTPS";
  const name = (port.appProtocol ?? port.name).toLowerCase();
  if (name.startsWith("grpc-web")) return "GRPC-Web";
  const dash = name.indexOf("-");
  const protocol = protocolFromName(dash < 0 ? name : name.slice(0, dash));
  return protocol === "auto" && tcpPorts.has(port.number) ? "TCP" : protocol;
}
