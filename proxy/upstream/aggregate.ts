/** `envoy.clusters.aggregate`: the priorities of several clusters, one after the other; each keeps its own balancer (L-25). */
import type { Random } from "#lib/runtime.ts";
import type { ClusterEntry } from "./cluster.ts";
import type { HostSet } from "./host-set.ts";
import type { UpstreamHost } from "./host.ts";
import { loadOf, type LoadBalancerOptions } from "./load-balancing/load-balancer.ts";
import { priorityAt, type PriorityLoad } from "./load-balancing/priority-load.ts";
import type { LbContext } from "./types.ts";

/** All clusters of the proxy, as far as an aggregate has to know them. */
export interface ClusterDirectory {
  get(name: string): ClusterEntry | undefined;
  /** Another one than before: hosts of some cluster have changed. */
  readonly version: number;
}

interface Level {
  readonly cluster: ClusterEntry;
  readonly set: HostSet;
}

export class AggregateHosts {
  readonly #names: readonly string[];
  readonly #directory: ClusterDirectory;
  readonly #options: Pick<LoadBalancerOptions, "panicThreshold" | "usesWeightedPriorityHealth">;
  readonly #random: Random;
  readonly #owners = new WeakMap<UpstreamHost, ClusterEntry>();
  #levels: readonly Level[] = [];
  #load: PriorityLoad = { healthy: [], degraded: [], panic: [] };
  #version = -1;

  constructor(
    names: readonly string[],
    directory: ClusterDirectory,
    options: Pick<LoadBalancerOptions, "panicThreshold" | "usesWeightedPriorityHealth">,
    random: Random,
  ) {
    this.#names = names;
    this.#directory = directory;
    this.#options = options;
    this.#random = random;
  }

  /** The cluster that a chosen host belongs to: its connections and circuit breakers are that one's. */
  ownerOf(host: UpstreamHost): ClusterEntry | undefined {
    return this.#owners.get(host);
  }

  choose(context: LbContext): UpstreamHost | undefined {
    if (this.#version !== this.#directory.version) this.#rebuild();
    const { priority } = priorityAt(this.#load, (this.#random.uint32() % 100) + 1);
    const level = this.#levels[priority];
    if (level === undefined) return undefined;
    const host = level.cluster.chooseHost(within(level, context)) as UpstreamHost | undefined;
    if (host !== undefined) this.#owners.set(host, level.cluster);
    return host;
  }

  #rebuild(): void {
    this.#version = this.#directory.version;
    // An aggregate has no host sets: one within another counts as empty.
    this.#levels = this.#names
      .map((name) => this.#directory.get(name))
      .filter((cluster) => cluster !== undefined)
      .flatMap((cluster) => cluster.hostSets.map((set) => ({ cluster, set })));
    // One after the other: a level of the second cluster comes after all of the first.
    const sets = this.#levels.map(({ set }, priority) => ({ ...set, priority }));
    this.#load = loadOf(sets, this.#levels[0]?.cluster.overprovisioningFactor ?? 140, this.#options);
  }
}

/** The request, kept to one priority of its cluster. */
function within({ cluster, set }: Level, context: LbContext): LbContext {
  if (cluster.hostSets.length === 1) return context;
  const others = cluster.hostSets.map(({ priority }) => priority).filter((priority) => priority !== set.priority);
  const { hash, metadataMatch, originalDestination, hostSelectionRetryMaxAttempts } = context;
  return {
    hash,
    metadataMatch,
    originalDestination,
    hostSelectionRetryMaxAttempts,
    triedPriorities: others,
    shouldSelectAnotherHost: (host) => context.shouldSelectAnotherHost?.(host) ?? false,
  };
}
