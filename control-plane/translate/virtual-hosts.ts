/** Virtual hosts for one port as a proxy calls it: VirtualServices first, then the services that have none (rules 12–15). */
import { hostsMatch, HostTable, isWildcard } from "./hosts.ts";
import { defaultRoute, httpRoutes } from "./http-routes.ts";
import { isProxyless } from "./grpc-proxyless.ts";
import type { JsonObject } from "./json.ts";
import { addressesFor } from "./service-addresses.ts";
import { proxyOptions } from "./proxy-options.ts";
import { hasRoutes } from "./protocols.ts";
import type { RouteContext } from "./route-action.ts";
import type { EgressListener, ScopedPort, ScopedService } from "./scope.ts";
import { virtualHostDomains } from "./virtual-host-domains.ts";
import type { View } from "./view.ts";
import type { VirtualService } from "./virtual-service.ts";

/** Routes of one VirtualService (or of none) on one port, and the hosts they are for. */
interface RoutedHosts {
  readonly port: number;
  readonly routes: readonly JsonObject[];
  readonly services: readonly ScopedService[];
  /** Hosts that the registry does not know. */
  readonly unknownHosts: readonly string[];
}

/** `port` 0: all of them, as the HTTP proxy listener serves; names then carry their port. */
export function outboundVirtualHosts(view: View, listener: EgressListener, port: number): readonly JsonObject[] {
  const services = servicesOnPort(listener, port);
  const routed: RoutedHosts[] = [];
  const owners = ownersOf(listener.virtualServices);
  for (const virtualService of listener.virtualServices) {
    routed.push(...routedBy(view, virtualService, services, owners, port));
  }
  const taken = new Set(routed.flatMap((item) => item.services.map(({ host }) => host)));
  for (const service of services.values()) {
    if (taken.has(service.host)) continue;
    for (const servicePort of service.ports) {
      if (!hasRoutes(servicePort.protocol)) continue;
      const routes = [defaultRoute(view, service, servicePort.number)];
      routed.push({ port: servicePort.number, routes, services: [service], unknownHosts: [] });
    }
  }
  return virtualHostsFrom(view, routed, port);
}

/** Each service with those of its ports that count here. */
function servicesOnPort(listener: EgressListener, port: number): ReadonlyMap<string, ScopedService> {
  const result = new Map<string, ScopedService>();
  for (const service of listener.services) {
    const ports = port === 0 ? service.ports : service.ports.filter((candidate) => candidate.number === port);
    if (ports.length > 0)
      result.set(service.host, ports.length === service.ports.length ? service : { ...service, ports });
  }
  return result;
}

/** Which VirtualService a host belongs to, where a wildcard would take several. */
function ownersOf(virtualServices: readonly VirtualService[]): HostTable<VirtualService> {
  const table = new HostTable<VirtualService>();
  for (const virtualService of virtualServices) {
    for (const host of virtualService.hosts) table.add(host, virtualService);
  }
  return table;
}

function routedBy(
  view: View,
  virtualService: VirtualService,
  services: ReadonlyMap<string, ScopedService>,
  owners: HostTable<VirtualService>,
  listenPort: number,
): readonly RoutedHosts[] {
  const attached = new Map<string, ScopedService>();
  const unknownHosts: string[] = [];
  for (const host of virtualService.hosts) {
    const found = isWildcard(host)
      ? servicesUnder(host, virtualService, services, owners)
      : servicesNamed(host, services, view);
    for (const service of found.own) attached.set(service.host, service);
    if (!found.isKnown) unknownHosts.push(host);
  }
  const byPort = new Map<number, ScopedService[]>();
  for (const service of attached.values()) {
    for (const port of service.ports) {
      if (!hasRoutes(port.protocol)) continue;
      const list = byPort.get(port.number) ?? [];
      list.push(service);
      byPort.set(port.number, list);
    }
  }
  // A route of the Gateway API is for the ports of its parent alone.
  if (byPort.size === 0 && listenPort === 80 && !virtualService.isGatewayApi) byPort.set(80, []);
  const result: RoutedHosts[] = [];
  for (const [port, members] of byPort) {
    const context: RouteContext = { view, port, defaultPort: (host) => defaultPort(services.get(host)?.ports, port) };
    const routes = httpRoutes(virtualService, context);
    if (routes.length > 0) result.push({ port, routes, services: members, unknownHosts });
  }
  return result;
}

interface Found {
  readonly own: readonly ScopedService[];
  readonly isKnown: boolean;
}

/** An ExternalName has a virtual host of its own once a VirtualService names it (rule 87). */
function servicesNamed(host: string, services: ReadonlyMap<string, ScopedService>, view: View): Found {
  const target = view.scope.byAnyName.get(host)?.host ?? host;
  const known = services.get(target);
  const service = known !== undefined && target !== host ? { ...known, host, aliases: [], addresses: [] } : known;
  return { own: service === undefined ? [] : [service], isKnown: service !== undefined };
}

/** A wildcard takes the services for which no other VirtualService is more specific (rule 14). */
function servicesUnder(
  wildcard: string,
  virtualService: VirtualService,
  services: ReadonlyMap<string, ScopedService>,
  owners: HostTable<VirtualService>,
): Found {
  const own: ScopedService[] = [];
  let isKnown = false;
  for (const service of services.values()) {
    if (!hostsMatch(wildcard, service.host)) continue;
    isKnown = true;
    if (owners.lookup(service.host) === virtualService) own.push(service);
  }
  return { own, isKnown };
}

/** The service's only port, as far as it is seen on this listener; else the one that was called (rule 24). */
function defaultPort(ports: readonly ScopedPort[] | undefined, called: number): number {
  const [only, more] = ports ?? [];
  return only !== undefined && more === undefined ? only.number : called;
}

/** `x-envoy-attempt-count` on requests, unless the proxy asks for none. */
export function attemptCount(view: View): JsonObject {
  return proxyOptions(view).headers.hasAttemptCount ? { includeRequestAttemptCount: true } : {};
}

/** Names and domains are given once: what comes later loses them (rule 15). */
function virtualHostsFrom(view: View, routed: readonly RoutedHosts[], listenPort: number): readonly JsonObject[] {
  const names = new Set<string>();
  const domains = new Set<string>();
  const known = new Set(routed.flatMap((item) => item.services.map(({ host }) => host)));
  const result: JsonObject[] = [];
  const hasPorts = listenPort !== 0 && isProxyless(view.proxy);
  const add = (host: string, item: RoutedHosts, plain: readonly string[]): void => {
    const name = `${host}:${item.port}`;
    if (names.has(name)) return;
    names.add(name);
    // gRPC matches what was dialled, with its port.
    const wanted = hasPorts ? plain.flatMap((domain) => [domain, `${domain}:${item.port}`]) : plain;
    const left = wanted.filter((domain) => !domains.has(domain));
    for (const domain of left) domains.add(domain);
    if (left.length === 0) return;
    result.push({ name, domains: left, routes: item.routes, ...attemptCount(view) });
  };
  for (const item of routed) {
    for (const host of item.unknownHosts) add(host, item, listenPort === 0 ? [`${host}:${item.port}`, host] : [host]);
    for (const service of item.services) {
      const port = listenPort === 0 ? item.port : undefined;
      const { all, shortened } = virtualHostDomains(service, addressesFor(view, service), view.proxy.dnsDomain, port);
      add(
        service.host,
        item,
        all.filter((domain) => !(shortened.has(domain) && known.has(domain))),
      );
    }
  }
  return result;
}
