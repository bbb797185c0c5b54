/** Listeners of a gateway: one a port and address (rules 99, 104). */
import { ipFamily } from "../model/ip.ts";
import { listenerAccessLogs } from "./access-log.ts";
import { type GatewayChain, gatewayChains, type TakenSnis } from "./gateway-filter-chains.ts";
import { type ServerPort } from "./gateway-merge.ts";
import { terminatesHttps } from "./gateway-server.ts";
import { serviceTargets } from "./inbound-ports.ts";
import { mergedGateway } from "./gateway-servers.ts";
import { compact, type JsonObject, nonEmpty } from "./json.ts";
import { proxyProtocol, tlsInspector } from "./listener-filters.ts";
import { WILDCARD_ADDRESS } from "./names.ts";
import { balance, gatewayTopology, proxyOptions } from "./proxy-options.ts";
import { report, type View } from "./view.ts";

const FIRST_UNPRIVILEGED_PORT = 1024;

export function gatewayListeners(view: View): readonly JsonObject[] {
  const plans = new Map<string, ListenerPlan>();
  const taken: TakenSnis = new Map();
  for (const port of mergedGateway(view)?.ports ?? []) {
    if (!canBind(view, port)) continue;
    reportHttp3(view, port);
    const name = listenerName(view, port);
    const plan = plans.get(name) ?? { port, chains: [], matches: new Set() };
    plans.set(name, plan);
    for (const chain of gatewayChains(view, port, name, taken)) addChain(view, plan, chain, port);
  }
  // Without a chain nothing could be answered: the port stays closed.
  return [...plans.values()]
    .filter(({ chains }) => chains.length > 0)
    .map(({ port, chains }) => listenerJson(view, port, chains));
}

interface ListenerPlan {
  readonly port: ServerPort;
  readonly chains: GatewayChain[];
  /** What the chains are matched by, one by one. */
  readonly matches: Set<string>;
}

/** Envoy refuses a whole listener for two chains with one match; merging alone does not rule them out. */
function addChain(view: View, plan: ListenerPlan, chain: GatewayChain, { servers, number }: ServerPort): void {
  const { serverNames = [""], applicationProtocols = [] } = (chain.json["filterChainMatch"] ?? {}) as ChainMatch;
  const matches = serverNames.map((name) => `${name}|${applicationProtocols.join(",")}`);
  if (!matches.some((match) => plan.matches.has(match))) {
    for (const match of matches) plan.matches.add(match);
    plan.chains.push(chain);
    return;
  }
  const [server] = servers;
  if (server === undefined) return;
  const what = serverNames.map((name) => name || "everything").join(", ");
  const message = `A filter chain for ${what} is left out at port ${number}: another server or tls rule has it already.`;
  report(view, "warning", "gateway-conflict", server.object, server.path, message);
}

interface ChainMatch {
  readonly serverNames?: readonly string[];
  readonly applicationProtocols?: readonly string[];
}

function listenerName(view: View, { bind, number }: ServerPort): string {
  return `${addressOf(view, bind)}_${number}`;
}

/** Without an address of its own a server is on all of the proxy's family. */
function addressOf({ proxy }: View, bind: string): string {
  if (bind !== "") return bind;
  const { ipAddresses } = proxy;
  const isIpv6Only = ipAddresses.length > 0 && ipAddresses.every((address) => ipFamily(address) === 6);
  return isIpv6Only ? "::" : WILDCARD_ADDRESS;
}

/** A Pod without the right to low ports can't open them; Services lead to higher ones. */
function canBind(view: View, { number, servers }: ServerPort): boolean {
  const said = view.proxy.metadata["UNPRIVILEGED_POD"];
  const isUnprivileged = said === true || said === "true" || said === "1";
  if (!isUnprivileged || number >= FIRST_UNPRIVILEGED_PORT) return true;
  for (const server of servers) {
    const message = `${view.proxy.name} may not open port ${number}: give its Service a targetPort of 1024 or above for port ${server.port}.`;
    report(view, "warning", "no-effect", server.object, `${server.path}.port.number`, message);
  }
  return false;
}

/** Istio serves HTTP/3 beside HTTPS where the Service has a UDP port, once a feature flag is on; here it is not served. */
function reportHttp3(view: View, { servers }: ServerPort): void {
  for (const { service } of serviceTargets(view)) {
    for (const server of servers.filter(terminatesHttps)) {
      if (!service.ports.some(({ number, protocol }) => protocol === "UDP" && number === server.port)) continue;
      const message = `HTTP/3 is not served: the UDP port ${server.port} of Service ${service.namespace}/${service.name} leads nowhere; clients use HTTP/2.`;
      report(view, "warning", "no-effect", server.object, `${server.path}.port`, message);
    }
  }
}

function listenerJson(view: View, port: ServerPort, chains: readonly GatewayChain[]): JsonObject {
  const { balancesOutbound } = proxyOptions(view);
  return compact({
    name: listenerName(view, port),
    address: { socketAddress: placeOf(view, port) },
    filterChains: chains.map(({ json }) => json),
    listenerFilters: nonEmpty([
      ...(gatewayTopology(view).hasProxyProtocol ? [proxyProtocol()] : []),
      ...(chains.some(({ readsTls }) => readsTls) ? [tlsInspector()] : []),
    ]),
    connectionBalanceConfig: balance(balancesOutbound),
    maxConnectionsToAcceptPerSocketEvent: 1,
    trafficDirection: "OUTBOUND",
    accessLog: listenerAccessLogs(view, "outbound"),
  });
}

/** Where the gateway was placed on this machine, else as the Gateway says. */
function placeOf(view: View, { bind, number }: ServerPort): JsonObject {
  const placed = view.proxy.placement?.inbound.find(({ port }) => port === number)?.bind;
  return { address: placed?.address ?? addressOf(view, bind), portValue: placed?.port ?? number };
}
