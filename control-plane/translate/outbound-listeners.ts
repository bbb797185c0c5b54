/** What the application calls: one listener a port or an address (rules 83–86). */
import { listenerAccessLogs } from "./access-log.ts";
import { durationFromMs } from "./duration.ts";
import { hostsMatch, HostTable } from "./hosts.ts";
import { httpConnectionManager } from "./http-connection-manager.ts";
import { compact, type JsonObject } from "./json.ts";
import { protocolFromName } from "../model/protocol.ts";
import { httpInspector, tlsInspector } from "./listener-filters.ts";
import { BLACK_HOLE, HTTP_PROXY_ROUTE, WILDCARD_ADDRESS } from "./names.ts";
import { statsFilter, tcpProxy } from "./network-filters.ts";
import { listenerProtocol } from "./protocols.ts";
import { type EgressListener, instancesOfPort, type ScopedPort, type ScopedService } from "./scope.ts";
import { balance, proxyOptions } from "./proxy-options.ts";
import { unknownTrafficCluster } from "./egress-proxy.ts";
import { capturePort, isTransparent } from "./capture.ts";
import { allPhases, networkExtensions } from "./traffic-extensions.ts";
import { addressesFor } from "./service-addresses.ts";
import { type TcpChain, tcpChains } from "./tcp-chains.ts";
import { hasExtension, report, type View } from "./view.ts";
import type { VirtualService } from "./virtual-service.ts";

const LOCALHOST = "127.0.0.1";

/** All outbound listeners but `virtualOutbound`. */
export function outboundListeners(view: View): readonly JsonObject[] {
  const plans = new Map<string, ListenerPlan>();
  for (const egress of view.scope.egress) addServices(view, egress, plans);
  const result = [...plans.values()].map((plan) => listenerJson(view, plan));
  const proxy = httpProxyListener(view);
  return proxy === undefined ? result : [...result, proxy];
}

/** One listener in the making. */
interface ListenerPlan {
  readonly bind: string;
  readonly port: number;
  readonly captures: boolean;
  /** Route configuration, if HTTP is served. */
  rds: string | undefined;
  isGrpcWeb: boolean;
  readonly chains: TcpChain[];
}

/** A listener with a port is made for that port; one without makes what no other has made before (rule 8). */
function addServices(view: View, egress: EgressListener, plans: Map<string, ListenerPlan>): void {
  const locked = new Set(plans.keys());
  const virtualServices = tcpOwners(egress);
  const captures = egress.captures && view.proxy.interceptionMode !== "NONE";
  const explicit = egress.port === undefined ? undefined : protocolFromName(egress.port.protocol ?? "");
  const wildcard = egress.bind ?? (captures ? WILDCARD_ADDRESS : LOCALHOST);
  for (const service of egress.services) {
    for (const port of explicit === undefined ? service.ports : service.ports.slice(0, 1)) {
      const number = egress.port?.number ?? port.number;
      const protocol = explicit ?? port.protocol;
      if (protocol === "UDP") continue;
      if (listenerProtocol(protocol) === "http") {
        if (egress.port === undefined && locked.has(`${wildcard}_${number}`)) continue;
        const plan = planAt(plans, wildcard, number, captures);
        if (plan.rds === undefined && protocol === "GRPC-Web") addGrpcWeb(view, plan, service);
        plan.rds ??= String(number);
        continue;
      }
      for (const bind of bindsOf(view, service, port, captures, egress)) {
        if (egress.port === undefined && locked.has(`${bind.address}_${number}`)) continue;
        addTcp(
          view,
          planAt(plans, bind.address, number, captures),
          service,
          { ...port, protocol },
          {
            bind,
            virtualService: virtualServices(service.host),
          },
        );
      }
    }
  }
}

/** Without the filter browsers cannot call the port; other clients can. */
function addGrpcWeb(view: View, plan: ListenerPlan, { model }: ScopedService): void {
  plan.isGrpcWeb = true;
  if (hasExtension(view, "envoy.filters.http.grpc_web")) return;
  const message = `${view.proxy.name} has no filter for gRPC-Web: port ${plan.port} is plain gRPC for it.`;
  report(view, "warning", "no-effect", model.object, "spec.ports", message);
}

function planAt(plans: Map<string, ListenerPlan>, bind: string, port: number, captures: boolean): ListenerPlan {
  const key = `${bind}_${port}`;
  const known = plans.get(key);
  if (known !== undefined) return known;
  const plan: ListenerPlan = { bind, port, captures, rds: undefined, isGrpcWeb: false, chains: [] };
  plans.set(key, plan);
  return plan;
}

