/** `lb_subset_config` → the subsets of a cluster. */
import type { MessageReader } from "#protos/reader.ts";
import type {
  Cluster_LbSubsetConfig,
  Cluster_LbSubsetConfig_LbSubsetSelector,
} from "#protos/gen/envoy/config/cluster/v3/cluster_pb.js";
import type { Subset } from "#protos/gen/envoy/extensions/load_balancing_policies/subset/v3/subset_pb.js";
import type { SubsetConfig, SubsetFallback, SubsetSelector } from "../load-balancing/subset.ts";

const fallbacks: readonly SubsetFallback[] = ["none", "any-endpoint", "default-subset"];
const selectorFallbacks: readonly SubsetSelector["fallback"][] = [undefined, ...fallbacks, "keys-subset"];

/** Reads the settings; undefined without selectors, which is as if there were none. */
export function parseSubsets(
  either: MessageReader<Cluster_LbSubsetConfig> | MessageReader<Subset> | undefined,
): SubsetConfig | undefined {
  if (either === undefined) return undefined;
  const reader = either as MessageReader<Cluster_LbSubsetConfig>;
  const isAware = reader.get("localityWeightAware");
  const isScaled = reader.get("scaleLocalityWeight");
  if (isScaled && !isAware) reader.invalid("scaleLocalityWeight", "needs locality_weight_aware");
  const config: SubsetConfig = {
    fallback: fallbacks[reader.get("fallbackPolicy")] ?? "none",
    defaultSubset: reader.get("defaultSubset") ?? {},
    selectors: reader.children("subsetSelectors").map(parseSelector),
    panicModeAny: reader.get("panicModeAny"),
    listAsAny: reader.get("listAsAny"),
    usesFallbackList: reader.get("metadataFallbackPolicy") === 1,
    localityWeights: isAware ? (isScaled ? "scaled" : "kept") : "none",
  };
  reader.finish();
  return config.selectors.length === 0 ? undefined : config;
}

function parseSelector(reader: MessageReader<Cluster_LbSubsetConfig_LbSubsetSelector>): SubsetSelector {
  const keys = reader.get("keys").toSorted();
  const fallback = selectorFallbacks[reader.get("fallbackPolicy")];
  const fallbackKeys = reader.get("fallbackKeysSubset");
  const isSingleHost = reader.get("singleHostPerSubset");
  reader.finish();
  const isSubset = fallbackKeys.every((key) => keys.includes(key)) && fallbackKeys.length < keys.length;
  if (fallback === "keys-subset" && (fallbackKeys.length === 0 || !isSubset))
    reader.invalid("fallbackKeysSubset", "must name some, but not all, of the keys of its selector");
  return { keys, fallback, fallbackKeys, isSingleHost };
}
