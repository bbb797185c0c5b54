/** Filter chains of a gateway's servers (rules 99, 105, 106). */
import { callLogs } from "./access-log.ts";
import { authorizationFilters } from "./authorization.ts";
import { autoPassthroughChains } from "./gateway-auto-passthrough.ts";
import { type ServerPort } from "./gateway-merge.ts";
import { type GatewayServer, isPlainHttp, passesTlsThrough, terminatesHttps } from "./gateway-server.ts";
import { gatewayTransportSocket } from "./gateway-tls.ts";
import { sharesHosts, virtualServicesOf } from "./gateway-virtual-services.ts";
import { httpConnectionManager } from "./http-connection-manager.ts";
import { byText, compact, type JsonObject } from "./json.ts";
import { BLACK_HOLE } from "./names.ts";
import { metadataExchange, tcpProxy } from "./network-filters.ts";
import { inboundDenial } from "./security-policies.ts";
import { allPhases, networkExtensions } from "./traffic-extensions.ts";
import type { L4Match, RouteDestination, TlsRule } from "./spec/virtual-service.ts";
import { routedFilters } from "./tcp-chains.ts";
import { report, type View } from "./view.ts";
import type { VirtualService } from "./virtual-service.ts";

/** A chain, and whether the first bytes of a connection must be read to pick it. */
export interface GatewayChain {
  readonly json: JsonObject;
  readonly readsTls: boolean;
}

/** SNIs of `tls` rules that are taken, by port and address. */
export type TakenSnis = Map<string, Set<string>>;

/** The chains of one port: one for plaintext HTTP, else one a server, or one a rule where TLS passes through. */
export function gatewayChains(
  view: View,
  port: ServerPort,
  listener: string,
  taken: TakenSnis,
): readonly GatewayChain[] {
  if (isPlainHttp(port)) {
    const filters = httpFilters(view, {
      port: port.number,
      rds: port.routeName,
      statPrefix: `outbound_${listener};`,
      isGrpcWeb: port.protocol === "GRPC-Web",
    });
    return [{ json: chainJson(undefined, [], filters), readsTls: false }];
  }
  return port.servers.flatMap((server) => serverChains(view, server, port.number, listener, taken));
}

function serverChains(
  view: View,
  server: GatewayServer,
  listenPort: number,
  listener: string,
  taken: TakenSnis,
): readonly GatewayChain[] {
  if (terminatesHttps(server)) {
    const name = server.spec.name ?? "";
    const filters = httpFilters(view, {
      port: listenPort,
      rds: server.routeName,
      statPrefix: name === "" ? `outbound_${listener};` : name,
      isGrpcWeb: false,
    });
    return [terminating(view, server, filters)];
  }
  if (passesTlsThrough(server)) {
    return server.tls?.mode === "AUTO_PASSTHROUGH"
      ? autoPassthroughChains(view, server.sniHosts)
      : passthroughChains(view, server, listenPort, taken);
  }
  const filters = tcpFilters(view, server);
  return filters === undefined ? [] : [terminating(view, server, filters)];
}

/** TLS ends here, or there is none. */
function terminating(view: View, server: GatewayServer, filters: readonly JsonObject[]): GatewayChain {
  const socket = gatewayTransportSocket(view, server);
  const sni = server.tls === undefined ? [] : server.sniHosts;
  return { json: chainJson(socket, sni, filters), readsTls: socket !== undefined };
}

interface HttpFiltersInput {
  /** Of the listener. */
  readonly port: number;
  readonly rds: string;
  readonly statPrefix: string;
  readonly isGrpcWeb: boolean;
}

function httpFilters(view: View, { port, rds, statPrefix, isGrpcWeb }: HttpFiltersInput): readonly JsonObject[] {
  const manager = httpConnectionManager(view, {
    direction: "outbound",
    isGateway: true,
    port,
    statPrefix,
    routes: { rds },
    isGrpcWeb,
    authorization: authorizationFilters(view).http,
    extraLogs: callLogs(view),
  });
  return [...allPhases(networkExtensions(view, { port, side: "CLIENT" })), manager];
}