interface Bind {
  readonly address: string;
  readonly cidrs: readonly string[];
}

/** A headless service has a listener an instance, a CIDR is matched on the wildcard listener (rule 86). */
function bindsOf(
  view: View,
  service: ScopedService,
  port: ScopedPort,
  captures: boolean,
  egress: EgressListener,
): readonly Bind[] {
  const { model } = service;
  if (egress.bind !== undefined) return [{ address: egress.bind, cidrs: [] }];
  if (!captures) return [{ address: LOCALHOST, cidrs: [] }];
  if (model.isHeadless && egress.port === undefined) {
    const own = new Set(view.proxy.ipAddresses);
    const addresses = new Set(instancesOfPort(view.mesh, port).map(({ address }) => address));
    return [...addresses].filter((address) => !own.has(address)).map((address) => ({ address, cidrs: [] }));
  }
  const addresses = addressesFor(view, service).filter((address) => address !== WILDCARD_ADDRESS);
  if (addresses.length === 0) return [{ address: WILDCARD_ADDRESS, cidrs: [] }];
  const cidrs = addresses.filter((address) => address.includes("/"));
  const own = addresses.filter((address) => !address.includes("/"));
  return [
    ...(cidrs.length === 0 ? [] : [{ address: WILDCARD_ADDRESS, cidrs }]),
    ...own.map((address) => ({ address, cidrs: [] })),
  ];
}

interface TcpContext {
  readonly bind: Bind;
  readonly virtualService: VirtualService | undefined;
}

/** Of two chains with the same match the older stays (rule 85). */
function addTcp(view: View, plan: ListenerPlan, service: ScopedService, port: ScopedPort, context: TcpContext): void {
  const isAuto = port.protocol === "auto";
  if (isAuto && plan.bind !== WILDCARD_ADDRESS && plan.chains.length > 0) return;
  if (isAuto) plan.rds ??= plan.bind === WILDCARD_ADDRESS ? String(port.number) : `${service.host}:${port.number}`;
  const chains = tcpChains(view, {
    service,
    port,
    listenPort: plan.port,
    virtualService: context.virtualService,
    hasOwnAddress: plan.bind !== WILDCARD_ADDRESS,
    cidrs: context.bind.cidrs,
  });
  const taken = new Set(plan.chains.map(matchKey));
  plan.chains.push(...chains.filter((chain) => !taken.has(matchKey(chain))));
}

function matchKey({ sni, cidrs }: TcpChain): string {
  return `${sni.toSorted().join(",")}|${cidrs.toSorted().join(",")}`;
}

/** The VirtualService whose tcp and tls rules a host has. */
export function tcpOwners(egress: EgressListener): (host: string) => VirtualService | undefined {
  const table = new HostTable<VirtualService>();
  for (const virtualService of egress.virtualServices) {
    if ((virtualService.spec.tcp ?? []).length === 0 && (virtualService.spec.tls ?? []).length === 0) continue;
    for (const host of virtualService.hosts) table.add(host, virtualService);
  }
  const wide = egress.virtualServices.filter((item) => (item.spec.tls ?? []).length > 0);
  return (host) =>
    table.lookup(host) ??
    (host.startsWith("*") ? wide.find((item) => item.hosts.some((own) => hostsMatch(own, host))) : undefined);
}

const HTTP_MATCH: JsonObject = { transportProtocol: "raw_buffer", applicationProtocols: ["http/1.1", "h2c"] };

function listenerJson(view: View, plan: ListenerPlan): JsonObject {
  const { rds, captures } = plan;
  const name = `${plan.bind}_${plan.port}`;
  const matched = plan.chains.filter((chain) => chain.sni.length > 0 || chain.cidrs.length > 0);
  const unmatched = plan.chains.find((chain) => chain.sni.length === 0 && chain.cidrs.length === 0);
  const isPlainHttp = rds !== undefined && plan.chains.length === 0 && !captures;
  const http = rds === undefined ? [] : [httpChain(view, plan, rds, isPlainHttp)];
  const needsDefault = !isPlainHttp && (rds !== undefined || matched.length > 0);
  const filterChains = [
    ...http,
    ...matched.map(({ json }) => json),
    ...(needsDefault || unmatched === undefined ? [] : [unmatched.json]),
  ];
  const inspectsHttp = rds !== undefined && !isPlainHttp;
  const filters = [
    ...(matched.some((chain) => chain.sni.length > 0) ? [tlsInspector()] : []),
    ...(inspectsHttp ? [httpInspector()] : []),
  ];
  return compact({
    ...listenerFrame(view, name, plan.bind, plan.port, captures),
    listenerFiltersTimeout: inspectsHttp ? durationFromMs(view.mesh.meshConfig.protocolDetectionTimeoutMs) : "0s",
    filterChains,
    defaultFilterChain: needsDefault ? (unmatched?.json ?? passthroughChain(view)) : undefined,
    listenerFilters: filters.length === 0 ? undefined : filters,
  });
}

