/** The ports of a workload that services name: one a target port, the oldest service decides (rule 93). */
import type { ServiceModel, ServicePort, WorkloadInstance } from "../model/service.ts";
import { isEmptySelector, selects } from "./labels.ts";
import type { View } from "./view.ts";

export interface InboundPort {
  /** Container port. */
  readonly targetPort: number;
  readonly port: ServicePort;
  /** Undefined for a port that no service names. */
  readonly service: ServiceModel | undefined;
}

/** Sorted by target port. */
export function inboundPorts(view: View): readonly InboundPort[] {
  const { workload } = view;
  if (workload === undefined) return [];
  const byTarget = new Map<number, InboundPort>();
  for (const service of view.mesh.services) {
    if (!isBehind(workload, service, view)) continue;
    for (const port of service.ports) {
      const targetPort = targetPortOf(workload, service, port);
      if (port.protocol === "UDP" || targetPort === undefined || byTarget.has(targetPort)) continue;
      byTarget.set(targetPort, { targetPort, port, service });
    }
  }
  return [...byTarget.values()].toSorted((a, b) => a.targetPort - b.targetPort);
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
