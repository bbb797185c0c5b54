/** EnvoyFilter patches of listeners, filter chains and network filters. */
import { any, type JsonObject } from "../json.ts";
import type { PatchContext } from "../spec/envoy-filter.ts";
import type { View } from "../view.ts";
import { routerContext } from "./cluster-patches.ts";
import { editedList, listOf, objectOf } from "./edit-list.ts";
import { patchedHttpFilters } from "./http-filter-patches.ts";
import { mergedMessage } from "./merge-message.ts";
import { mergedFilter, mergedSocket } from "./merge-typed-config.ts";
import { holdsIn, patchesOf, type Patch, type Patches } from "./patches.ts";
import { patchedRoutes } from "./route-patches.ts";

const LISTENER_PACKAGE = "envoy.config.listener.v3.";
const CONNECTION_MANAGER = "envoy.filters.network.http_connection_manager";
const CONNECTION_MANAGER_TYPE = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

/** Listeners of which each only patches for its own name hold, and which take no additions beside them. */
const VIRTUAL: ReadonlySet<unknown> = new Set(["virtualInbound", "virtualOutbound"]);

export function patchedListeners(view: View, listeners: readonly JsonObject[]): readonly JsonObject[] {
  const patches = patchesOf(view);
  if (patches === undefined) return listeners;
  const context = (listener: JsonObject): PatchContext => {
    if (view.proxy.type !== "sidecar") return routerContext(view);
    return listener["trafficDirection"] === "INBOUND" ? "SIDECAR_INBOUND" : "SIDECAR_OUTBOUND";
  };
  const kept = listeners
    .map((listener) => patchedListener(view, patches, context(listener), listener))
    .filter((listener) => listener !== undefined);
  const added = (patches.get("LISTENER") ?? []).filter((patch) => {
    const wanted = patch.match.context ?? "ANY";
    const isSidecars = view.proxy.type === "sidecar" && (wanted === "SIDECAR_INBOUND" || wanted === "SIDECAR_OUTBOUND");
    return patch.operation === "ADD" && (wanted === "ANY" || isSidecars || wanted === routerContextOf(view));
  });
  return [...kept, ...added.map(({ value }) => value)];
}

function routerContextOf(view: View): PatchContext | undefined {
  return view.proxy.type === "sidecar" ? undefined : routerContext(view);
}

/** Where a patch is looked at: what the port of its match is compared with. */
interface Place {
  readonly context: PatchContext;
  readonly listener: JsonObject;
  readonly isVirtual: boolean;
  /** The port that the patch means: the service's or the container's, where a placed listener has another. */
  readonly port: number;
}

function patchedListener(
  view: View,
  patches: Patches,
  context: PatchContext,
  listener: JsonObject,
): JsonObject | undefined {
  const place: Place = { context, listener, isVirtual: VIRTUAL.has(listener["name"]), port: portOf(view, listener) };
  let result = listener;
  for (const patch of patches.get("LISTENER") ?? []) {
    if (!holdsIn(context, patch) || !listenerMatches(place, patch, true)) continue;
    if (patch.operation === "REMOVE") return undefined;
    if (patch.operation === "MERGE") result = mergedMessage(`${LISTENER_PACKAGE}Listener`, result, patch.value);
  }
  result = withListenerFilters(patches.get("LISTENER_FILTER") ?? [], place, result);
  return withFilterChains(patches, place, result);
}

/** A placed listener stands on a port of this machine for one that people know by another number. */
function portOf(view: View, listener: JsonObject): number {
  const { address, portValue } = objectOf(objectOf(listener["address"])["socketAddress"]);
  const { placement } = view.proxy;
  const isHere = ({ bind }: { readonly bind: { readonly address: string; readonly port: number } }): boolean =>
    bind.address === address && bind.port === portValue;
  const side = listener["trafficDirection"] === "INBOUND" ? placement?.inbound : placement?.outbound;
  return side?.find(isHere)?.port ?? Number(portValue);
}

function listenerMatches(place: Place, { match }: Patch, isOfListener: boolean): boolean {
  const wanted = match.listener;
  if (wanted === undefined) return true;
  if ((wanted.name ?? "") !== "" && wanted.name !== place.listener["name"]) return false;
  if (place.isVirtual && !isOfListener) return true;
  return (wanted.portNumber ?? 0) === 0 || wanted.portNumber === place.port;
}

function withListenerFilters(patches: readonly Patch[], place: Place, listener: JsonObject): JsonObject {
  let filters = listOf(listener["listenerFilters"]);
  for (const patch of patches) {
    if (!holdsIn(place.context, patch) || !listenerMatches(place, patch, false)) continue;
    const name = patch.match.listener?.listenerFilter ?? "";
    const isMatched = name === "" ? undefined : (filter: JsonObject) => filter["name"] === name;
    if (patch.operation !== "MERGE") filters = editedList(filters, patch, isMatched);
    else if (isMatched !== undefined) filters = filters.map((filter) => mergedFilter(filter, patch.value, false));
  }
  return filters === listener["listenerFilters"] || filters.length === 0
    ? listener
    : { ...listener, listenerFilters: filters };
}