function listenerFrame(view: View, name: string, address: string, portValue: number, captures: boolean): JsonObject {
  return compact({
    name,
    address: { socketAddress: { address, portValue } },
    bindToPort: captures ? false : undefined,
    connectionBalanceConfig: balance(proxyOptions(view).balancesOutbound),
    maxConnectionsToAcceptPerSocketEvent: captures ? undefined : 1,
    listenerFiltersTimeout: "0s",
    continueOnListenerFiltersTimeout: true,
    trafficDirection: "OUTBOUND",
  });
}

function httpChain(view: View, { bind, port, isGrpcWeb }: ListenerPlan, rds: string, isPlain: boolean): JsonObject {
  return compact({
    filterChainMatch: isPlain ? undefined : HTTP_MATCH,
    filters: [
      ...allPhases(networkExtensions(view, { port, side: "CLIENT" })),
      httpConnectionManager(view, {
        direction: "outbound",
        port,
        statPrefix: `outbound_${bind}_${port};`,
        routes: { rds },
        isGrpcWeb,
      }),
    ],
    transportSocketConnectTimeout: "15s",
  });
}

/** What no chain of the listener wants. */
function passthroughChain(view: View): JsonObject {
  return {
    name: "PassthroughFilterChain",
    filterChainMatch: {},
    filters: unknownTrafficFilters(view),
  };
}

function unknownTrafficFilters(view: View): readonly JsonObject[] {
  const cluster = view.scope.allowsUnknownTraffic ? unknownTrafficCluster(view) : BLACK_HOLE;
  return [
    ...statsFilter(view, "outbound"),
    tcpProxy(view, { direction: "outbound", statPrefix: cluster, target: { cluster } }),
  ];
}

/** Where iptables sends everything; hands over to the listener of the original destination. Absent without interception. */
export function virtualOutbound(view: View): JsonObject | undefined {
  if (view.proxy.interceptionMode === "NONE") return undefined;
  return compact({
    name: "virtualOutbound",
    address: { socketAddress: { address: WILDCARD_ADDRESS, portValue: capturePort(view, "outbound") } },
    transparent: isTransparent(view),
    useOriginalDst: true,
    maxConnectionsToAcceptPerSocketEvent: 1,
    trafficDirection: "OUTBOUND",
    filterChains: [
      {
        name: "virtualOutbound-blackhole",
        filterChainMatch: { destinationPort: capturePort(view, "outbound") },
        filters: [
          ...statsFilter(view, "outbound"),
          tcpProxy(view, {
            direction: "outbound",
            statPrefix: BLACK_HOLE,
            target: { cluster: BLACK_HOLE },
            isLogged: false,
          }),
        ],
      },
      { name: "virtualOutbound-catchall-tcp", filters: unknownTrafficFilters(view) },
    ],
    accessLog: listenerAccessLogs(view, "outbound"),
  });
}

/** The HTTP proxy port of the mesh (`proxyHttpPort`), or of the proxy itself. */
function httpProxyListener(view: View): JsonObject | undefined {
  const port = Number(view.proxy.metadata["HTTP_PROXY_PORT"] ?? view.mesh.meshConfig.raw["proxyHttpPort"] ?? 0);
  if (!Number.isInteger(port) || port <= 0) return undefined;
  const name = `${LOCALHOST}_${port}`;
  return {
    ...listenerFrame(view, name, LOCALHOST, port, false),
    filterChains: [
      {
        filters: [
          ...allPhases(networkExtensions(view, { port, side: "CLIENT" })),
          httpConnectionManager(view, {
            direction: "outbound",
            port,
            statPrefix: `outbound_${name};`,
            routes: { rds: HTTP_PROXY_ROUTE },
            isHttpProxy: true,
          }),
        ],
        transportSocketConnectTimeout: "15s",
      },
    ],
  };
}
