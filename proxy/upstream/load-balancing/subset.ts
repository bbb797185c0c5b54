/** Subset load balancing: hosts by their `envoy.lb` metadata, balanced within the subset that the route asks for (L-26). */
import type { Counter, Gauge, StatsScope } from "../../observability/stats.ts";
import type { UpstreamHost } from "../host.ts";
import { buildHostSet, type HostSet } from "../host-set.ts";
import { localityKey } from "../host.ts";
import type { LbContext } from "../types.ts";
import type { LoadBalancer } from "./load-balancer.ts";

export type SubsetFallback = "none" | "any-endpoint" | "default-subset";

export interface SubsetSelector {
  /** Sorted. */
  readonly keys: readonly string[];
  /** undefined: the cluster's. */
  readonly fallback: SubsetFallback | "keys-subset" | undefined;
  /** A subset is the first host that has its values. */
  readonly isSingleHost: boolean;
  /** For `keys-subset`: what is left of the keys. */
  readonly fallbackKeys: readonly string[];
}

export interface SubsetConfig {
  readonly fallback: SubsetFallback;
  readonly defaultSubset: Readonly<Record<string, unknown>>;
  readonly selectors: readonly SubsetSelector[];
  readonly panicModeAny: boolean;
  readonly listAsAny: boolean;
  /** `metadata_fallback_policy: FALLBACK_LIST`: the route's `fallback_list` says what is tried one after the other. */
  readonly usesFallbackList: boolean;
  /** Whether the weights of localities hold within subsets, and are scaled to the share of a locality's hosts there. */
  readonly localityWeights: "none" | "kept" | "scaled";
}

type MetadataMatch = Readonly<Record<string, unknown>>;

/** Balances all hosts, and each subset, with balancers of the same policy. */
export class SubsetLoadBalancer implements LoadBalancer {
  readonly #config: SubsetConfig;
  readonly #create: () => LoadBalancer;
  readonly #stats: SubsetStats;
  readonly #all: LoadBalancer;
  readonly #default: LoadBalancer;
  #subsets = new Map<string, LoadBalancer>();

  /** `create` makes a balancer of the cluster's policy. */
  constructor(config: SubsetConfig, create: () => LoadBalancer, scope: StatsScope) {
    this.#config = config;
    this.#create = create;
    this.#stats = new SubsetStats(scope);
    this.#all = create();
    this.#default = create();
  }

