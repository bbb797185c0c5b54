/** `virtualInbound`: what is sent to the workload (§4.3). */
import { listenerAccessLogs } from "./access-log.ts";
import { durationFromMs } from "./duration.ts";
import { inboundChains, inspectorsOf } from "./inbound-filter-chains.ts";
import { type InboundPort, inboundPorts } from "./inbound-ports.ts";
import { compact, type JsonObject } from "./json.ts";
import { capturePort, isTransparent } from "./capture.ts";
import {
  exceptPorts,
  httpInspector,
  onlyPorts,
  originalDestination,
  originalSource,
  tlsInspector,
} from "./listener-filters.ts";
import { BLACK_HOLE, configMetadata, INBOUND_PASSTHROUGH, inboundCluster, WILDCARD_ADDRESS } from "./names.ts";
import { metadataExchange, statsFilter, tcpProxy } from "./network-filters.ts";
import { type MtlsMode, mtlsModeOfPort, mtlsOf, type WorkloadMtls } from "./peer-authentication.ts";
import { listenerProtocol } from "./protocols.ts";
import { balance, proxyOptions } from "./proxy-options.ts";
import { inboundDenial } from "./security-policies.ts";
import type { View } from "./view.ts";

export function workloadMtls(view: View): WorkloadMtls {
  return mtlsOf(view.mesh, view.proxy.namespace, view.workload?.labels ?? view.labels);
}

/** Absent without interception. */
export function virtualInbound(view: View): JsonObject | undefined {
  if (view.proxy.interceptionMode === "NONE") return undefined;
  const mtls = workloadMtls(view);
  const ports = inboundPorts(view).filter(({ isBound }) => !isBound);
  return compact({
    name: "virtualInbound",
    address: { socketAddress: { address: WILDCARD_ADDRESS, portValue: capturePort(view, "inbound") } },
    transparent: isTransparent(view),
    filterChains: [
      blackHole(view),
      ...passthroughChains(view, mtls.mode, undefined),
      ...extraPorts(mtls, ports).flatMap((port) => passthroughChains(view, mtlsModeOfPort(mtls, port), port)),
      ...ports.flatMap((port) => chainsOfPort(view, port, mtls)),
    ],
    connectionBalanceConfig: balance(proxyOptions(view).balancesInbound),
    listenerFilters: [
      originalDestination(),
      ...(isTransparent(view) === true ? [originalSource()] : []),
      ...inspectors(captureNeeds(view, mtls, ports), inspectorsOf(mtls.mode, "auto")),
    ],
    listenerFiltersTimeout: durationFromMs(view.mesh.meshConfig.protocolDetectionTimeoutMs),
    continueOnListenerFiltersTimeout: true,
    maxConnectionsToAcceptPerSocketEvent: 1,
    trafficDirection: "INBOUND",
    accessLog: listenerAccessLogs(view, "inbound"),
  });
}

/** Who dials the capture port itself would loop. */
function blackHole(view: View): JsonObject {
  return {
    name: "virtualInbound-blackhole",
    filterChainMatch: { destinationPort: capturePort(view, "inbound") },
    filters: [
      ...(metadataExchange(view) ?? []),
      ...statsFilter(view, "inbound"),
      tcpProxy(view, {
        direction: "inbound",
        statPrefix: BLACK_HOLE,
        target: { cluster: BLACK_HOLE },
        isLogged: false,
      }),
    ],
  };
}

/** Ports that no service names, sent on to where they were dialled (rule 94). */
function passthroughChains(view: View, mode: MtlsMode, destinationPort: number | undefined): readonly JsonObject[] {
  return inboundChains(view, {
    name: "virtualInbound",
    mode,
    protocol: "auto",
    portProtocol: "auto",
    cluster: INBOUND_PASSTHROUGH,
    port: destinationPort ?? 0,
    servicePort: 0,
    serviceHost: "",
    httpStatPrefix: `${INBOUND_PASSTHROUGH};`,
    destinationPort,
    denial: inboundDenial(view),
  });
}

