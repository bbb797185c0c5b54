/** RING_HASH and MAGLEV over priorities: one table each, rebuilt when hosts change (L-21 … L-24). */
import type { UpstreamHost } from "../host.ts";
import type { HostSet } from "../host-set.ts";
import type { LbContext } from "../types.ts";
import { normalizedLocalityWeights, normalizedWeights, type HashTable, type WeightedHost } from "./hash-table.ts";
import { loadOf, pickAgain, type LoadBalancer, type LoadBalancerOptions } from "./load-balancer.ts";
import { priorityAt, type PriorityLoad } from "./priority-load.ts";

/** Makes the table of one priority; `weighted` is never empty. */
export type HashTableFactory = (weighted: readonly WeightedHost[]) => HashTable;

export class HashLoadBalancer implements LoadBalancer {
  readonly #factory: HashTableFactory;
  readonly #options: LoadBalancerOptions;
  #load: PriorityLoad = { healthy: [], degraded: [], panic: [] };
  #sets: readonly HostSet[] = [];
  #tables: (HashTable | undefined)[] = [];

  constructor(factory: HashTableFactory, options: LoadBalancerOptions) {
    this.#factory = factory;
    this.#options = options;
  }

  update(levels: readonly HostSet[], overprovisioningFactor: number): void {
    this.#load = loadOf(levels, overprovisioningFactor, this.#options);
    this.#sets = levels;
    // Built on first use: a table costs thousands of hashes, and many clusters are never asked.
    this.#tables = [];
  }

  choose(context: LbContext): UpstreamHost | undefined {
    const hash = context.hash ?? this.#options.random.uint64();
    const { priority } = priorityAt(this.#load, Number(hash % 100n) + 1);
    const table = this.#table(priority);
    if (this.#load.panic[priority] === true) this.#options.countPanic().inc();
    const host = table?.pick(hash, 0);
    if (host === undefined || table === undefined || context.shouldSelectAnotherHost === undefined) return host;
    return pickAgain(context, host, (attempt) => table.pick(hash, attempt));
  }

  #table(priority: number): HashTable | undefined {
    const made = this.#tables[priority];
    if (made !== undefined) return made;
    const set = this.#sets[priority];
    if (set === undefined) return undefined;
    const isPanic = this.#load.panic[priority] === true;
    if (isPanic && this.#options.failTrafficOnPanic) return undefined;
    const weighted = this.#options.isLocalityWeighted
      ? normalizedLocalityWeights(set.localities.map((locality) => membersOf(locality, isPanic)))
      : normalizedWeights(isPanic ? set.hosts : set.healthy);
    if (weighted.length === 0) return undefined;
    const table = this.#factory(weighted);
    this.#tables[priority] = table;
    return table;
  }
}

function membersOf(
  locality: HostSet["localities"][number],
  isPanic: boolean,
): Parameters<typeof normalizedLocalityWeights>[0][number] {
  const hosts = isPanic ? locality.hosts : locality.healthy;
  return { locality: locality.locality, weight: locality.weight, hosts };
}
