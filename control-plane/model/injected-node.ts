/** What a proxy says of itself after injection: the xDS node that istio-agent writes (§4.6). Pure. */
import { effectiveProxyConfig } from "./effective-proxy-config.ts";
import type { MeshIndex } from "./mesh-index.ts";
import type { NodeMessage } from "./proxy-node-from.ts";
import { stringMapOf, type Fields } from "./read-fields.ts";

/** A workload that gets a proxy. */
export interface InjectedProxy {
  readonly type: "sidecar" | "router" | "waypoint";
  readonly name: string;
  readonly namespace: string;
  readonly addresses: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
  readonly workloadName: string;
  readonly nodeName?: string | undefined;
  readonly clusterId: string;
  readonly network: string;
  readonly interceptionMode: "REDIRECT" | "TPROXY" | "NONE";
  readonly locality?: { readonly region: string; readonly zone: string; readonly subZone: string } | undefined;
  /** Keys that are added to the node's metadata. */
  readonly metadata: Fields;
}

/** Environment variables with this prefix become metadata of the node. */
const META_PREFIX = "ISTIO_META_";

export function injectedNode(mesh: MeshIndex, proxy: InjectedProxy): NodeMessage {
  const { type, name, namespace, addresses, labels, annotations } = proxy;
  const config = effectiveProxyConfig(mesh, { namespace, labels, annotations });
  const metadata: Record<string, unknown> = {
    NAME: name,
    NAMESPACE: namespace,
    INSTANCE_IPS: addresses.join(","),
    CLUSTER_ID: proxy.clusterId,
    MESH_ID: mesh.meshConfig.trustDomain,
    ISTIO_VERSION: "1.32.0",
    LABELS: labels,
    SERVICE_ACCOUNT: proxy.serviceAccount,
    WORKLOAD_NAME: proxy.workloadName,
    PROXY_CONFIG: config,
  };
  if (type === "sidecar") metadata["INTERCEPTION_MODE"] = proxy.interceptionMode;
  if (proxy.network !== "") metadata["NETWORK"] = proxy.network;
  if (proxy.nodeName !== undefined) metadata["NODE_NAME"] = proxy.nodeName;
  if (Object.keys(annotations).length > 0) metadata["ANNOTATIONS"] = annotations;
  for (const [key, value] of Object.entries(stringMapOf(config["proxyMetadata"]))) {
    if (key.startsWith(META_PREFIX)) metadata[key.slice(META_PREFIX.length)] = value;
  }
  return {
    id: `${type}~${addresses[0] ?? ""}~${name}.${namespace}~${namespace}.svc.cluster.local`,
    metadata: { ...metadata, ...proxy.metadata },
    locality: proxy.locality,
  };
}
