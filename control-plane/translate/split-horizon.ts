/** Endpoints of other networks, seen from a proxy: their gateways stand for them (Split Horizon EDS, rule 97). */
import type { NetworkGateway, ServiceInstance } from "../model/mesh-index.ts";
import type { WorkloadInstance } from "../model/service.ts";
import type { View } from "./view.ts";

/**
 * What the proxy's network reaches itself stays; an endpoint beyond becomes a share of the weight of its network's
 * gateways, in its own locality. Beyond a gateway only mutual TLS leads on (by SNI): what does not speak it is left out.
 */
export function reachableInstances(
  view: View,
  instances: readonly ServiceInstance[],
  speaksMeshTls: (instance: ServiceInstance) => boolean,
): readonly ServiceInstance[] {
  const all = view.mesh.networkGateways;
  if (all.length === 0) return instances;
  const scale = scaleOf(all);
  const direct: ServiceInstance[] = [];
  const shares = new Map<string, { gateway: NetworkGateway; like: ServiceInstance; weight: number }>();
  for (const instance of instances) {
    const { network, clusterId, locality } = instance.workload;
    if (!isVisible(view, network)) continue;
    const gateways = gatewaysFor(all, network, clusterId);
    const weight = instance.weight * scale;
    if (gateways.length === 0 || isSameOrEmpty(network, view.proxy.network)) {
      direct.push({ ...instance, weight });
      continue;
    }
    if (!speaksMeshTls(instance)) continue;
    for (const gateway of gateways) {
      const key = JSON.stringify([locality, gateway]);
      const share = shares.get(key) ?? { gateway, like: instance, weight: 0 };
      share.weight += Math.floor(weight / gateways.length);
      shares.set(key, share);
    }
  }
  return [
    ...direct,
    ...[...shares.values()].map(({ gateway, like, weight }) => gatewayInstance(gateway, like, weight)),
  ];
}

/** `REQUESTED_NETWORK_VIEW`: a proxy that asks for some networks sees no others. */
function isVisible(view: View, network: string): boolean {
  const asked = view.proxy.metadata["REQUESTED_NETWORK_VIEW"];
  if (typeof asked !== "string" || asked === "" || network === "") return true;
  return asked.split(",").includes(network);
}

/** Those of the endpoint's own cluster before others of its network. */
function gatewaysFor(all: readonly NetworkGateway[], network: string, clusterId: string): readonly NetworkGateway[] {
  const ofNetwork = all.filter((gateway) => gateway.network === network);
  const ofCluster = ofNetwork.filter((gateway) => gateway.clusterId === clusterId);
  return ofCluster.length > 0 ? ofCluster : ofNetwork;
}

/** The least common multiple of how many gateways there are by network and by cluster: every share is whole. */
function scaleOf(all: readonly NetworkGateway[]): number {
  const counts = [
    ...Map.groupBy(all, ({ network }) => network).values(),
    ...Map.groupBy(all, ({ network, clusterId }) => `${network}/${clusterId}`).values(),
  ].map(({ length }) => length);
  return counts.reduce((multiple, count) => (multiple * count) / greatestCommonDivisor(multiple, count), 1);
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

function isSameOrEmpty(one: string, other: string): boolean {
  return one === "" || other === "" || one === other;
}

function gatewayInstance(gateway: NetworkGateway, like: ServiceInstance, weight: number): ServiceInstance {
  const workload: WorkloadInstance = {
    ...like.workload,
    origin: "workload-entry",
    name: "",
    namespace: "",
    labels: {},
    serviceAccount: "",
    addresses: [gateway.address],
    namedPorts: {},
    network: gateway.network,
    clusterId: gateway.clusterId,
    hasSidecar: true,
    isReady: true,
    workloadName: "",
    canonicalName: "",
    canonicalRevision: "latest",
  };
  return { ...like, workload, address: gateway.address, port: gateway.port, ready: true, weight };
}