/** Undefined when no `tcp` rule leads anywhere: the server is not there then. */
function tcpFilters(view: View, server: GatewayServer): readonly JsonObject[] | undefined {
  for (const virtualService of virtualServicesOf(view, server.gateway)) {
    if (!sharesHosts(server, virtualService)) continue;
    for (const rule of [...(virtualService.spec.tcp ?? []), ...tlsRoutesOf(virtualService)]) {
      const matches = rule.match ?? [];
      const isFor = matches.length === 0 || matches.some((match) => concerns(match, server, virtualService));
      if (!isFor || (rule.route ?? []).length === 0) continue;
      return guarded(view, server, rule.route ?? [], virtualService);
    }
  }
  report(
    view,
    "warning",
    "no-effect",
    server.object,
    server.path,
    `No tcp rule of a VirtualService on the gateway ${server.gateway} is for port ${server.port} and the server's hosts, so the port is closed.`,
  );
  return undefined;
}

/** The rules of a TLSRoute lead connections also where TLS ends here. */
function tlsRoutesOf({ isGatewayApi, spec }: VirtualService): readonly TlsRule[] {
  return isGatewayApi ? (spec.tls ?? []).filter(({ match }) => (match ?? []).length > 0) : [];
}

/** One chain a match; an SNI that is taken on the port and address is not given again. */
function passthroughChains(
  view: View,
  server: GatewayServer,
  listenPort: number,
  taken: TakenSnis,
): readonly GatewayChain[] {
  const key = `${listenPort}|${server.bind}`;
  const known = taken.get(key) ?? new Set<string>();
  taken.set(key, known);
  const result: GatewayChain[] = [];
  for (const virtualService of virtualServicesOf(view, server.gateway)) {
    if (!sharesHosts(server, virtualService)) continue;
    for (const rule of virtualService.spec.tls ?? []) {
      if ((rule.route ?? []).length === 0) continue;
      for (const match of rule.match ?? []) {
        if (!concerns(match, server, virtualService)) continue;
        const sni = match.sniHosts ?? [];
        const repeated = sni.filter((host) => known.has(host));
        if (repeated.length > 0) {
          const message = `A tls rule for ${repeated.join(", ")} is left out at port ${server.port} of the gateway ${server.gateway}: another has the SNI already.`;
          report(view, "warning", "gateway-conflict", virtualService.object, "spec.tls", message);
          continue;
        }
        for (const host of sni) known.add(host);
        const filters = guarded(view, server, rule.route ?? [], virtualService);
        result.push({ json: chainJson(undefined, sni, filters), readsTls: true });
      }
    }
  }
  return result;
}

/** Who may connect, then where to; a policy that can't be enforced lets nobody through. */
function guarded(
  view: View,
  server: GatewayServer,
  routes: readonly RouteDestination[],
  owner: VirtualService,
): readonly JsonObject[] {
  const isMesh = server.tls?.mode === "ISTIO_MUTUAL";
  const isDenied = inboundDenial(view) !== undefined;
  return [
    ...(isMesh ? (metadataExchange(view) ?? []) : []),
    ...(isDenied
      ? [tcpProxy(view, { direction: "outbound", statPrefix: BLACK_HOLE, target: { cluster: BLACK_HOLE } })]
      : routedFilters(view, {
          routes,
          owner,
          protocol: server.protocol,
          port: server.port,
          authorization: authorizationFilters(view).tcp,
        })),
  ];
}

/** At gateways only port and gateways of a match count (rule 37). */
function concerns(match: L4Match, server: GatewayServer, owner: VirtualService): boolean {
  if (match.port !== undefined && match.port !== 0 && match.port !== server.port) return false;
  const gateways = match.gateways ?? [];
  if (gateways.length === 0) return true;
  return gateways.some((name) => (name.includes("/") ? name : `${owner.namespace}/${name}`) === server.gateway);
}

function chainJson(
  transportSocket: JsonObject | undefined,
  sni: readonly string[],
  filters: readonly JsonObject[],
): JsonObject {
  return compact({
    // `*` is every SNI, and none.
    filterChainMatch: sni.length === 0 || sni.includes("*") ? undefined : { serverNames: sni.toSorted(byText) },
    filters,
    transportSocket,
    transportSocketConnectTimeout: "15s",
  });
}
