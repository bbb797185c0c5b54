/** Which workloads stand behind a service, on which address and port. */
import type { ServiceInstance } from "./mesh-index.ts";
import type { MeshObject } from "./object.ts";
import { fieldsOf, listOf, matchesLabels, numberOf, stringOf } from "./read-fields.ts";
import type { ServiceModel, ServicePort, WorkloadInstance } from "./service.ts";
import { workloadFromEndpoint, workloadWithoutPod, type PodSurroundings } from "./workloads.ts";

/** What instances are found among, indexed once. */
export interface InstanceSources {
  /** Pods and WorkloadEntries by namespace. */
  readonly workloadsByNamespace: ReadonlyMap<string, readonly WorkloadInstance[]>;
  readonly podByKey: ReadonlyMap<string, WorkloadInstance>;
  readonly podByAddress: ReadonlyMap<string, WorkloadInstance>;
  /** EndpointSlices by `namespace/service`. */
  readonly slices: ReadonlyMap<string, readonly MeshObject[]>;
  /** Endpoints objects by `namespace/name`. */
  readonly endpoints: ReadonlyMap<string, MeshObject>;
  readonly around: PodSurroundings;
}

/** All ports, in the order of the service's ports. */
export function instancesOfService(service: ServiceModel, sources: InstanceSources): readonly ServiceInstance[] {
  return service.origin === "kubernetes"
    ? kubernetesInstances(service, sources)
    : serviceEntryInstances(service, sources);
}

function kubernetesInstances(service: ServiceModel, sources: InstanceSources): readonly ServiceInstance[] {
  const key = `${service.namespace}/${service.name}`;
  const slices = sources.slices.get(key) ?? [];
  const endpoints = sources.endpoints.get(key);
  const selected = selectedWorkloads(service, sources);
  // A Service selects WorkloadEntries as well, whatever says where its Pods are (rule 92).
  const entries = selected.filter(({ origin }) => origin === "workload-entry");
  const fromEntries = entries.flatMap((workload) => instancesOfWorkload(service, workload));
  if (slices.length > 0)
    return [...slices.flatMap((slice) => instancesOfSlice(service, slice, sources)), ...fromEntries];
  if (endpoints !== undefined) return [...instancesOfEndpoints(service, endpoints, sources), ...fromEntries];
  return selected.flatMap((workload) => instancesOfWorkload(service, workload));
}

function serviceEntryInstances(service: ServiceModel, sources: InstanceSources): readonly ServiceInstance[] {
  if (service.selector !== undefined) {
    return selectedWorkloads(service, sources).flatMap((workload) => instancesOfWorkload(service, workload));
  }
  const inline = listOf(fieldsOf(service.object.spec)["endpoints"]).map(fieldsOf);
  const isDns = service.resolution === "dns" || service.resolution === "dns-round-robin";
  if (inline.length === 0 && isDns) {
    // The host itself is the endpoint (rule 91).
    const workload = workloadFromEndpoint({ address: service.host }, service.object, sources.around);
    return service.ports.map((port) => instanceOf(workload, port, service.host, numericTarget(port) ?? port.number));
  }
  return inline.flatMap((endpoint, index) => {
    const workload = workloadFromEndpoint(endpoint, service.object, sources.around, index);
    return instancesOfWorkload(service, workload, numberOf(endpoint["weight"]));
  });
}

function selectedWorkloads(service: ServiceModel, sources: InstanceSources): readonly WorkloadInstance[] {
  const { selector } = service;
  if (selector === undefined || Object.keys(selector).length === 0) return [];
  const candidates = sources.workloadsByNamespace.get(service.namespace) ?? [];
  return candidates.filter((workload) => matchesLabels(selector, workload.labels));
}

function instancesOfWorkload(
  service: ServiceModel,
  workload: WorkloadInstance,
  weight?: number,
): readonly ServiceInstance[] {
  const instances: ServiceInstance[] = [];
  const own =
    weight ?? (workload.origin === "workload-entry" ? numberOf(fieldsOf(workload.object.spec)["weight"]) : undefined);
  for (const port of service.ports) {
    if (port.protocol === "UDP") continue;
    const number = portOnWorkload(service, port, workload);
    if (number === undefined) continue;
    for (const address of workload.addresses) {
      instances.push(instanceOf(workload, port, address, address.startsWith("unix://") ? 0 : number, own));
    }
  }
  return instances;
}

