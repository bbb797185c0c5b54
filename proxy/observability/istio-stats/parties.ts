/** Who talks to whom: from the stream's cluster, peers and certificates. */
import type { StreamInfo } from "../../stream-info.ts";
import type { Cluster } from "../../upstream/types.ts";
import { DOWNSTREAM_PEER, UPSTREAM_PEER, peerOf, type PeerMetadata } from "../peer.ts";
import type { Parties, Reporter, Service } from "./labels.ts";

/** Clusters whose name stands for the service. */
const NAMED_AFTER_CLUSTER: Readonly<Record<string, string>> = {
  BlackHoleCluster: "BlackHoleCluster",
  PassthroughCluster: "PassthroughCluster",
  InboundPassthroughCluster: "InboundPassthroughCluster",
  InboundPassthroughClusterIpv4: "InboundPassthroughClusterIpv4",
  InboundPassthroughClusterIpv6: "InboundPassthroughClusterIpv6",
};

export interface PartySettings {
  readonly reporter: Reporter;
  readonly local: PeerMetadata;
  readonly useHostHeader: boolean;
}

/** The parties of a stream or connection. */
export function partiesOf(info: StreamInfo, host: string, settings: PartySettings): Parties {
  const { reporter, local } = settings;
  const { filterState, cluster } = info;
  const downstream = info.connection?.tls;
  const upstream = info.upstreamConnection?.tls;
  const isSource = reporter === "source";
  const source = isSource ? local : peerOf(filterState, DOWNSTREAM_PEER);
  const destination = reporter === "destination" ? local : peerOf(filterState, UPSTREAM_PEER);
  return {
    reporter,
    source,
    destination,
    sourcePrincipal: (isSource ? upstream?.local : downstream?.peer)?.uriSans[0] ?? "",
    destinationPrincipal: (reporter === "destination" ? downstream?.local : upstream?.peer)?.uriSans[0] ?? "",
    service: serviceOf(cluster, destination, host),
    connectionSecurityPolicy: isSource ? "unknown" : downstream?.peer === undefined ? "none" : "mutual_tls",
  };
}

/** True when the Host header is part of the labels. */
export function needsHost(cluster: Cluster | undefined, useHostHeader: boolean): boolean {
  return useHostHeader && (cluster === undefined || serviceMetadata(cluster) === undefined);
}

function serviceOf(cluster: Cluster | undefined, destination: PeerMetadata | undefined, host: string): Service {
  const namespace = destination?.namespace ?? "";
  const special = cluster === undefined ? undefined : NAMED_AFTER_CLUSTER[cluster.name];
  if (special !== undefined) return { host, name: special, namespace };
  const service = cluster === undefined ? undefined : serviceMetadata(cluster);
  if (service === undefined) return { host, name: host, namespace };
  const text = (key: string): string => (typeof service[key] === "string" ? service[key] : "");
  return { host: text("host"), name: text("name"), namespace: text("namespace") || namespace };
}

/** `filter_metadata.istio.services[0]`. */
function serviceMetadata(cluster: Cluster): Readonly<Record<string, unknown>> | undefined {
  const services = cluster.metadata["istio"]?.["services"];
  if (!Array.isArray(services)) return undefined;
  const first: unknown = services[0];
  return typeof first === "object" && first !== null ? (first as Readonly<Record<string, unknown>>) : undefined;
}