  update(levels: readonly HostSet[], overprovisioningFactor: number): void {
    this.#all.update(levels, overprovisioningFactor);
    const defaults = Object.entries(this.#config.defaultSubset);
    const { localityWeights } = this.#config;
    this.#default.update(
      filtered(levels, localityWeights, (host) => defaults.every(([key, value]) => this.#hasValue(host, key, value))),
      overprovisioningFactor,
    );
    const members = this.#members(levels);
    const subsets = new Map<string, LoadBalancer>();
    for (const [key, hosts] of members) {
      const known = this.#subsets.get(key);
      if (known === undefined) this.#stats.created.inc();
      const balancer = known ?? this.#create();
      balancer.update(
        filtered(levels, localityWeights, (host) => hosts.has(host)),
        overprovisioningFactor,
      );
      subsets.set(key, balancer);
    }
    for (const key of this.#subsets.keys()) if (!subsets.has(key)) this.#stats.removed.inc();
    this.#subsets = subsets;
    this.#stats.active.set(subsets.size);
  }

  choose(context: LbContext): UpstreamHost | undefined {
    if (!this.#config.usesFallbackList) return this.#chooseFor(context, context.metadataMatch);
    const { [fallbackListKey]: list, ...base } = context.metadataMatch ?? {};
    const own = context.metadataMatch === undefined ? undefined : base;
    if (!Array.isArray(list)) return this.#chooseFor(context, own);
    for (const item of list as unknown[]) {
      const host = this.#chooseFor(context, { ...base, ...(item as MetadataMatch) });
      if (host !== undefined) return host;
    }
    return undefined;
  }

  #chooseFor(context: LbContext, match: MetadataMatch | undefined): UpstreamHost | undefined {
    const host = match === undefined ? undefined : this.#fromSubset(match, context);
    if (host !== undefined) return host;
    const selector = match === undefined ? undefined : this.#selectorOf(match);
    const fallback = selector?.fallback ?? this.#config.fallback;
    if (fallback === "keys-subset") {
      if (match === undefined || selector === undefined) return undefined;
      const reduced = Object.fromEntries(selector.fallbackKeys.map((key) => [key, match[key]]));
      return this.#chooseFor(context, reduced);
    }
    return this.#fallBack(fallback, context);
  }

  #fromSubset(match: MetadataMatch, context: LbContext): UpstreamHost | undefined {
    const keys = Object.keys(match).toSorted();
    const host = this.#subsets
      .get(
        subsetKey(
          keys,
          keys.map((key) => match[key]),
        ),
      )
      ?.choose(context);
    if (host !== undefined) this.#stats.selected.inc();
    return host;
  }

  #fallBack(fallback: SubsetFallback, context: LbContext): UpstreamHost | undefined {
    const balancer = { none: undefined, "any-endpoint": this.#all, "default-subset": this.#default }[fallback];
    const host = balancer?.choose(context);
    if (host !== undefined) {
      this.#stats.fallback.inc();
      return host;
    }
    if (!this.#config.panicModeAny) return undefined;
    const any = this.#all.choose(context);
    if (any !== undefined) this.#stats.fallbackPanic.inc();
    return any;
  }

  #selectorOf(match: MetadataMatch): SubsetSelector | undefined {
    const keys = Object.keys(match).toSorted();
    return this.#config.selectors.find(
      (selector) => selector.keys.length === keys.length && selector.keys.every((key, index) => key === keys[index]),
    );
  }

  /** Hosts of each subset: every combination of values that some host has for the keys of a selector. */
  #members(levels: readonly HostSet[]): Map<string, Set<UpstreamHost>> {
    const members = new Map<string, Set<UpstreamHost>>();
    for (const { keys, isSingleHost } of this.#config.selectors) {
      for (const host of levels.flatMap((level) => level.hosts)) {
        for (const values of combinations(keys.map((key) => this.#valuesOf(host, key)))) {
          const key = subsetKey(keys, values);
          const hosts = members.get(key);
          if (hosts === undefined) members.set(key, new Set([host]));
          else if (!isSingleHost) hosts.add(host);
        }
      }
    }
    return members;
  }

  #valuesOf(host: UpstreamHost, key: string): readonly unknown[] {
    const value = host.metadata["envoy.lb"]?.[key];
    if (value === undefined) return [];
    return this.#config.listAsAny && Array.isArray(value) ? (value as unknown[]) : [value];
  }

  #hasValue(host: UpstreamHost, key: string, wanted: unknown): boolean {
    return this.#valuesOf(host, key).some((value) => JSON.stringify(value) === JSON.stringify(wanted));
  }
}

/** In the metadata that a route asks for. */
const fallbackListKey = "fallback_list";

function subsetKey(keys: readonly string[], values: readonly unknown[]): string {
  return JSON.stringify([keys, values]);
}

/** Nothing where a key has no value. */
function combinations(lists: readonly (readonly unknown[])[]): unknown[][] {
  return lists.reduce<unknown[][]>((made, list) => made.flatMap((one) => list.map((value) => [...one, value])), [[]]);
}

function filtered(
  levels: readonly HostSet[],
  weighting: SubsetConfig["localityWeights"],
  keeps: (host: UpstreamHost) => boolean,
): HostSet[] {
  return levels.map((level) => {
    const weights = new Map<string, number>();
    if (weighting !== "none")
      for (const { locality, weight, hosts } of level.localities) {
        const share = weighting === "kept" ? 1 : hosts.filter(keeps).length / hosts.length;
        weights.set(localityKey(locality), Math.round(weight * share));
      }
    return buildHostSet(level.priority, level.hosts.filter(keeps), weights);
  });
}

class SubsetStats {
  readonly active: Gauge;
  readonly created: Counter;
  readonly removed: Counter;
  readonly selected: Counter;
  readonly fallback: Counter;
  readonly fallbackPanic: Counter;

  constructor(scope: StatsScope) {
    this.active = scope.gauge("lb_subsets_active");
    this.created = scope.counter("lb_subsets_created");
    this.removed = scope.counter("lb_subsets_removed");
    this.selected = scope.counter("lb_subsets_selected");
    this.fallback = scope.counter("lb_subsets_fallback");
    this.fallbackPanic = scope.counter("lb_subsets_fallback_panic");
  }
}