/** A named targetPort that the workload lacks gives no endpoint. */
function portOnWorkload(service: ServiceModel, port: ServicePort, workload: WorkloadInstance): number | undefined {
  const { targetPort } = port;
  if (workload.origin === "pod") return typeof targetPort === "string" ? workload.namedPorts[targetPort] : targetPort;
  // Entries map the service port's name; a Service's named targetPort is looked up among their ports, too.
  const mapped = workload.namedPorts[port.name];
  if (mapped !== undefined && mapped > 0) return mapped;
  if (typeof targetPort === "number") return targetPort;
  return workload.namedPorts[targetPort] ?? (service.origin === "kubernetes" ? port.number : undefined);
}

function instancesOfSlice(
  service: ServiceModel,
  slice: MeshObject,
  sources: InstanceSources,
): readonly ServiceInstance[] {
  const instances: ServiceInstance[] = [];
  for (const endpoint of listOf(slice.raw["endpoints"]).map(fieldsOf)) {
    const conditions = fieldsOf(endpoint["conditions"]);
    const isReady = conditions["ready"] !== false;
    // What is not ready, and not said to stay, is on its way out.
    const isTerminating = !isReady && conditions["terminating"] !== false;
    for (const address of listOf(endpoint["addresses"]).filter((item) => typeof item === "string")) {
      const workload = workloadAt(address, fieldsOf(endpoint["targetRef"]), service, sources);
      if (workload === undefined) continue;
      for (const [port, number] of portsOf(service, slice.raw["ports"])) {
        instances.push({ ...instanceOf(workload, port, address, number), ready: isReady, terminating: isTerminating });
      }
    }
  }
  return instances;
}

function instancesOfEndpoints(
  service: ServiceModel,
  object: MeshObject,
  sources: InstanceSources,
): readonly ServiceInstance[] {
  const instances: ServiceInstance[] = [];
  for (const subset of listOf(object.raw["subsets"]).map(fieldsOf)) {
    const ports = portsOf(service, subset["ports"]);
    for (const [list, isReady] of [
      [subset["addresses"], true],
      [subset["notReadyAddresses"], false],
    ] as const) {
      for (const item of listOf(list).map(fieldsOf)) {
        const address = stringOf(item["ip"]);
        if (address === undefined) continue;
        const workload = workloadAt(address, fieldsOf(item["targetRef"]), service, sources);
        if (workload === undefined) continue;
        for (const [port, number] of ports) {
          instances.push({ ...instanceOf(workload, port, address, number), ready: isReady });
        }
      }
    }
  }
  return instances;
}

/** An endpoint belongs to a service port by the port's name. */
function portsOf(service: ServiceModel, ports: unknown): readonly (readonly [ServicePort, number])[] {
  const pairs: (readonly [ServicePort, number])[] = [];
  for (const port of listOf(ports).map(fieldsOf)) {
    const number = numberOf(port["port"]);
    const servicePort = service.ports.find(({ name }) => name === (stringOf(port["name"]) ?? ""));
    if (number !== undefined && servicePort !== undefined && servicePort.protocol !== "UDP")
      pairs.push([servicePort, number]);
  }
  return pairs;
}

/** The Pod that an endpoint names; an endpoint that names a Pod which is not there waits for it. */
function workloadAt(
  address: string,
  target: Readonly<Record<string, unknown>>,
  service: ServiceModel,
  sources: InstanceSources,
): WorkloadInstance | undefined {
  const name = stringOf(target["name"]);
  if (target["kind"] === "Pod" && name !== undefined) {
    return sources.podByKey.get(`${stringOf(target["namespace"]) ?? service.namespace}/${name}`);
  }
  return sources.podByAddress.get(address) ?? workloadWithoutPod(address, service.object, sources.around);
}

function numericTarget(port: ServicePort): number | undefined {
  return typeof port.targetPort === "number" ? port.targetPort : undefined;
}

function instanceOf(
  workload: WorkloadInstance,
  port: ServicePort,
  address: string,
  number: number,
  weight?: number,
): ServiceInstance {
  return {
    workload,
    portName: port.name,
    servicePort: port.number,
    address,
    port: number,
    ready: workload.isReady,
    terminating: false,
    weight: Math.max(1, weight ?? 1),
  };
}
