/** Filter chains of outbound TCP and TLS ports: `tcp` and `tls` rules, or the service itself (rule 37). */
import { type AuthorizationSteps, NO_AUTHORIZATION } from "./authorization.ts";
import { networkExtensions } from "./traffic-extensions.ts";
import { isSubsetOf } from "./hosts.ts";
import { tcpHashPolicy } from "./hash-policy.ts";
import { compact, type JsonObject } from "./json.ts";
import { selects } from "./labels.ts";
import { configMetadata, outboundCluster, WILDCARD_ADDRESS } from "./names.ts";
import { mongoProxy, statsFilter, tcpProxy, type TcpProxyInput } from "./network-filters.ts";
import { isTls } from "./protocols.ts";
import { destinationCluster } from "./route-action.ts";
import { destinationRuleOf, type ScopedPort, type ScopedService } from "./scope.ts";
import type { DestinationRule } from "./destination-rule.ts";
import type { Tunnel } from "./spec/destination-rule.ts";
import type { Destination, L4Match, RouteDestination } from "./spec/virtual-service.ts";
import type { View } from "./view.ts";
import type { VirtualService } from "./virtual-service.ts";
import { durationJson } from "./duration.ts";
import { CLUSTER_DOMAIN, expandHost } from "./hosts.ts";

/** A filter chain, and what it is matched by. */
export interface TcpChain {
  readonly sni: readonly string[];
  readonly cidrs: readonly string[];
  readonly json: JsonObject;
}

export interface TcpTarget {
  readonly service: ScopedService;
  readonly port: ScopedPort;
  /** The port of the listener. */
  readonly listenPort: number;
  readonly virtualService: VirtualService | undefined;
  /** The listener is bound to an address of the service alone. */
  readonly hasOwnAddress: boolean;
  /** CIDRs of the service, where it has them instead of an address. */
  readonly cidrs: readonly string[];
}

export function tcpChains(view: View, target: TcpTarget): readonly TcpChain[] {
  return isTls(target.port.protocol) ? tlsPortChains(view, target) : tcpPortChains(view, target);
}

function tcpPortChains(view: View, target: TcpTarget): readonly TcpChain[] {
  const { virtualService, cidrs } = target;
  const result: TcpChain[] = [];
  for (const rule of virtualService?.spec.tcp ?? []) {
    const matches = rule.match ?? [];
    if (matches.length === 0) return [...result, ruled(view, target, rule.route, [], cidrs, virtualService)];
    const subnets: string[] = [];
    for (const match of matches.filter((candidate) => concerns(candidate, target, view))) {
      const own = match.destinationSubnets ?? [];
      if (own.length === 0) return [...result, ruled(view, target, rule.route, [], cidrs, virtualService)];
      subnets.push(...own);
    }
    if (subnets.length > 0) result.push(ruled(view, target, rule.route, [], subnets, undefined));
  }
  return [...result, direct(view, target, [])];
}

function tlsPortChains(view: View, target: TcpTarget): readonly TcpChain[] {
  const { virtualService, cidrs } = target;
  const result: TcpChain[] = [];
  const seen = new Set<string>();
  for (const rule of virtualService?.spec.tls ?? []) {
    for (const match of rule.match ?? []) {
      if (!concerns(match, target, view)) continue;
      const hosts = (match.sniHosts ?? []).filter((host) => isWantedSni(host, target));
      const subnets = match.destinationSubnets ?? [];
      const ranges = subnets.length > 0 ? subnets : cidrs;
      const key = [...hosts.toSorted(), "|", ...ranges.toSorted()].join(",");
      if (hosts.length === 0 || seen.has(key)) continue;
      seen.add(key);
      result.push(ruled(view, target, rule.route, hosts, ranges, virtualService));
    }
  }
  if (result.length > 0) return result;
  const hosts = cidrs.length > 0 || !target.hasOwnAddress ? [target.service.host, ...target.service.aliases] : [];
  return [direct(view, target, hosts)];
}

/** Of a VirtualService for several hosts only the SNIs of this service count on its listener. */
function isWantedSni(sni: string, { service, virtualService }: TcpTarget): boolean {
  const hosts = virtualService?.hosts ?? [];
  if (hosts.length <= 1) return true;
  return isSubsetOf(sni, service.host) || !hosts.some((host) => host !== service.host && isSubsetOf(sni, host));
}

function concerns(match: L4Match, target: TcpTarget, view: View): boolean {
  if (match.port !== undefined && match.port !== 0 && match.port !== target.listenPort) return false;
  if (!selects(match.sourceLabels, view.labels)) return false;
  const namespace = match.sourceNamespace ?? "";
  if (namespace !== "" && namespace !== view.proxy.namespace) return false;
  return match.gateways === undefined || match.gateways.length === 0 || match.gateways.includes("mesh");
}

/** The service's own cluster. */
function direct(view: View, target: TcpTarget, sni: readonly string[]): TcpChain {
  const { service, port, listenPort } = target;
  const [only, more] = service.ports;
  const portNumber = more === undefined && only !== undefined ? only.number : listenPort;
  const cluster = outboundCluster(portNumber, "", service.host);
  const to = { protocol: port.protocol, statPrefix: cluster, target: { cluster } };
  const filters = proxyTo(view, to, { host: service.host, subset: "" }, listenPort);
  return { sni, cidrs: target.cidrs, json: chainJson(sni, target.cidrs, filters, undefined) };
}

