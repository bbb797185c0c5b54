/** Pods, WorkloadEntries and ServiceEntry endpoints → WorkloadInstance. */
import type { MeshObject } from "./object.ts";
import { fieldsOf, listOf, matchesLabels, numberOf, stringMapOf, stringOf, type Fields } from "./read-fields.ts";
import type { WorkloadInstance } from "./service.ts";

/** What a Pod takes from the objects around it. */
export interface PodSurroundings {
  /** Node by name. */
  readonly nodes: ReadonlyMap<string, MeshObject>;
  /** Deployments, StatefulSets and DaemonSets. */
  readonly controllers: readonly MeshObject[];
  /** Network of an address that names none: the root namespace's label `topology.istio.io/network`, else MeshNetworks. */
  readonly networkOf: (address: string) => string;
  readonly clusterId: string;
}

const TLS_MODE = "security.istio.io/tlsMode";
const NETWORK = "topology.istio.io/network";

export function workloadFromPod(pod: MeshObject, around: PodSurroundings): WorkloadInstance {
  const { name, namespace, labels } = pod.metadata;
  const spec = fieldsOf(pod.spec);
  const status = fieldsOf(pod.raw["status"]);
  const workloadName = workloadNameOfPod(pod, around.controllers);
  const addresses = podAddresses(status);
  return {
    origin: "pod",
    name,
    namespace,
    labels,
    serviceAccount: stringOf(spec["serviceAccountName"]) ?? stringOf(spec["serviceAccount"]) ?? "default",
    addresses,
    namedPorts: namedPortsOf(spec),
    locality: localityOfPod(labels, around.nodes.get(stringOf(spec["nodeName"]) ?? "")),
    network: labels[NETWORK] ?? around.networkOf(addresses[0] ?? ""),
    clusterId: around.clusterId,
    hasSidecar: labels[TLS_MODE] === "istio",
    isReady: isPodReady(status),
    workloadName,
    ...canonical(labels, workloadName),
    object: pod,
  };
}

/** A Pod that has ended, or that has no address yet, receives nothing. */
export function isPodServing(pod: MeshObject): boolean {
  const phase = fieldsOf(pod.raw["status"])["phase"];
  return phase !== "Succeeded" && phase !== "Failed";
}

export function workloadFromEntry(entry: MeshObject, around: PodSurroundings): WorkloadInstance {
  const spec = fieldsOf(entry.spec);
  const labels = { ...entry.metadata.labels, ...stringMapOf(spec["labels"]) };
  return entryInstance(spec, labels, entry.metadata.name, "workload-entry", entry, around);
}

/**
 * An inline endpoint of a ServiceEntry; it takes the labels that it says itself. `index`: its place among the endpoints,
 * which its name ends in.
 */
export function workloadFromEndpoint(
  endpoint: Fields,
  entry: MeshObject,
  around: PodSurroundings,
  index?: number,
): WorkloadInstance {
  const name = index === undefined ? entry.metadata.name : `${entry.metadata.name}-${index}`;
  return entryInstance(endpoint, stringMapOf(endpoint["labels"]), name, "service-entry", entry, around);
}

/** Behind an endpoint that names no Pod: nothing is known but where it is. */
export function workloadWithoutPod(address: string, object: MeshObject, around: PodSurroundings): WorkloadInstance {
  const known = entryInstance({ address }, {}, "", "service-entry", object, around);
  return { ...known, origin: "endpoint", namespace: "", canonicalName: "", canonicalRevision: "" };
}

function entryInstance(
  spec: Fields,
  labels: Readonly<Record<string, string>>,
  name: string,
  origin: "workload-entry" | "service-entry",
  object: MeshObject,
  around: PodSurroundings,
): WorkloadInstance {
  const serviceAccount = stringOf(spec["serviceAccount"]) ?? "";
  const address = stringOf(spec["address"]);
  const tlsMode = labels[TLS_MODE];
  return {
    origin,
    name,
    namespace: object.metadata.namespace,
    labels,
    serviceAccount,
    addresses: address === undefined || address === "" ? [] : [address],
    namedPorts: Object.fromEntries(
      Object.entries(fieldsOf(spec["ports"])).map(([port, number]) => [port, numberOf(number) ?? 0]),
    ),
    locality: localityFromText(stringOf(spec["locality"]) ?? labels["istio-locality"] ?? ""),
    network: stringOf(spec["network"]) || (labels[NETWORK] ?? ""),
    clusterId: around.clusterId,
    hasSidecar: tlsMode === undefined ? serviceAccount !== "" : tlsMode === "istio",
    isReady: true,
    workloadName: name,
    ...canonical(labels, name),
    object,
  };
}