/** Ports with a mode of their own that no service names. */
function extraPorts(mtls: WorkloadMtls, ports: readonly InboundPort[]): readonly number[] {
  const named = new Set(ports.map(({ targetPort }) => targetPort));
  return [...mtls.ports.keys()].filter((port) => !named.has(port)).toSorted((a, b) => a - b);
}

function chainsOfPort(view: View, inbound: InboundPort, mtls: WorkloadMtls): readonly JsonObject[] {
  const name = `${inbound.address}_${inbound.targetPort}`;
  return inboundChains(view, {
    name,
    mode: mtlsModeOfPort(mtls, inbound.targetPort),
    protocol: listenerProtocol(inbound.port.protocol),
    portProtocol: inbound.port.protocol,
    cluster: inboundCluster(inbound.targetPort),
    port: inbound.targetPort,
    servicePort: inbound.port.number,
    serviceHost: inbound.service?.host ?? "",
    httpStatPrefix: `inbound_${name};`,
    destinationPort: inbound.targetPort,
    denial: inboundDenial(view),
    metadata: inbound.sidecar && configMetadata(inbound.sidecar),
  });
}

/** `ingress` of a Sidecar that binds: a listener of its own (rule 9). */
export function boundInbound(view: View): readonly JsonObject[] {
  const mtls = workloadMtls(view);
  return inboundPorts(view)
    .filter(({ isBound, sidecar }) => isBound && sidecar !== undefined)
    .map((inbound) => {
      const filters = inspectors([need(mtls, inbound)], { tls: false, http: false });
      return compact({
        name: `${inbound.address}_${inbound.targetPort}`,
        address: { socketAddress: { address: inbound.address, portValue: inbound.targetPort } },
        filterChains: chainsOfPort(view, inbound, mtls),
        listenerFilters: filters.length === 0 ? undefined : filters,
        listenerFiltersTimeout: durationFromMs(view.mesh.meshConfig.protocolDetectionTimeoutMs),
        continueOnListenerFiltersTimeout: true,
        maxConnectionsToAcceptPerSocketEvent: 1,
        trafficDirection: "INBOUND",
        accessLog: listenerAccessLogs(view, "inbound"),
      });
    });
}

interface Inspection {
  readonly tls: boolean;
  readonly http: boolean;
}

function need(mtls: WorkloadMtls, { targetPort, port }: InboundPort): Inspection & { readonly port: number } {
  return { port: targetPort, ...inspectorsOf(mtlsModeOfPort(mtls, targetPort), listenerProtocol(port.protocol)) };
}

function captureNeeds(
  view: View,
  mtls: WorkloadMtls,
  ports: readonly InboundPort[],
): readonly (Inspection & { port: number })[] {
  return [
    ...ports.map((port) => need(mtls, port)),
    ...extraPorts(mtls, ports).map((port) => ({ port, ...inspectorsOf(mtlsModeOfPort(mtls, port), "auto") })),
    { port: capturePort(view, "inbound"), tls: false, http: false },
  ];
}

/** Each inspector is there if some chain needs it, and off for the ports that do not. */
function inspectors(
  needs: readonly (Inspection & { readonly port: number })[],
  elsewhere: Inspection,
): readonly JsonObject[] {
  const different = (of: (inspection: Inspection) => boolean): readonly number[] =>
    needs.filter((item) => of(item) !== of(elsewhere)).map(({ port }) => port);
  const tls = gated(
    different((item) => item.tls),
    elsewhere.tls,
  );
  const http = gated(
    different((item) => item.http),
    elsewhere.http,
  );
  return [
    ...(tls.isThere ? [tlsInspector(tls.filterDisabled)] : []),
    ...(http.isThere ? [httpInspector(http.filterDisabled)] : []),
  ];
}

/** `different`: the ports whose need is not that of all others. */
function gated(
  different: readonly number[],
  isDefault: boolean,
): { readonly isThere: boolean; readonly filterDisabled?: JsonObject } {
  const filterDisabled = isDefault ? exceptPorts(different) : onlyPorts(different);
  return { isThere: isDefault || different.length > 0, ...(filterDisabled !== undefined && { filterDisabled }) };
}
