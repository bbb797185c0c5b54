/** EnvoyFilter patches of clusters. */
import type { JsonObject } from "../json.ts";
import type { PatchContext } from "../spec/envoy-filter.ts";
import type { View } from "../view.ts";
import { inboundPorts } from "../inbound-ports.ts";
import { listOf, objectOf } from "./edit-list.ts";
import { mergedMessage } from "./merge-message.ts";
import { mergedSocket } from "./merge-typed-config.ts";
import { holdsIn, patchesOf, type Patch } from "./patches.ts";

const CLUSTER = "envoy.config.cluster.v3.Cluster";

/** Removed, merged, and those that are added. The same list where no EnvoyFilter patches clusters. */
export function patchedClusters(view: View, clusters: readonly JsonObject[]): readonly JsonObject[] {
  const patches = patchesOf(view)?.get("CLUSTER");
  if (patches === undefined) return clusters;
  const kept = clusters
    .map((cluster) => patchedCluster(view, patches, cluster))
    .filter((cluster) => cluster !== undefined);
  const contexts: readonly PatchContext[] =
    view.proxy.type === "sidecar" ? ["SIDECAR_OUTBOUND", "SIDECAR_INBOUND"] : [routerContext(view)];
  return [...kept, ...contexts.flatMap((context) => addedClusters(patches, context))];
}

export function routerContext(view: View): PatchContext {
  return view.proxy.type === "waypoint" ? "WAYPOINT" : "GATEWAY";
}

/** An addition that names no context is made once. */
function addedClusters(patches: readonly Patch[], context: PatchContext): readonly JsonObject[] {
  return patches
    .filter((patch) => patch.operation === "ADD" && holdsIn(context, patch))
    .filter(({ match }) => (match.context ?? "ANY") !== "ANY" || context !== "SIDECAR_INBOUND")
    .map(({ value }) => value);
}

function patchedCluster(view: View, patches: readonly Patch[], cluster: JsonObject): JsonObject | undefined {
  const context = contextOf(view, String(cluster["name"]));
  let result = cluster;
  for (const patch of patches) {
    if (!holdsIn(context, patch) || !clusterMatches(view, String(cluster["name"]), patch)) continue;
    if (patch.operation === "REMOVE") return undefined;
    if (patch.operation === "MERGE") result = mergedCluster(result, patch.value);
  }
  return result;
}

function contextOf(view: View, name: string): PatchContext {
  if (view.proxy.type !== "sidecar") return routerContext(view);
  return name.startsWith("inbound|") || name === "InboundPassthroughCluster" ? "SIDECAR_INBOUND" : "SIDECAR_OUTBOUND";
}

function clusterMatches(view: View, name: string, { match }: Patch): boolean {
  const { cluster } = match;
  if (cluster === undefined) return true;
  if ((cluster.name ?? "") !== "") return cluster.name === name;
  const [direction = "", port = "", subset = "", host = ""] = name.includes("|") ? name.split("|") : sniParts(name);
  if ((cluster.subset ?? "") !== "" && cluster.subset !== subset) return false;
  if ((cluster.portNumber ?? 0) !== 0 && cluster.portNumber !== Number(port)) return false;
  if ((cluster.service ?? "") === "") return true;
  if (direction !== "inbound") return cluster.service === host;
  const hosts = inboundPorts(view)
    .filter(({ targetPort }) => targetPort === Number(port))
    .map(({ service }) => service?.host);
  return hosts.includes(cluster.service);
}

/** `outbound_.80_.v1_.host`: how clusters for SNI are written. */
function sniParts(name: string): readonly string[] {
  return name.split("_.").map((part) => (part === "_" ? "" : part.replace(/^_$/, "")));
}

/** A transport socket alone is merged where one of its name stands; a patch that has one changes nothing else. */
function mergedCluster(cluster: JsonObject, patch: JsonObject): JsonObject {
  const socket = patch["transportSocket"];
  if (socket === undefined) return mergedMessage(CLUSTER, cluster, patch);
  const { name } = objectOf(socket);
  const matches = listOf(cluster["transportSocketMatches"]);
  if (matches.length > 0) {
    const at = matches.findIndex((item) => objectOf(item["transportSocket"])["name"] === name);
    const found = matches[at];
    if (found === undefined) return cluster;
    const merged = mergedSocket(objectOf(found["transportSocket"]), objectOf(socket));
    return { ...cluster, transportSocketMatches: matches.with(at, { ...found, transportSocket: merged }) };
  }
  const own = cluster["transportSocket"];
  const isSame = own !== undefined && objectOf(own)["name"] === name;
  return { ...cluster, transportSocket: isSame ? mergedSocket(objectOf(own), objectOf(socket)) : socket };
}
