/** Zone aware routing: as much traffic as fits stays in the proxy's own zone (L-13). */
import type { Random } from "#lib/runtime.ts";
import type { HostSet, LocalitySet } from "../host-set.ts";
import { isSameLocality } from "../host.ts";
import type { Locality } from "../types.ts";

export interface ZoneAwareConfig {
  /** Percent of requests that it concerns; default 100. */
  readonly routingEnabled: number;
  /** Fewer healthy hosts than these are not divided; default 6. */
  readonly minClusterSize: number;
  /** All stays in the zone, whatever its share is. */
  readonly forcesDirect: boolean;
}

export const zoneAwareDefaults: ZoneAwareConfig = { routingEnabled: 100, minClusterSize: 6, forcesDirect: false };

/** The cluster that the proxy itself belongs to (`cluster_manager.local_cluster_name`). */
export interface LocalCluster {
  /** Of the node. */
  readonly locality: Locality;
  /** Another one than before: its hosts have changed. */
  readonly version: number;
  /** Its hosts of priority 0; undefined: there is no such cluster (yet). */
  hosts(): HostSet | undefined;
}

/** How requests to one host set are divided. Shares are of 10000, as Envoy counts them. */
export type ZonePlan =
  | { readonly kind: "none"; readonly reason?: "lb_zone_cluster_too_small" | "lb_local_cluster_not_ok" }
  | { readonly kind: "direct"; readonly own: LocalitySet }
  | {
      readonly kind: "residual";
      readonly own: LocalitySet;
      /** Share of requests that stay. */
      readonly localShare: number;
      readonly others: readonly LocalitySet[];
      /** Room that each of `others` has beyond its own zone's share, summed up to it. */
      readonly residual: readonly number[];
    };

/** Divides the requests; pure. `local`: the hosts of the proxy's own cluster. */
export function planZones(upstream: HostSet, local: HostSet, node: Locality, config: ZoneAwareConfig): ZonePlan {
  const { localities } = upstream;
  if (localities.length < 2) return { kind: "none" };
  const own = localities.find(({ locality }) => isSameLocality(locality, node));
  if (own === undefined || local.hosts.length === 0) return { kind: "none", reason: "lb_local_cluster_not_ok" };
  if (upstream.healthy.length < config.minClusterSize) return { kind: "none", reason: "lb_zone_cluster_too_small" };
  const share = (count: number, total: number): number => (total === 0 ? 0 : Math.floor((10_000 * count) / total));
  const sharesOf = (set: LocalitySet): { readonly upstream: number; readonly local: number } => {
    const here = local.localities.find(({ locality }) => isSameLocality(locality, set.locality));
    return {
      upstream: share(set.healthy.length, upstream.healthy.length),
      local: set.healthy.length === 0 ? 0 : share(here?.healthy.length ?? 0, local.healthy.length),
    };
  };
  const mine = sharesOf(own);
  if (mine.upstream > 0 && (mine.upstream >= mine.local || config.forcesDirect)) return { kind: "direct", own };
  const others = localities.filter((set) => set !== own);
  let sum = 0;
  const residual = others.map((set) => {
    const shares = sharesOf(set);
    sum += Math.max(0, shares.upstream - shares.local);
    return sum;
  });
  const localShare = mine.local === 0 ? 0 : Math.floor((mine.upstream * 10_000) / mine.local);
  return { kind: "residual", own, localShare, others, residual };
}

export type ZoneCounter =
  | "lb_recalculate_zone_structures"
  | "lb_local_cluster_not_ok"
  | "lb_zone_cluster_too_small"
  | "lb_zone_no_capacity_left"
  | "lb_zone_routing_all_directly"
  | "lb_zone_routing_sampled"
  | "lb_zone_routing_cross_zone";

/** The zone for one request; `count` counts the decision. */
export function pickZone(
  plan: Exclude<ZonePlan, { readonly kind: "none" }>,
  random: Random,
  count: (name: ZoneCounter) => void,
): LocalitySet {
  if (plan.kind === "direct") {
    count("lb_zone_routing_all_directly");
    return plan.own;
  }
  const { own, others, residual, localShare } = plan;
  if (random.uint32() % 10_000 < localShare) {
    count("lb_zone_routing_sampled");
    return own;
  }
  count("lb_zone_routing_cross_zone");
  const capacity = residual.at(-1) ?? 0;
  if (capacity === 0) {
    // Shares are rounded: now and then nothing is left of them.
    count("lb_zone_no_capacity_left");
    const all = [own, ...others];
    return all[random.uint32() % all.length] as LocalitySet;
  }
  const value = random.uint32() % capacity;
  return others[residual.findIndex((reached) => value < reached)] as LocalitySet;
}
