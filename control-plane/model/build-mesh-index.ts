/** Objects → MeshIndex. Pure: the same objects give the same index, whatever order they come in. */
import { createHash } from "node:crypto";
import type { Problem } from "#lib/problem.ts";
import type { MeshConfig } from "./mesh-config.ts";
import type { MeshIndex, ServiceInstance } from "./mesh-index.ts";
import type { MeshObject } from "./object.ts";
import { kubernetesCluster, servicesOfClusters } from "./kubernetes-cluster.ts";
import { networkGatewaysOf, readMeshNetworks } from "./networks.ts";
import { instancesOfService, type InstanceSources } from "./service-instances.ts";
import type { ServiceModel, WorkloadInstance } from "./service.ts";
import { servicesFromServiceEntry } from "./services-from-service-entry.ts";
import { workloadFromEndpoint, workloadFromEntry } from "./workloads.ts";
import { groupBy } from "./group-by.ts";
import { withOtherApis } from "../other-apis/with-other-apis.ts";
import { withGatewayApi } from "../gateway-api/with-gateway-api.ts";
import { fieldsOf, listOf } from "./read-fields.ts";

/** The name of the one Kubernetes cluster that a mesh without clusters has. */
export const DEFAULT_CLUSTER_ID = "Kubernetes";

/** Another cluster of the mesh: its Services, Pods, EndpointSlices, Nodes and Namespaces count, no Istio objects. */
export interface RemoteCluster {
  readonly clusterId: string;
  readonly objects: readonly MeshObject[];
}

/**
 * Builds the index over objects that were accepted. Of two objects with one group, kind, namespace and name the later
 * counts. `problems` are the findings so far; they become the index's.
 */
export function buildMeshIndex(
  objects: readonly MeshObject[],
  meshConfig: MeshConfig,
  problems: readonly Problem[] = [],
  remoteClusters: readonly RemoteCluster[] = [],
): MeshIndex {
  const byKind = groupByKind(objects);
  const kind = (name: string): readonly MeshObject[] => byKind.get(name) ?? [];
  const networks = readMeshNetworks(kind("ConfigMap"), meshConfig.rootNamespace);
  const local = kubernetesCluster(kind, meshConfig, DEFAULT_CLUSTER_ID, networks);
  const remotes = remoteClusters.map(({ clusterId, objects: theirs }) => {
    const theirKinds = groupByKind(theirs);
    return kubernetesCluster((name) => theirKinds.get(name) ?? [], meshConfig, clusterId, networks);
  });
  const { around, pods } = local;
  const entries = kind("WorkloadEntry").map((entry) => workloadFromEntry(entry, around));
  const inline = kind("ServiceEntry").flatMap((entry) =>
    listOf(fieldsOf(entry.spec)["endpoints"]).map((endpoint, index) =>
      workloadFromEndpoint(fieldsOf(endpoint), entry, around, index),
    ),
  );
  const services = [
    ...servicesOfClusters([local, ...remotes]),
    ...kind("ServiceEntry").flatMap((object) => servicesFromServiceEntry(object, meshConfig)),
  ].sort(bySeniority);
  const byHost = groupBy(services, ({ host }) => host);
  const byKey = new Map<string, MeshObject>();
  for (const [name, list] of byKind) {
    for (const object of list) byKey.set(`${name}/${object.metadata.namespace}/${object.metadata.name}`, object);
  }
  const sources: InstanceSources = {
    ...local.sources,
    workloadsByNamespace: groupBy([...pods, ...entries], ({ namespace }) => namespace),
  };
  const remotePods = remotes.flatMap((cluster) => cluster.pods);
  const workloads = [...pods, ...remotePods, ...entries, ...inline];
  const workloadByKey = new Map(
    [...remotePods, ...entries, ...pods].map((workload): [string, WorkloadInstance] => [
      `${workload.namespace}/${workload.name}`,
      workload,
    ]),
  );
  const instances = new Map<ServiceModel, readonly ServiceInstance[]>();
  const asWritten: MeshIndex = {
    meshConfig,
    // The caller says which spec it reads; validation has checked it.
    objects: <Spec>(name: string) => kind(name) as readonly MeshObject<Spec>[],
    object: <Spec>(name: string, namespace: string, objectName: string) =>
      byKey.get(`${name}/${namespace}/${objectName}`) as MeshObject<Spec> | undefined,
    services,
    servicesByHost: (host) => byHost.get(host) ?? [],
    workloads,
    workload: (namespace, name) => workloadByKey.get(`${namespace}/${name}`),
    instancesOf: (service) => {
      const known = instances.get(service);
      if (known !== undefined) return known;
      const found = [
        ...instancesOfService(service, sources),
        ...(service.origin === "kubernetes"
          ? remotes.flatMap((cluster) => instancesOfService(service, cluster.sources))
          : []),
      ];
      instances.set(service, found);
      return found;
    },
    networkGateways: networkGatewaysOf([local, ...remotes], networks),
    gatewayApiStatuses: new Map(),
    shape: {},
    endpointVersions: { hosts: new Map(), workloads: new Map() },
    problems,
    version: versionOf(byKind, meshConfig),
  };
  const order = (one: MeshObject, other: MeshObject): number => compareAge(one.metadata, other.metadata);
  return withOtherApis(withGatewayApi(asWritten, order), order);
}

/** Groups whose kinds are known by the bare kind; others are known as `group/Kind`. */
const bareGroups: ReadonlySet<string> = new Set([
  "",
  "apps",
  "batch",
  "discovery.k8s.io",
  "networking.istio.io",
  "security.istio.io",
  "telemetry.istio.io",
  "extensions.istio.io",
  "install.istio.io",
]);

/** The name under which `MeshIndex.objects` knows an object's kind. */
export function indexedKind(object: MeshObject): string {
  return bareGroups.has(object.group) ? object.kind : `${object.group}/${object.kind}`;
}

function groupByKind(objects: readonly MeshObject[]): ReadonlyMap<string, readonly MeshObject[]> {
  const latest = new Map<string, MeshObject>();
  for (const object of objects) {
    const { namespace, name } = object.metadata;
    latest.set(`${indexedKind(object)}/${namespace}/${name}`, object);
  }
  const groups = groupBy([...latest.values()], indexedKind);
  for (const list of groups.values()) list.sort((one, other) => compareAge(one.metadata, other.metadata));
  return groups;
}

/** Oldest first; ties by name, then namespace (rule 112). */
function compareAge(one: MeshObject["metadata"], other: MeshObject["metadata"]): number {
  return (
    one.creationTimestamp - other.creationTimestamp ||
    compareText(one.name, other.name) ||
    compareText(one.namespace, other.namespace)
  );
}

function bySeniority(one: ServiceModel, other: ServiceModel): number {
  return (
    one.creationTimestamp - other.creationTimestamp ||
    compareText(`${one.name}.${one.namespace}`, `${other.name}.${other.namespace}`)
  );
}

function compareText(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

function versionOf(byKind: ReadonlyMap<string, readonly MeshObject[]>, meshConfig: MeshConfig): string {
  const hash = createHash("sha256").update(JSON.stringify(meshConfig.raw));
  for (const name of [...byKind.keys()].sort()) {
    for (const object of byKind.get(name) ?? []) hash.update("\n").update(JSON.stringify(object.raw));
  }
  return hash.digest("hex").slice(0, 16);
}
