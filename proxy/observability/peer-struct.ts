/**
 * Peer metadata on the wire: a `google.protobuf.Struct` with Istio's keys, in the header `x-envoy-peer-metadata` (base64)
 * and in the first bytes of a TCP connection.
 */
import { fromBinary, fromJson, toBinary, toJson, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import { StructSchema } from "@bufbuild/protobuf/wkt";
import type { PeerMetadata } from "./peer.ts";

/** Labels that are told to every peer. */
const EXCHANGED_LABELS: readonly string[] = [
  "app",
  "app.kubernetes.io/name",
  "app.kubernetes.io/version",
  "service.istio.io/canonical-name",
  "service.istio.io/canonical-revision",
  "version",
];

/** Keys sorted, so that equal metadata are equal bytes. */
export function encodePeer(peer: PeerMetadata, additionalLabels: readonly string[] = []): Uint8Array {
  const names = [...new Set([...EXCHANGED_LABELS, ...additionalLabels])].toSorted();
  const labels: JsonObject = {};
  for (const name of names) {
    const value = peer.labels[name];
    if (value !== undefined) labels[name] = value;
  }
  const struct: JsonObject = {
    CLUSTER_ID: peer.clusterId,
    LABELS: labels,
    NAME: peer.name,
    NAMESPACE: peer.namespace,
    OWNER: peer.owner,
    WORKLOAD_NAME: peer.workloadName,
  };
  return toBinary(StructSchema, fromJson(StructSchema, struct));
}

/** Undefined when the bytes are no Struct. Values of other types than text are left out. */
export function decodePeer(bytes: Uint8Array): PeerMetadata | undefined {
  let struct: Readonly<Record<string, JsonValue>>;
  try {
    struct = toJson(StructSchema, fromBinary(StructSchema, bytes)) as JsonObject;
  } catch {
    return undefined;
  }
  const text = (key: string): string => (typeof struct[key] === "string" ? struct[key] : "");
  const labels: Record<string, string> = {};
  const given = struct["LABELS"];
  if (typeof given === "object" && given !== null && !Array.isArray(given)) {
    for (const [name, value] of Object.entries(given)) if (typeof value === "string") labels[name] = value;
  }
  return {
    name: text("NAME"),
    namespace: text("NAMESPACE"),
    workloadName: text("WORKLOAD_NAME"),
    owner: text("OWNER"),
    clusterId: text("CLUSTER_ID"),
    labels,
  };
}
