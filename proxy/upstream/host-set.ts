/** The hosts of one priority, sorted by health and by locality: immutable, built anew when anything changes (L-01, L-11). */
import { HealthFlag, localityKey, type UpstreamHost } from "./host.ts";
import type { Locality } from "./types.ts";

export interface LocalitySet {
  readonly locality: Locality;
  /** `load_balancing_weight` of the locality; 0 where it has none. */
  readonly weight: number;
  readonly hosts: readonly UpstreamHost[];
  readonly healthy: readonly UpstreamHost[];
  readonly degraded: readonly UpstreamHost[];
}

export interface HostSet {
  readonly priority: number;
  readonly hosts: readonly UpstreamHost[];
  readonly healthy: readonly UpstreamHost[];
  readonly degraded: readonly UpstreamHost[];
  /** Hosts that do not count (waiting for their first health check, or failed at once by one). */
  readonly excluded: readonly UpstreamHost[];
  readonly localities: readonly LocalitySet[];
}

/** Weights of the localities of one priority, by `localityKey`. */
export type LocalityWeights = ReadonlyMap<string, number>;

/** Sorts the hosts of one priority, keeping their order. */
export function buildHostSet(priority: number, hosts: readonly UpstreamHost[], weights: LocalityWeights): HostSet {
  const byLocality = Map.groupBy(hosts, (host) => localityKey(host.locality));
  const localities = [...byLocality].map(([key, members]) => ({
    locality: (members[0] as UpstreamHost).locality,
    weight: weights.get(key) ?? 0,
    hosts: members,
    healthy: members.filter(isHealthy),
    degraded: members.filter(isDegraded),
  }));
  return {
    priority,
    hosts,
    healthy: hosts.filter(isHealthy),
    degraded: hosts.filter(isDegraded),
    excluded: hosts.filter(isExcluded),
    localities,
  };
}

const excludedBits = HealthFlag.excludedViaImmediateHcFail | HealthFlag.pendingActiveHc;

function isHealthy(host: UpstreamHost): boolean {
  return host.health === "healthy";
}
function isDegraded(host: UpstreamHost): boolean {
  return host.health === "degraded";
}
function isExcluded(host: UpstreamHost): boolean {
  return (host.flags & excludedBits) !== 0;
}
