/** Networks of a mesh: which one an address is in, and through which gateways it is entered from others. */
import { parse } from "yaml";
import { cidrHolds, ipFamily } from "./ip.ts";
import type { KubernetesCluster } from "./kubernetes-cluster.ts";
import type { NetworkGateway } from "./mesh-index.ts";
import type { MeshObject } from "./object.ts";
import { fieldsOf, listOf, numberOf, stringMapOf, stringOf, matchesLabels, type Fields } from "./read-fields.ts";
import type { ServiceModel } from "./service.ts";

/** One entry of istio.mesh.v1alpha1.MeshNetworks. */
export interface MeshNetwork {
  readonly name: string;
  /** Clusters all of whose endpoints are in it. */
  readonly registries: readonly string[];
  readonly cidrs: readonly string[];
  readonly gateways: readonly {
    readonly address: string | undefined;
    /** Host of a Service of one of `registries`. */
    readonly service: string | undefined;
    readonly port: number;
  }[];
}

const NETWORK = "topology.istio.io/network";
const GATEWAY_PORT = "networking.istio.io/gatewayPort";
const DEFAULT_GATEWAY_PORT = 15443;

/** `data.meshNetworks` of the ConfigMap `istio`; what can't be read counts as none. */
export function readMeshNetworks(configMaps: readonly MeshObject[], rootNamespace: string): readonly MeshNetwork[] {
  const map = configMaps.find(({ metadata }) => metadata.name === "istio" && metadata.namespace === rootNamespace);
  const text = stringOf(fieldsOf(map?.raw["data"])["meshNetworks"]);
  if (text === undefined) return [];
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: 100 });
  } catch {
    return [];
  }
  return Object.entries(fieldsOf(fieldsOf(value)["networks"])).map(([name, network]) =>
    meshNetwork(name, fieldsOf(network)),
  );
}

function meshNetwork(name: string, { endpoints, gateways }: Fields): MeshNetwork {
  const ends = listOf(endpoints).map(fieldsOf);
  const texts = (key: string): readonly string[] =>
    ends.map((end) => stringOf(end[key]) ?? "").filter((text) => text !== "");
  return {
    name,
    registries: texts("fromRegistry"),
    cidrs: texts("fromCidr"),
    gateways: listOf(gateways)
      .map(fieldsOf)
      .map((gateway) => ({
        address: stringOf(gateway["address"]),
        service: stringOf(gateway["registryServiceName"]),
        port: numberOf(gateway["port"]) ?? DEFAULT_GATEWAY_PORT,
      })),
  };
}

/** The network that names the cluster, else the one whose range holds the address; "": none. */
export function networkOfAddress(networks: readonly MeshNetwork[], clusterId: string, address: string): string {
  const whole = networks.find(({ registries }) => registries.includes(clusterId));
  if (whole !== undefined) return whole.name;
  return networks.find(({ cidrs }) => cidrs.some((cidr) => cidrHolds(cidr, address)))?.name ?? "";
}

/** Sorted by address, then port; each once. Hostnames are left out, as in istiod without RESOLVE_HOSTNAME_GATEWAYS. */
export function networkGatewaysOf(
  clusters: readonly KubernetesCluster[],
  networks: readonly MeshNetwork[],
): readonly NetworkGateway[] {
  const found = new Map<string, NetworkGateway>();
  const add = (gateway: NetworkGateway): void => {
    if (ipFamily(gateway.address) !== 0) found.set(JSON.stringify(gateway), gateway);
  };
  for (const { name, gateways } of networks) {
    for (const { address, port } of gateways) {
      if (address !== undefined) add({ network: name, clusterId: "", address, port });
    }
  }
  for (const cluster of clusters) {
    for (const service of cluster.services) {
      for (const { network, port } of gatewayPortsOf(service, cluster.clusterId, networks)) {
        for (const at of externalAddresses(service, port, cluster.nodes)) {
          add({ network, clusterId: cluster.clusterId, ...at });
        }
      }
    }
  }
  return [...found.values()].toSorted((a, b) =>
    a.address < b.address ? -1 : a.address > b.address ? 1 : a.port - b.port,
  );
}

/** A label says that a Service is a gateway; else MeshNetworks names it. */
function gatewayPortsOf(
  service: ServiceModel,
  clusterId: string,
  networks: readonly MeshNetwork[],
): readonly { readonly network: string; readonly port: number }[] {
  const labelled = service.labels[NETWORK] ?? "";
  if (labelled !== "") {
    const written = Number(service.labels[GATEWAY_PORT]);
    const port = Number.isInteger(written) ? written : DEFAULT_GATEWAY_PORT;
    return service.ports.some(({ number }) => number === port) ? [{ network: labelled, port }] : [];
  }
  return networks
    .filter(({ registries }) => registries.includes(clusterId))
    .flatMap(({ name, gateways }) =>
      gateways.filter((gateway) => gateway.service === service.host).map(({ port }) => ({ network: name, port })),
    );
}

/** Load balancer addresses and external IPs; with the annotation for node ports those of the nodes that it selects. */
function externalAddresses(
  service: ServiceModel,
  port: number,
  nodes: readonly MeshObject[],
): readonly { readonly address: string; readonly port: number }[] {
  const spec = fieldsOf(service.object.spec);
  const status = fieldsOf(fieldsOf(service.object.raw["status"])["loadBalancer"]);
  const balanced = spec["type"] === "LoadBalancer" ? listOf(status["ingress"]).map(fieldsOf) : [];
  const written = [
    ...balanced.map(({ ip, hostname }) => stringOf(ip) ?? stringOf(hostname) ?? ""),
    ...listOf(spec["externalIPs"]).map((ip) => stringOf(ip) ?? ""),
  ].filter((address) => address !== "");
  if (written.length > 0) return written.map((address) => ({ address, port }));
  const selector = service.object.metadata.annotations["traffic.istio.io/nodeSelector"];
  if (spec["type"] !== "NodePort" || selector === undefined) return [];
  const nodePort = numberOf(
    listOf(spec["ports"])
      .map(fieldsOf)
      .find((item) => item["port"] === port)?.["nodePort"],
  );
  const wanted = stringMapOf(parseJson(selector));
  return nodes
    .filter(({ metadata }) => matchesLabels(wanted, metadata.labels))
    .flatMap((node) => addressOfNode(node))
    .map((address) => ({ address, port: nodePort ?? port }));
}

function addressOfNode(node: MeshObject): readonly string[] {
  const addresses = listOf(fieldsOf(node.raw["status"])["addresses"]).map(fieldsOf);
  const external = addresses.find(({ type }) => type === "ExternalIP");
  const address = stringOf(external?.["address"]);
  return address === undefined ? [] : [address];
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
