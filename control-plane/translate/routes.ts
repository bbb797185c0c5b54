/** Route configurations by name, as the listeners ask for them (§4.4). */
import { routerContext } from "./envoy-filter/cluster-patches.ts";
import { patchesOf } from "./envoy-filter/patches.ts";
import { patchedRoutes } from "./envoy-filter/route-patches.ts";
import { gatewayVirtualHosts } from "./gateway-routes.ts";
import { mergedGateway } from "./gateway-servers.ts";
import { byText, type JsonObject } from "./json.ts";
import { unknownTrafficCluster } from "./egress-proxy.ts";
import { HTTP_PROXY_ROUTE } from "./names.ts";
import { memoizedBy } from "./memo.ts";
import { outboundView } from "./outbound-class.ts";
import type { EgressListener } from "./scope.ts";
import type { View } from "./view.ts";
import { attemptCount, outboundVirtualHosts } from "./virtual-hosts.ts";

const MAX_DIRECT_RESPONSE_BYTES = 1_048_576;

/** Sorted by name; a name that nothing here has gives nothing. */
export function routes(view: View, names: readonly string[]): readonly JsonObject[] {
  const result: JsonObject[] = [];
  const shared = outboundView(view);
  for (const name of [...new Set(names)].toSorted(byText)) {
    const route = sharedRoute(shared, name);
    if (route !== undefined) result.push(route);
  }
  return result;
}

const sharedRoute = memoizedBy((view: View, name: string): JsonObject | undefined => {
  const route = routeConfiguration(view, name);
  return route === undefined ? undefined : patchedRouteConfiguration(view, route);
});

function routeConfiguration(view: View, name: string): JsonObject | undefined {
  const isGateway = view.proxy.type === "router";
  const virtualHosts = isGateway ? gatewayVirtualHosts(view, name) : virtualHostsOf(view, name);
  // A listener that is draining may still ask for the routes of a server that is gone.
  if (virtualHosts === undefined) return isGateway ? { name, validateClusters: false } : undefined;
  return {
    name,
    virtualHosts: virtualHosts.toSorted((a, b) => byText(String(a["name"]), String(b["name"]))),
    validateClusters: false,
    maxDirectResponseBodySizeBytes: MAX_DIRECT_RESPONSE_BYTES,
    // On a placed HTTP proxy the port of the Host header tells services of one name apart.
    ignorePortInHostMatching: !(name === HTTP_PROXY_ROUTE && view.proxy.placement !== undefined),
  };
}

function patchedRouteConfiguration(view: View, configuration: JsonObject): JsonObject {
  const patches = patchesOf(view);
  if (patches === undefined) return configuration;
  if (view.proxy.type === "sidecar") return patchedRoutes(patches, { context: "SIDECAR_OUTBOUND" }, configuration);
  const servicePorts = (containerPort: number): readonly number[] | undefined => {
    const ports = mergedGateway(view)?.ports.filter(({ number }) => number === containerPort) ?? [];
    return ports.length === 0 ? undefined : ports.flatMap(({ servers }) => servers.map(({ port }) => port));
  };
  return patchedRoutes(patches, { context: routerContext(view), servicePorts }, configuration);
}

function virtualHostsOf(view: View, name: string): readonly JsonObject[] | undefined {
  if (name === HTTP_PROXY_ROUTE) {
    return [...outboundVirtualHosts(view, egressListenerFor(view, 0), 0), unknownTraffic(view)];
  }
  const colon = name.lastIndexOf(":");
  const port = Number(name.slice(colon + 1));
  if (!Number.isInteger(port) || port <= 0) return undefined;
  if (colon < 0) {
    const listener = egressListenerFor(view, port);
    const isProxy = listener.port?.protocol?.toUpperCase() === "HTTP_PROXY";
    return [...outboundVirtualHosts(view, listener, isProxy ? 0 : port), unknownTraffic(view)];
  }
  const own = outboundVirtualHosts(view, egressListenerFor(view, port), port).find((host) => host["name"] === name);
  return own === undefined ? undefined : [{ ...own, domains: ["*"] }];
}

/** The egress listener with that port, else the one without a port. */
export function egressListenerFor(view: View, port: number): EgressListener {
  const { egress } = view.scope;
  const chosen =
    egress.find((listener) => listener.port?.number === port && port !== 0) ??
    egress.findLast((listener) => listener.port === undefined) ??
    egress[0];
  return chosen ?? { port: undefined, bind: undefined, captures: true, services: [], virtualServices: [] };
}

/** Hosts that nobody knows: let through, or refused with 502 (rule 95). */
function unknownTraffic(view: View): JsonObject {
  const isAllowed = view.scope.allowsUnknownTraffic;
  const name = isAllowed ? "allow_any" : "block_all";
  const action = isAllowed
    ? { route: { cluster: unknownTrafficCluster(view), timeout: "0s", maxGrpcTimeout: "0s" } }
    : { directResponse: { status: 502 } };
  return {
    name,
    domains: ["*"],
    routes: [{ name, match: { prefix: "/" }, ...action }],
    ...attemptCount(view),
  };
}
