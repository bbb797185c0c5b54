/**
 * The listeners of a workload that `glassmesh up` has placed on this machine: one an inbound port, one an outbound
 * service port, and an HTTP proxy. There is no interception, so each knows where it leads by its own address.
 */
import { durationFromMs } from "./duration.ts";
import { httpConnectionManager } from "./http-connection-manager.ts";
import { inboundChains, inspectorsOf } from "./inbound-filter-chains.ts";
import { workloadMtls } from "./inbound-listeners.ts";
import { compact, type JsonObject } from "./json.ts";
import { httpInspector, tlsInspector } from "./listener-filters.ts";
import { HTTP_PROXY_ROUTE, inboundCluster } from "./names.ts";
import { type PlacedInboundPort, placedInbound } from "./placed-inbound.ts";
import type { PlacedAddress, PlacedOutbound } from "../model/proxy-node.ts";
import { mtlsModeOfPort } from "./peer-authentication.ts";
import { listenerProtocol } from "./protocols.ts";
import { inboundDenial } from "./security-policies.ts";
import { tcpChains } from "./tcp-chains.ts";
import { allPhases, networkExtensions } from "./traffic-extensions.ts";
import type { View } from "./view.ts";
import { callLogs, listenerAccessLogs } from "./access-log.ts";
import { tcpOwners } from "./outbound-listeners.ts";

export function placedListeners(view: View): readonly JsonObject[] {
  const { placement } = view.proxy;
  if (placement === undefined) return [];
  return [
    ...placedInbound(view).map((port) => inboundListener(view, port)),
    ...placement.outbound
      .map((outbound) => outboundListener(view, outbound))
      .filter((listener) => listener !== undefined),
    httpProxy(view, placement.httpProxy),
  ];
}

function inboundListener(view: View, { inbound, bind }: PlacedInboundPort): JsonObject {
  const { targetPort, port, service } = inbound;
  const mode = mtlsModeOfPort(workloadMtls(view), targetPort);
  const protocol = listenerProtocol(port.protocol);
  const name = `${bind.address}_${targetPort}`;
  const needs = inspectorsOf(mode, protocol);
  return compact({
    ...frame(view, name, bind, "INBOUND"),
    filterChains: inboundChains(view, {
      name,
      mode,
      protocol,
      portProtocol: port.protocol,
      cluster: inboundCluster(targetPort),
      port: targetPort,
      servicePort: port.number,
      serviceHost: service?.host ?? "",
      httpStatPrefix: `inbound_${name};`,
      destinationPort: undefined,
      denial: inboundDenial(view),
      moved: bind.port === targetPort ? undefined : { declared: targetPort },
    }),
    listenerFilters: listOrNone([...(needs.tls ? [tlsInspector()] : []), ...(needs.http ? [httpInspector()] : [])]),
  });
}

/** Undefined for a service that the proxy does not see. */
function outboundListener(view: View, { host, port: number, bind }: PlacedOutbound): JsonObject | undefined {
  const service = view.scope.servicesByHost.get(host);
  const port = service?.ports.find((candidate) => candidate.number === number);
  const [egress] = view.scope.egress;
  if (service === undefined || port === undefined || egress === undefined) return undefined;
  const name = outboundName(view, bind);
  const protocol = listenerProtocol(port.protocol);
  const http = (match: JsonObject | undefined): JsonObject =>
    compact({
      filterChainMatch: match,
      filters: [
        ...allPhases(networkExtensions(view, { port: number, side: "CLIENT" })),
        httpConnectionManager(view, {
          direction: "outbound",
          port: number,
          statPrefix: `outbound_${name};`,
          routes: { rds: `${host}:${number}` },
          isGrpcWeb: port.protocol === "GRPC-Web",
          extraLogs: callLogs(view),
        }),
      ],
      transportSocketConnectTimeout: "15s",
    });
  if (protocol === "http") return { ...frame(view, name, bind, "OUTBOUND"), filterChains: [http(undefined)] };
  const chains = tcpChains(view, {
    service,
    port,
    listenPort: number,
    virtualService: tcpOwners(egress)(host),
    hasOwnAddress: true,
    cidrs: [],
  });
  const matched = chains.filter((chain) => chain.sni.length > 0 || chain.cidrs.length > 0);
  const unmatched = chains.find((chain) => chain.sni.length === 0 && chain.cidrs.length === 0);
  const sniffs = protocol === "auto";
  const isAlone = !sniffs && matched.length === 0;
  return compact({
    ...frame(view, name, bind, "OUTBOUND"),
    filterChains: [
      ...(sniffs ? [http({ transportProtocol: "raw_buffer", applicationProtocols: ["http/1.1", "h2c"] })] : []),
      ...matched.map(({ json }) => json),
      ...(isAlone && unmatched !== undefined ? [unmatched.json] : []),
    ],
    defaultFilterChain: isAlone ? undefined : unmatched?.json,
    listenerFilters: listOrNone([
      ...(matched.some(({ sni }) => sni.length > 0) ? [tlsInspector()] : []),
      ...(sniffs ? [httpInspector()] : []),
    ]),
  });
}

/** Where ports stand for addresses, an inbound listener may have the name already. */
function outboundName(view: View, bind: PlacedAddress): string {
  const name = `${bind.address}_${bind.port}`;
  const inbound = view.proxy.placement?.inbound ?? [];
  return inbound.some((item) => `${item.bind.address}_${item.port}` === name) ? `outbound_${name}` : name;
}

function httpProxy(view: View, bind: PlacedAddress): JsonObject {
  return {
    ...frame(view, HTTP_PROXY_ROUTE, bind, "OUTBOUND"),
    filterChains: [
      {
        filters: [
          httpConnectionManager(view, {
            direction: "outbound",
            port: bind.port,
            statPrefix: HTTP_PROXY_ROUTE,
            routes: { rds: HTTP_PROXY_ROUTE },
            isHttpProxy: true,
            extraLogs: callLogs(view),
          }),
        ],
        transportSocketConnectTimeout: "15s",
      },
    ],
  };
}

function frame(view: View, name: string, bind: PlacedAddress, trafficDirection: "INBOUND" | "OUTBOUND"): JsonObject {
  return compact({
    name,
    address: { socketAddress: { address: bind.address, portValue: bind.port } },
    listenerFiltersTimeout: durationFromMs(view.mesh.meshConfig.protocolDetectionTimeoutMs),
    continueOnListenerFiltersTimeout: true,
    trafficDirection,
    accessLog: listenerAccessLogs(view, trafficDirection === "INBOUND" ? "inbound" : "outbound"),
  });
}

function listOrNone(list: readonly JsonObject[]): readonly JsonObject[] | undefined {
  return list.length === 0 ? undefined : list;
}
