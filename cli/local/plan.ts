/** Which processes a set of manifests asks for: pure, objects in, plan out. */
import type { MeshObject } from "#control-plane/model/object.ts";
import { isGatewayInstance, missingGateways, portsOfGateway, serversOf } from "./gateways.ts";
import type { LocalMesh } from "./local-mesh.ts";
import { type Plan, type PlannedInstance, type PlannedPort, type PlannedService, selects } from "./planned.ts";

/** Replicas beyond this are cut: one machine plays the cluster. */
export const MAX_REPLICAS = 5;

type Struct = Readonly<Record<string, unknown>>;

/** Objects of any kinds, in any order. Replica counts default to 1; Pods that a controller would own are taken as they are. */
export function planWorkloads(objects: readonly MeshObject[], local: LocalMesh): Plan {
  const written = objects.filter((object) => object.group === "" && object.kind === "Service").map(readService);
  const namespaces = new Map(
    objects
      .filter((object) => object.group === "" && object.kind === "Namespace")
      .map((object) => [object.metadata.name, object]),
  );
  const instances: PlannedInstance[] = [];
  for (const object of objects) {
    const ownerKind = ownerOf(object);
    if (ownerKind === undefined) continue;
    const spec = struct(object.spec);
    const template = ownerKind === "Pod" ? { metadata: object.metadata, spec } : struct(spec["template"]);
    const replicas = ownerKind === "Pod" ? 1 : Math.min(Number(spec["replicas"] ?? 1), MAX_REPLICAS);
    for (let ordinal = 0; ordinal < replicas; ordinal++) {
      const instance = planInstance(object, ownerKind, template, ordinal, written, namespaces, local);
      instances.push(
        isGatewayInstance(instance, objects) ? { ...instance, isGateway: true, hasSidecar: true } : instance,
      );
    }
  }
  const missing = missingGateways(objects, instances, written);
  const services = [...written, ...missing.services];
  return {
    services,
    instances: [...instances, ...missing.instances].map((instance) =>
      instance.isGateway ? withServers(instance, objects, services) : instance,
    ),
  };
}

function withServers(
  instance: PlannedInstance,
  objects: readonly MeshObject[],
  services: readonly PlannedService[],
): PlannedInstance {
  const servers = serversOf(instance, objects, services);
  const known = portsOf([], instance.labels, instance.namespace, services);
  return { ...instance, servers, ports: portsOfGateway(servers, [...instance.ports, ...known]) };
}

function ownerOf(object: MeshObject): PlannedInstance["ownerKind"] | undefined {
  if (object.group === "apps" && object.kind === "Deployment") return "Deployment";
  if (object.group === "apps" && object.kind === "StatefulSet") return "StatefulSet";
  if (object.group === "" && object.kind === "Pod") return "Pod";
  return undefined;
}

function planInstance(
  object: MeshObject,
  ownerKind: PlannedInstance["ownerKind"],
  template: Struct,
  ordinal: number,
  services: readonly PlannedService[],
  namespaces: ReadonlyMap<string, MeshObject>,
  local: LocalMesh,
): PlannedInstance {
  const { name, namespace } = object.metadata;
  const meta = struct(template["metadata"]);
  const spec = struct(template["spec"]);
  const labels = texts(meta["labels"]);
  const annotations = texts(meta["annotations"]);
  const containers = list(spec["containers"]).map(struct);
  return {
    workload: name,
    ownerKind,
    pod: ownerKind === "Pod" ? name : `${name}-${ordinal}`,
    namespace,
    labels,
    annotations,
    serviceAccount: typeof spec["serviceAccountName"] === "string" ? spec["serviceAccountName"] : "default",
    hasSidecar: isInjected(labels, annotations, spec, namespaces.get(namespace)),
    isGateway: false,
    ports: portsOf(containers, labels, namespace, services),
    env: envOf(containers),
    local: local.workloads.get(`${namespace}/${name}`) ?? local.workloads.get(name),
  };
}

/** The injector's decision, with one difference: a namespace without a label is injected (`up` is for meshes). */
function isInjected(
  labels: Readonly<Record<string, string>>,
  annotations: Readonly<Record<string, string>>,
  spec: Struct,
  namespace: MeshObject | undefined,
): boolean {
  if (spec["hostNetwork"] === true) return false;
  const own = labels["sidecar.istio.io/inject"] ?? annotations["sidecar.istio.io/inject"];
  if (own !== undefined) return own === "true";
  return namespace?.metadata.labels["istio-injection"] !== "disabled";
}

/** Declared container ports, and target ports of the Services that select it (many manifests declare only those). */
function portsOf(
  containers: readonly Struct[],
  labels: Readonly<Record<string, string>>,
  namespace: string,
  services: readonly PlannedService[],
): readonly PlannedPort[] {
  const ports = new Map<number, string>();
  for (const container of containers) {
    for (const port of list(container["ports"]).map(struct)) {
      if (typeof port["containerPort"] !== "number" || port["protocol"] === "UDP") continue;
      ports.set(port["containerPort"], typeof port["name"] === "string" ? port["name"] : "");
    }
  }
  for (const service of services) {
    if (service.namespace !== namespace || !selects(service.selector, labels)) continue;
    for (const port of service.ports) {
      if (typeof port.targetPort === "number" && !ports.has(port.targetPort)) ports.set(port.targetPort, port.name);
    }
  }
  return [...ports].map(([number, name]) => ({ number, name })).toSorted((a, b) => a.number - b.number);
}

function readService(object: MeshObject): PlannedService {
  const spec = struct(object.spec);
  const { name, namespace } = object.metadata;
  return {
    name,
    namespace,
    host: `${name}.${namespace}.svc.cluster.local`,
    selector: spec["selector"] === undefined ? undefined : texts(spec["selector"]),
    ports: list(spec["ports"])
      .map(struct)
      .filter((port) => typeof port["port"] === "number" && port["protocol"] !== "UDP")
      .map((port) => ({
        name: typeof port["name"] === "string" ? port["name"] : "",
        number: Number(port["port"]),
        targetPort:
          typeof port["targetPort"] === "string" || typeof port["targetPort"] === "number"
            ? port["targetPort"]
            : Number(port["port"]),
        protocol: "TCP",
        appProtocol: typeof port["appProtocol"] === "string" ? port["appProtocol"] : undefined,
      })),
  };
}

function envOf(containers: readonly Struct[]): Readonly<Record<string, string>> {
  const env: Record<string, string> = {};
  for (const container of containers) {
    for (const entry of list(container["env"]).map(struct)) {
      if (
        typeof entry["name"] === "string" &&
        (typeof entry["value"] === "string" || typeof entry["value"] === "number")
      ) {
        env[entry["name"]] ??= String(entry["value"]);
      }
    }
  }
  return env;
}

function struct(value: unknown): Struct {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Struct) : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function texts(value: unknown): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(struct(value)).map(([key, text]) => [key, String(text)]));
}