function ruled(
  view: View,
  target: TcpTarget,
  routes: readonly RouteDestination[] | undefined,
  sni: readonly string[],
  cidrs: readonly string[],
  virtualService: VirtualService | undefined,
): TcpChain {
  const filters = routedFilters(view, {
    routes: routes ?? [],
    owner: target.virtualService,
    protocol: target.port.protocol,
    port: target.listenPort,
  });
  return { sni, cidrs, json: chainJson(sni, cidrs, filters, virtualService) };
}

export interface RoutedInput {
  readonly routes: readonly RouteDestination[];
  readonly owner: VirtualService | undefined;
  readonly protocol: ScopedPort["protocol"];
  /** The port that the client called. */
  readonly port: number;
  /** At gateways: who may connect. */
  readonly authorization?: AuthorizationSteps;
}

/** Network filters that lead to the destinations of a `tcp` or `tls` rule. */
export function routedFilters(
  view: View,
  { routes, owner, protocol, port, authorization }: RoutedInput,
): readonly JsonObject[] {
  const namespace = owner?.namespace ?? "";
  const destinations = routes.map(({ destination, weight }) => ({
    destination: expanded(destination, namespace),
    weight,
  }));
  const name = (destination: Destination): string =>
    destinationCluster(destination, { view, defaultPort: (host) => defaultPort(view, host, port) });
  const [first] = destinations;
  const clusters = destinations
    .filter(({ weight }) => (weight ?? 0) > 0)
    .map(({ destination, weight }) => ({ name: name(destination), weight: weight ?? 0 }));
  const single = destinations.length <= 1;
  const to = single ? { cluster: name(first?.destination ?? {}) } : { weightedClusters: { clusters } };
  const statPrefix = single ? name(first?.destination ?? {}) : `${owner?.object.metadata.name ?? ""}.${namespace}`;
  const { host = "", subset = "" } = first?.destination ?? {};
  // Of several destinations none may speak for its subset.
  const settings = { host, subset: single ? subset : "" };
  return proxyTo(view, { protocol, statPrefix, target: to, authorization }, settings, port);
}

function expanded(destination: Destination | undefined, namespace: string): Destination {
  return { ...destination, host: expandHost(destination?.host ?? "", namespace, CLUSTER_DOMAIN) };
}

function defaultPort(view: View, host: string, called: number): number {
  const [only, more] = view.scope.servicesByHost.get(host)?.ports ?? [];
  return only !== undefined && more === undefined ? only.number : called;
}

interface ProxyTo {
  readonly authorization?: AuthorizationSteps | undefined;
  readonly protocol: ScopedPort["protocol"];
  readonly statPrefix: string;
  readonly target: JsonObject;
}

/** The DestinationRule's settings are those of the first destination. */
function proxyTo(
  view: View,
  to: ProxyTo,
  { host, subset }: { readonly host: string; readonly subset: string },
  port: number,
): readonly JsonObject[] {
  const service = view.scope.byAnyName.get(host);
  const rule = service && destinationRuleOf(view.mesh, view.scope, service.model, view.labels);
  const { custom, rules } = to.authorization ?? NO_AUTHORIZATION;
  const extensions = networkExtensions(view, { port, side: "CLIENT" });
  return [
    ...custom,
    ...extensions.AUTHN,
    ...extensions.AUTHZ,
    ...rules,
    ...extensions.STATS,
    ...extensions.UNSPECIFIED,
    ...statsFilter(view, "outbound"),
    ...(to.protocol === "MONGO" ? mongoProxy(view, to.statPrefix) : []),
    tcpProxy(view, {
      direction: "outbound",
      statPrefix: to.statPrefix,
      target: to.target,
      ...connectionSettings(rule, subset),
    }),
  ];
}

/** Timeouts are those of the whole rule, whatever ports and subsets say; hashing and tunnels may be a subset's. */
function connectionSettings(
  rule: DestinationRule | undefined,
  subsetName: string,
): Pick<TcpProxyInput, "idleTimeout" | "maxDuration" | "hashPolicy" | "tunnelingConfig"> {
  const top = rule?.trafficPolicy;
  const subset = rule?.subsets.find(({ name }) => name === subsetName)?.trafficPolicy;
  const tcp = top?.connectionPool?.tcp;
  const tunnel = subsetName === "" ? top?.tunnel : subset?.tunnel;
  return {
    idleTimeout: durationJson(tcp?.idleTimeout),
    maxDuration: durationJson(tcp?.maxConnectionDuration),
    hashPolicy: tcpHashPolicy((subset?.loadBalancer ?? top?.loadBalancer)?.consistentHash),
    tunnelingConfig: tunnel && tunnelingConfig(tunnel),
  };
}

function tunnelingConfig({ targetHost = "", targetPort = 0, protocol }: Tunnel): JsonObject {
  const host = targetHost.includes(":") ? `[${targetHost}]` : targetHost;
  return compact({ hostname: `${host}:${targetPort}`, usePost: protocol === "POST" ? true : undefined });
}

function chainJson(
  sni: readonly string[],
  cidrs: readonly string[],
  filters: readonly JsonObject[],
  virtualService: VirtualService | undefined,
): JsonObject {
  const match = compact({
    serverNames: sni.length === 0 ? undefined : sni,
    prefixRanges: cidrs.length === 0 ? undefined : cidrs.map(prefixRange),
  });
  return compact({
    filterChainMatch: Object.keys(match).length === 0 ? undefined : match,
    filters,
    transportSocketConnectTimeout: "15s",
    metadata: virtualService === undefined ? undefined : configMetadata(virtualService.object),
  });
}

function prefixRange(cidr: string): JsonObject {
  const [addressPrefix = WILDCARD_ADDRESS, length] = cidr.split("/");
  const bits = length === undefined ? (addressPrefix.includes(":") ? 128 : 32) : Number(length);
  return { addressPrefix, prefixLen: bits };
}
