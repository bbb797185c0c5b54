/**
 * gRPC clients and servers without a proxy (node metadata `GENERATOR: grpc`): they take xDS themselves, by name, as gRPC's
 * proposals A27 and A36 have it (istiod: pilot/pkg/networking/grpcgen).
 */
import type { ProxyNode } from "../model/proxy-node.ts";
import type { ScopedPort, ScopedService } from "./scope.ts";
import type { View } from "./view.ts";

/** What comes before the address in the name of a server's listener. */
export const SERVER_LISTENER_PREFIX = "xds.istio.io/grpc/lds/inbound/";

export function isProxyless({ metadata }: Pick<ProxyNode, "metadata">): boolean {
  return metadata["GENERATOR"] === "grpc";
}

export interface HostPort {
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
}

/** `host:port`, `[address]:port`; undefined for every other text. */
export function hostPortFrom(text: string): HostPort | undefined {
  const [, bracketed, plain, digits] = /^(?:\[([^[\]]*)\]|([^:[\]]*)):(\d{1,5})$/.exec(text) ?? [];
  const [host, port] = [bracketed ?? plain, Number(digits)];
  return host === undefined || host === "" || port < 1 || port > 65_535 ? undefined : { host, port };
}

/** The service that an application means by a name: its own, or what its namespace completes it to. */
export function serviceNamed(view: View, host: string): ScopedService | undefined {
  const { servicesByHost } = view.scope;
  const full = fullName(host, view.proxy);
  return servicesByHost.get(host) ?? (full === undefined ? undefined : servicesByHost.get(full));
}

export function portNumbered(service: ScopedService | undefined, port: number): ScopedPort | undefined {
  return service?.ports.find(({ number }) => number === port);
}

function fullName(host: string, { dnsDomain, namespace }: ProxyNode): string | undefined {
  if (!host.includes(".")) return `${host}.${dnsDomain}`;
  for (const suffix of [namespace, `${namespace}.svc`]) {
    if (host.endsWith(`.${suffix}`) && dnsDomain.startsWith(suffix)) {
      return `${host.slice(0, -suffix.length - 1)}.${dnsDomain}`;
    }
  }
  return undefined;
}
