/** Who the peer workload is: put into filter state by the metadata exchange, read by statistics, logs and policies. */

export interface PeerMetadata {
  /** Pod name. */
  readonly name: string;
  readonly namespace: string;
  readonly workloadName: string;
  readonly owner: string;
  readonly clusterId: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Filter-state key of the client's metadata. */
export const DOWNSTREAM_PEER = "downstream_peer";
/** Filter-state key of the server's metadata. */
export const UPSTREAM_PEER = "upstream_peer";

/** The peer under a key of a stream's filter state. */
export function peerOf(
  filterState: ReadonlyMap<string, unknown> | undefined,
  key: typeof DOWNSTREAM_PEER | typeof UPSTREAM_PEER,
): PeerMetadata | undefined {
  return filterState?.get(key) as PeerMetadata | undefined;
}

/** The proxy's own workload, from the node metadata of its bootstrap. */
export function peerFromNodeMetadata(metadata: Readonly<Record<string, unknown>>): PeerMetadata {
  const labels: Record<string, string> = {};
  const given = metadata["LABELS"];
  if (typeof given === "object" && given !== null)
    for (const [name, value] of Object.entries(given)) if (typeof value === "string") labels[name] = value;
  const text = (key: string): string => (typeof metadata[key] === "string" ? metadata[key] : "");
  return {
    name: text("NAME"),
    namespace: text("NAMESPACE"),
    workloadName: text("WORKLOAD_NAME"),
    owner: text("OWNER"),
    clusterId: text("CLUSTER_ID"),
    labels,
  };
}
