/** From a policy's configuration to its balancer. */
import type { StatsScope } from "../../observability/stats.ts";
import { BoundedLoadTable } from "./bounded-load.ts";
import { clientSideWeighted, type ClientSideWeightedConfig } from "./client-side-weights.ts";
import { HashLoadBalancer, type HashTableFactory } from "./hash-load-balancer.ts";
import type { HashTable, WeightedHost } from "./hash-table.ts";
import { leastRequest, type LeastRequestConfig } from "./least-request.ts";
import { ListLoadBalancer, type LoadBalancer, type LoadBalancerOptions } from "./load-balancer.ts";
import { MaglevTable, type MaglevConfig } from "./maglev.ts";
import { random, type RandomConfig } from "./random.ts";
import { HashRing, type RingHashConfig } from "./ring-hash.ts";
import { roundRobin, type RoundRobinConfig } from "./round-robin.ts";

/** A policy with its settings. `cluster-provided` belongs to ORIGINAL_DST, which brings its own balancer. */
export type LbPolicyConfig =
  | RoundRobinConfig
  | LeastRequestConfig
  | RandomConfig
  | RingHashConfig
  | MaglevConfig
  | ClientSideWeightedConfig
  | { readonly kind: "cluster-provided" };

/** `scope` is `cluster.<name>.`. */
export function createLoadBalancer(
  policy: Exclude<LbPolicyConfig, { kind: "cluster-provided" }>,
  options: LoadBalancerOptions,
  scope: StatsScope,
): LoadBalancer {
  switch (policy.kind) {
    case "round-robin":
      return new ListLoadBalancer(roundRobin(policy, options), options);
    case "least-request":
      return new ListLoadBalancer(leastRequest(policy, options), options);
    case "random":
      return new ListLoadBalancer(random(options), options);
    case "client-side-weighted-round-robin":
      return new ListLoadBalancer(clientSideWeighted(policy, options), options);
    case "ring-hash":
      return new HashLoadBalancer(ringFactory(policy, scope), options);
    case "maglev":
      return new HashLoadBalancer(maglevFactory(policy, scope), options);
  }
}

function ringFactory(policy: RingHashConfig, scope: StatsScope): HashTableFactory {
  return (weighted) => {
    const ring = new HashRing(weighted, policy);
    const stats = scope.scope("ring_hash_lb");
    stats.gauge("size").set(ring.stats.size);
    stats.gauge("min_hashes_per_host").set(ring.stats.minHashesPerHost);
    stats.gauge("max_hashes_per_host").set(ring.stats.maxHashesPerHost);
    return bounded(ring, weighted, policy.hashBalanceFactor);
  };
}

function maglevFactory(policy: MaglevConfig, scope: StatsScope): HashTableFactory {
  return (weighted) => {
    const table = new MaglevTable(weighted, policy);
    const stats = scope.scope("maglev_lb");
    stats.gauge("min_entries_per_host").set(table.minEntriesPerHost);
    stats.gauge("max_entries_per_host").set(table.maxEntriesPerHost);
    return bounded(table, weighted, policy.hashBalanceFactor);
  };
}

function bounded(table: HashTable, weighted: readonly WeightedHost[], factor: number): HashTable {
  return factor === 0 ? table : new BoundedLoadTable(table, weighted, factor);
}
