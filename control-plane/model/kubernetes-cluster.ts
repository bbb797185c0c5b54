/** What one Kubernetes cluster brings into the mesh: Services, Pods, and where they are. */
import { groupBy } from "./group-by.ts";
import type { MeshConfig } from "./mesh-config.ts";
import { networkOfAddress, type MeshNetwork } from "./networks.ts";
import type { MeshObject } from "./object.ts";
import { serviceFromKubernetes } from "./service-from-kubernetes.ts";
import type { InstanceSources } from "./service-instances.ts";
import type { ServiceModel, WorkloadInstance } from "./service.ts";
import { isPodServing, workloadFromPod, type PodSurroundings } from "./workloads.ts";

export interface KubernetesCluster {
  readonly clusterId: string;
  readonly services: readonly ServiceModel[];
  readonly pods: readonly WorkloadInstance[];
  readonly nodes: readonly MeshObject[];
  readonly around: PodSurroundings;
  readonly sources: InstanceSources;
}

export function kubernetesCluster(
  kind: (name: string) => readonly MeshObject[],
  meshConfig: MeshConfig,
  clusterId: string,
  networks: readonly MeshNetwork[],
): KubernetesCluster {
  const root = kind("Namespace").find(({ metadata }) => metadata.name === meshConfig.rootNamespace);
  const labelled = root?.metadata.labels["topology.istio.io/network"] ?? "";
  const around: PodSurroundings = {
    nodes: new Map(kind("Node").map((node) => [node.metadata.name, node])),
    controllers: [...kind("Deployment"), ...kind("StatefulSet"), ...kind("DaemonSet")],
    networkOf: (address) => labelled || networkOfAddress(networks, clusterId, address),
    clusterId,
  };
  const pods = kind("Pod")
    .filter(isPodServing)
    .map((pod) => workloadFromPod(pod, around));
  return {
    clusterId,
    services: kind("Service").map((object) => serviceFromKubernetes(object, meshConfig)),
    pods,
    nodes: kind("Node"),
    around,
    sources: {
      workloadsByNamespace: groupBy(pods, ({ namespace }) => namespace),
      podByKey: new Map(pods.map((pod) => [`${pod.namespace}/${pod.name}`, pod])),
      podByAddress: new Map(pods.flatMap((pod) => pod.addresses.map((address) => [address, pod] as const))),
      slices: groupBy(
        kind("EndpointSlice"),
        ({ metadata }) => `${metadata.namespace}/${metadata.labels["kubernetes.io/service-name"] ?? ""}`,
      ),
      endpoints: new Map(
        kind("Endpoints").map((object) => [`${object.metadata.namespace}/${object.metadata.name}`, object]),
      ),
      around,
    },
  };
}

/** One entry a host: the first cluster's definition counts, each cluster keeps its own addresses. */
export function servicesOfClusters(clusters: readonly KubernetesCluster[]): readonly ServiceModel[] {
  const [only] = clusters;
  if (clusters.length === 1 && only !== undefined) return only.services;
  const byHost = new Map<string, ServiceModel>();
  for (const { clusterId, services } of clusters) {
    for (const service of services) {
      const known = byHost.get(service.host) ?? service;
      const clusterAddresses = new Map([...(known.clusterAddresses ?? []), [clusterId, service.addresses] as const]);
      byHost.set(service.host, { ...known, clusterAddresses });
    }
  }
  return [...byHost.values()];
}
