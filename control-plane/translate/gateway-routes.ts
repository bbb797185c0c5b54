/** Route configurations of a gateway: the VirtualServices of its servers, merged by host (rules 13, 101, 103). */
import { type GatewayServer } from "./gateway-server.ts";
import { mergedGateway } from "./gateway-servers.ts";
import { intersectingHosts, virtualServicesOf } from "./gateway-virtual-services.ts";
import { httpRoutes } from "./http-routes.ts";
import { compact, type JsonObject, nonEmpty } from "./json.ts";
import { isCatchAll } from "./route-match.ts";
import { inboundDenial } from "./security-policies.ts";
import type { View } from "./view.ts";
import { attemptCount } from "./virtual-hosts.ts";
import type { VirtualService } from "./virtual-service.ts";
import { isVisibleTo } from "./visibility.ts";

/** Undefined for a name that no server has: its listener is on its way out. */
export function gatewayVirtualHosts(view: View, routeName: string): readonly JsonObject[] | undefined {
  const servers = mergedGateway(view)?.serversByRouteName.get(routeName);
  if (servers === undefined) return undefined;
  const denial = inboundDenial(view);
  if (denial !== undefined) return [denied(denial.reason)];
  const hosts = virtualHostsOf(view, servers);
  if (hosts.length === 0) return [{ name: `blackhole:${servers[0]?.port ?? 0}`, domains: ["*"] }];
  return collapsed(hosts).map((host) =>
    compact({
      name: host.name,
      domains: host.domains,
      routes: nonEmpty(host.routes.toSorted((a, b) => Number(endsList(a)) - Number(endsList(b)))),
      requireTls: host.redirectsToHttps ? "ALL" : undefined,
      ...attemptCount(view),
    }),
  );
}

function denied(reason: string): JsonObject {
  return {
    name: "denied",
    domains: ["*"],
    routes: [{ match: { prefix: "/" }, directResponse: { status: 403, body: { inlineString: reason } } }],
  };
}

function endsList(route: JsonObject): boolean {
  return isCatchAll(route["match"] as JsonObject);
}

interface HostInMaking {
  readonly name: string;
  readonly domains: string[];
  readonly routes: JsonObject[];
  redirectsToHttps: boolean;
}

function virtualHostsOf(view: View, servers: readonly GatewayServer[]): readonly HostInMaking[] {
  const hosts = new Map<string, HostInMaking>();
  // The routes that the first server of a Gateway gave a VirtualService serve the others too (rule 104).
  const known = new Map<string, readonly JsonObject[]>();
  const hostAt = (host: string, port: number): HostInMaking => {
    const made = hosts.get(host) ?? { name: `${host}:${port}`, domains: [host], routes: [], redirectsToHttps: false };
    hosts.set(host, made);
    return made;
  };
  for (const server of servers) {
    const redirects = server.tls?.httpsRedirect === true;
    for (const virtualService of virtualServicesOf(view, server.gateway)) {
      const own = intersectingHosts(server, virtualService);
      if (own.length === 0) continue;
      const key = `${server.gateway} ${virtualService.namespace}/${virtualService.object.metadata.name}`;
      const routes = known.get(key) ?? routesOf(view, virtualService, server);
      if (routes.length === 0) continue;
      known.set(key, routes);
      for (const host of own) {
        const made = hostAt(host.toLowerCase(), server.port);
        made.routes.push(...routes);
        if (redirects) made.redirectsToHttps = true;
      }
    }
    // Nothing needs to be routed for a redirect.
    for (const host of redirects ? server.hosts : []) hostAt(host.toLowerCase(), server.port).redirectsToHttps = true;
  }
  return [...hosts.values()];
}

function routesOf(view: View, virtualService: VirtualService, server: GatewayServer): readonly JsonObject[] {
  return httpRoutes(virtualService, {
    view,
    port: server.port,
    gateways: [server.gateway],
    isTls: server.tls !== undefined,
    defaultPort: (host) => onlyPort(view, host, virtualService.namespace) ?? server.port,
  });
}

/** Of a service with one port that port: the definition in the VirtualService's namespace, else what the proxy sees. */
function onlyPort(view: View, host: string, namespace: string): number | undefined {
  const { defaultServiceExportTo } = view.mesh.meshConfig;
  const own = view.mesh
    .servicesByHost(host)
    .find(
      (service) =>
        service.namespace === namespace &&
        isVisibleTo(service.exportTo, defaultServiceExportTo, service.namespace, view.proxy.namespace),
    );
  const [only, more] = (own ?? view.scope.servicesByHost.get(host))?.ports ?? [];
  return more === undefined ? only?.number : undefined;
}

/** Hosts with the very same routes become domains of one virtual host, called after the first of them. */
function collapsed(hosts: readonly HostInMaking[]): readonly HostInMaking[] {
  const byFirstRoute = new Map<JsonObject | undefined, HostInMaking[]>();
  for (const host of hosts.toSorted((a, b) => bySpecificity(a.domains[0] ?? "", b.domains[0] ?? ""))) {
    const alike = byFirstRoute.get(host.routes[0]) ?? [];
    byFirstRoute.set(host.routes[0], alike);
    const same = alike.find((other) => isSame(other, host));
    if (same === undefined) alike.push(host);
    else same.domains.push(...host.domains);
  }
  return [...byFirstRoute.values()].flat();
}

function isSame(a: HostInMaking, b: HostInMaking): boolean {
  if (a.redirectsToHttps !== b.redirectsToHttps || a.routes.length !== b.routes.length) return false;
  return a.routes.every((route, index) => route === b.routes[index]);
}

/** Longest first, wildcards last. */
function bySpecificity(a: string, b: string): number {
  const wild = Number(a.startsWith("*")) - Number(b.startsWith("*"));
  return wild || b.length - a.length || (a < b ? -1 : a > b ? 1 : 0);
}