function withFilterChains(patches: Patches, place: Place, listener: JsonObject): JsonObject {
  const chainPatches = (patches.get("FILTER_CHAIN") ?? []).filter(
    (patch) => holdsIn(place.context, patch) && listenerMatches(place, patch, false),
  );
  const patched = (chain: JsonObject): JsonObject | undefined => patchedChain(patches, chainPatches, place, chain);
  const chains = listOf(listener["filterChains"])
    .map(patched)
    .filter((chain) => chain !== undefined);
  const added = chainPatches.filter(({ operation }) => operation === "ADD").map(({ value }) => value);
  const { defaultFilterChain, ...rest } = listener;
  const kept = defaultFilterChain === undefined ? undefined : patched(objectOf(defaultFilterChain));
  const all = [...chains, ...added];
  return {
    ...rest,
    ...(all.length === 0 && listener["filterChains"] === undefined ? {} : { filterChains: all }),
    ...(kept === undefined ? {} : { defaultFilterChain: kept }),
  };
}

function patchedChain(
  patches: Patches,
  chainPatches: readonly Patch[],
  place: Place,
  chain: JsonObject,
): JsonObject | undefined {
  let result = chain;
  for (const patch of chainPatches) {
    if (!chainMatches(place, result, patch)) continue;
    if (patch.operation === "REMOVE") return undefined;
    if (patch.operation === "MERGE") result = mergedChain(result, patch.value);
  }
  const here = (kind: "NETWORK_FILTER" | "HTTP_FILTER"): readonly Patch[] =>
    (patches.get(kind) ?? []).filter(
      (patch) =>
        holdsIn(place.context, patch) && listenerMatches(place, patch, false) && chainMatches(place, result, patch),
    );
  const [networkPatches, httpPatches] = [here("NETWORK_FILTER"), here("HTTP_FILTER")];
  let filters = listOf(result["filters"]);
  for (const patch of networkPatches) filters = editedList(filters, patch, filterMatcher(patch));
  filters = filters.map((filter) => {
    const matching = networkPatches.filter((patch) => filterMatcher(patch)?.(filter) ?? true);
    const merged = matching
      .filter(({ operation }) => operation === "MERGE")
      .reduce((now, { value }) => mergedFilter(now, value, true), filter);
    return merged["name"] === CONNECTION_MANAGER ? patchedManager(patches, httpPatches, place, merged) : merged;
  });
  return { ...result, filters };
}

function chainMatches({ isVirtual }: Place, chain: JsonObject, { match }: Patch): boolean {
  const { listener } = match;
  if (listener === undefined) return true;
  const own = objectOf(chain["filterChainMatch"]);
  const portNumber = listener.portNumber ?? 0;
  if (isVirtual && portNumber > 0 && Number(own["destinationPort"] ?? 0) !== portNumber) return false;
  const wanted = listener.filterChain;
  if (wanted === undefined) return true;
  const has = (field: string, value: string): boolean =>
    Array.isArray(own[field]) && (own[field] as readonly unknown[]).includes(value);
  const isNamed = (wanted.name ?? "") === "" || wanted.name === chain["name"];
  const hasSni = (wanted.sni ?? "") === "" || has("serverNames", wanted.sni ?? "");
  const speaks = (wanted.transportProtocol ?? "") === "" || wanted.transportProtocol === own["transportProtocol"];
  const protocols = (wanted.applicationProtocols ?? "").split(",").filter((text) => text !== "");
  const port = wanted.destinationPort ?? 0;
  return (
    isNamed &&
    hasSni &&
    speaks &&
    protocols.every((protocol) => has("applicationProtocols", protocol)) &&
    (port === 0 || own["destinationPort"] === port)
  );
}

/** A transport socket of the same name is merged alone; what else the patch says then does not count. */
function mergedChain(chain: JsonObject, patch: JsonObject): JsonObject {
  const [own, over] = [chain["transportSocket"], patch["transportSocket"]];
  const isMerged = own !== undefined && over !== undefined && objectOf(own)["name"] === objectOf(over)["name"];
  if (!isMerged) return mergedMessage(`${LISTENER_PACKAGE}FilterChain`, chain, patch);
  return { ...chain, transportSocket: mergedSocket(objectOf(own), objectOf(over)) };
}

function filterMatcher({ match }: Patch): ((filter: JsonObject) => boolean) | undefined {
  const wanted = match.listener?.filterChain?.filter;
  return wanted === undefined ? undefined : (filter) => filter["name"] === (wanted.name ?? "");
}

function patchedManager(
  patches: Patches,
  httpPatches: readonly Patch[],
  { context }: Place,
  filter: JsonObject,
): JsonObject {
  const config = objectOf(filter["typedConfig"]);
  if (config["@type"] !== any(CONNECTION_MANAGER_TYPE)["@type"]) return filter;
  const mine = httpPatches.filter((patch) => filterMatcher(patch)?.(filter) ?? true);
  const inline = config["routeConfig"];
  const httpFilters = patchedHttpFilters(mine, listOf(config["httpFilters"]));
  return {
    ...filter,
    typedConfig: {
      ...config,
      httpFilters,
      ...(inline === undefined ? {} : { routeConfig: inlineRoutes(patches, context, objectOf(inline)) }),
    },
  };
}

/** A sidecar's inbound routes stand in the listener. */
function inlineRoutes(patches: Patches, context: PatchContext, routes: JsonObject): JsonObject {
  return context === "SIDECAR_INBOUND" ? patchedRoutes(patches, { context }, routes) : routes;
}