/** `region/zone/subzone`; a label writes dots, since slashes are not allowed there. */
export function localityFromText(text: string): WorkloadInstance["locality"] {
  const [region = "", zone = "", subZone = ""] = text.split(text.includes("/") ? "/" : ".");
  return { region, zone, subZone };
}

function localityOfPod(
  labels: Readonly<Record<string, string>>,
  node: MeshObject | undefined,
): WorkloadInstance["locality"] {
  const own = labels["istio-locality"];
  if (own !== undefined && own !== "") return localityFromText(own);
  const of = (...keys: readonly string[]): string =>
    keys.map((key) => node?.metadata.labels[key]).find((value) => value !== undefined) ?? "";
  return {
    region: of("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"),
    zone: of("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"),
    subZone: of("topology.istio.io/subzone"),
  };
}

function podAddresses(status: Fields): readonly string[] {
  const list = listOf(status["podIPs"])
    .map((item) => stringOf(fieldsOf(item)["ip"]))
    .filter((ip): ip is string => ip !== undefined && ip !== "");
  const single = stringOf(status["podIP"]) ?? "";
  return list.length > 0 ? list : single === "" ? [] : [single];
}

/** Without conditions (a manifest written by hand) a Pod counts as ready. */
function isPodReady(status: Fields): boolean {
  const ready = listOf(status["conditions"])
    .map(fieldsOf)
    .find((condition) => condition["type"] === "Ready");
  return ready === undefined || ready["status"] === "True";
}

function namedPortsOf(spec: Fields): Readonly<Record<string, number>> {
  const ports: [string, number][] = [];
  for (const container of [...listOf(spec["initContainers"]), ...listOf(spec["containers"])]) {
    for (const port of listOf(fieldsOf(container)["ports"])) {
      const { name, containerPort, protocol } = fieldsOf(port);
      if (typeof name === "string" && typeof containerPort === "number" && protocol !== "UDP")
        ports.push([name, containerPort]);
    }
  }
  return Object.fromEntries(ports);
}

/**
 * The controller's name as Istio says it: the owner's (a ReplicaSet's without its template hash, a Job's without its
 * time), else the one Deployment-like object in the namespace that selects the Pod, else the Pod's own name.
 */
function workloadNameOfPod(pod: MeshObject, controllers: readonly MeshObject[]): string {
  const { labels, name, namespace } = pod.metadata;
  const named = labels["service.istio.io/workload-name"];
  if (named !== undefined) return named;
  const metadata = fieldsOf(pod.raw["metadata"]);
  const owner = listOf(metadata["ownerReferences"])
    .map(fieldsOf)
    .find((item) => item["controller"] !== false);
  const ownerName = stringOf(owner?.["name"]);
  if (owner !== undefined && ownerName !== undefined) {
    const hash = labels["pod-template-hash"];
    if (owner["kind"] === "ReplicaSet" && hash !== undefined && ownerName.endsWith(`-${hash}`)) {
      return ownerName.slice(0, -hash.length - 1);
    }
    if (owner["kind"] === "ReplicaSet") return ownerName.replace(/-[0-9a-z]{5,10}$/, "");
    if (owner["kind"] === "Job") return ownerName.replace(/-\d{8,10}$/, "");
    return ownerName;
  }
  const selecting = controllers.filter((controller) => {
    const selector = stringMapOf(fieldsOf(fieldsOf(controller.spec)["selector"])["matchLabels"]);
    const isSelecting = Object.keys(selector).length > 0 && matchesLabels(selector, labels);
    return isSelecting && controller.metadata.namespace === namespace;
  });
  const [only] = selecting;
  if (selecting.length === 1 && only !== undefined) return only.metadata.name;
  const byName = selecting.find((controller) => name.startsWith(`${controller.metadata.name}-`));
  return byName?.metadata.name ?? name;
}

function canonical(
  labels: Readonly<Record<string, string>>,
  workloadName: string,
): Pick<WorkloadInstance, "canonicalName" | "canonicalRevision"> {
  return {
    canonicalName:
      labels["service.istio.io/canonical-name"] ?? labels["app.kubernetes.io/name"] ?? labels["app"] ?? workloadName,
    canonicalRevision:
      labels["service.istio.io/canonical-revision"] ??
      labels["app.kubernetes.io/version"] ??
      labels["version"] ??
      "latest",
  };
}
