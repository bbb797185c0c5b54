/** The ports of a workload: those that services name, or those of its Sidecar's `ingress` (rules 9, 93). */
import type { MeshObject } from "../model/object.ts";
import { protocolFromName } from "../model/protocol.ts";
import type { ServiceModel, ServicePort, WorkloadInstance } from "../model/service.ts";
import { isEmptySelector, selects } from "./labels.ts";
import { memoized } from "./memo.ts";
import { WILDCARD_ADDRESS } from "./names.ts";
import type { ConnectionPool } from "./spec/destination-rule.ts";
import type { SidecarIngress, SidecarSpec } from "./spec/sidecar.ts";
import { specOf } from "./spec/spec.ts";
import type { View } from "./view.ts";

export interface InboundPort {
  /** Container port. */
  readonly targetPort: number;
  readonly port: ServicePort;
  /** Undefined for a port that no service names. */
  readonly service: ServiceModel | undefined;
  /** What its filter chains are called after: `<address>_<port>`. */
  readonly address: string;
  /** A listener of its own, instead of chains in `virtualInbound`. */
  readonly isBound: boolean;
  /** Where the application is; undefined: where the client dialled. */
  readonly endpoint: InboundEndpoint | undefined;
  /** In place of the DestinationRule's. */
  readonly pool: ConnectionPool | undefined;
  /** The Sidecar object that describes the port. */
  readonly sidecar: MeshObject | undefined;
}

export type InboundEndpoint =
  | { readonly kind: "ip"; readonly address: string; readonly port: number }
  | { readonly kind: "pipe"; readonly path: string };

/** Sorted by target port. */
export function inboundPorts(view: View): readonly InboundPort[] {
  const { sidecar } = view.scope;
  const spec = sidecar === undefined ? undefined : specOf<SidecarSpec>(sidecar);
  const ingress = spec?.ingress ?? [];
  const ofServices = servicePorts(view, spec?.inboundConnectionPool);
  if (sidecar === undefined || ingress.length === 0) return ofServices;
  return ingress
    .map((item) => ingressPort(view, item, sidecar, spec?.inboundConnectionPool, ofServices))
    .toSorted((a, b) => a.targetPort - b.targetPort);
}

/** One port of a service that the workload stands behind. */
export interface ServiceTarget {
  readonly service: ServiceModel;
  readonly port: ServicePort;
  /** Container port. */
  readonly targetPort: number;
}

/** All ports of all services, oldest service first; Istio captures TCP on a UDP port, too. */
export const serviceTargets: (view: View) => readonly ServiceTarget[] = memoized(
  (view: View): readonly ServiceTarget[] => {
    const { workload } = view;
    if (workload === undefined) return [];
    return view.mesh.services
      .filter((service) => isBehind(workload, service, view))
      .flatMap((service) =>
        service.ports.flatMap((port) => {
          const targetPort = targetPortOf(workload, service, port);
          return targetPort === undefined ? [] : [{ service, port, targetPort }];
        }),
      );
  },
);

function servicePorts(view: View, pool: ConnectionPool | undefined): readonly InboundPort[] {
  const byTarget = new Map<number, InboundPort>();
  for (const { service, port, targetPort } of serviceTargets(view)) {
    if (byTarget.has(targetPort)) continue;
    byTarget.set(targetPort, {
      targetPort,
      port,
      service,
      address: WILDCARD_ADDRESS,
      isBound: false,
      endpoint: undefined,
      pool,
      sidecar: undefined,
    });
  }
  return [...byTarget.values()].toSorted((a, b) => a.targetPort - b.targetPort);
}

function ingressPort(
  view: View,
  item: SidecarIngress,
  sidecar: MeshObject,
  pool: ConnectionPool | undefined,
  ofServices: readonly InboundPort[],
): InboundPort {
  const number = item.port?.number ?? 0;
  const bind = item.bind ?? "";
  const captures = item.captureMode !== "NONE" && view.proxy.interceptionMode !== "NONE";
  const [own = WILDCARD_ADDRESS] = view.proxy.ipAddresses;
  return {
    targetPort: number,
    port: {
      number,
      name: item.port?.name ?? "",
      protocol: protocolFromName(item.port?.protocol ?? ""),
      targetPort: number,
    },
    service: ofServices.find((known) => known.targetPort === number)?.service,
    address: bind === "" ? own : bind,
    isBound: !captures,
    endpoint: endpointOf(item.defaultEndpoint ?? "", own),
    pool: item.connectionPool ?? pool,
    sidecar,
  };
}

/** `127.0.0.1:port`, `0.0.0.0:port` (the workload's own address), `unix:///path`. */
function endpointOf(text: string, own: string): InboundEndpoint | undefined {
  if (text.startsWith("unix://")) return { kind: "pipe", path: text.slice("unix://".length) };
  const colon = text.lastIndexOf(":");
  if (colon < 0) return undefined;
  const address = text.slice(0, colon).replace(/^\[|\]$/g, "");
  const isAny = address === WILDCARD_ADDRESS || address === "::";
  return { kind: "ip", address: isAny ? own : address, port: Number(text.slice(colon + 1)) };
}

function isBehind(workload: WorkloadInstance, service: ServiceModel, view: View): boolean {
  if (service.namespace !== workload.namespace || service.resolution === "alias") return false;
  if (!isEmptySelector(service.selector)) return selects(service.selector, workload.labels);
  return view.mesh.instancesOf(service).some((instance) => instance.workload === workload);
}

function targetPortOf(workload: WorkloadInstance, service: ServiceModel, port: ServicePort): number | undefined {
  if (service.origin === "service-entry" && workload.origin !== "pod") {
    const own = workload.namedPorts[port.name];
    if (own !== undefined) return own;
  }
  return typeof port.targetPort === "number" ? port.targetPort : workload.namedPorts[port.targetPort];
}
