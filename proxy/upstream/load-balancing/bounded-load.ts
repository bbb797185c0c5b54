/** Bounded loads for hash tables (`hash_balance_factor`, L-23). */
import type { UpstreamHost } from "../host.ts";
import type { HashTable, WeightedHost } from "./hash-table.ts";
import { MersenneTwister } from "./mersenne-twister.ts";

/** Passes over hosts that have more than their share of the active requests, in an order that the hash decides. */
export class BoundedLoadTable implements HashTable {
  readonly #table: HashTable;
  readonly #weighted: readonly WeightedHost[];
  readonly #weights: ReadonlyMap<UpstreamHost, number>;
  readonly #factor: number;

  constructor(table: HashTable, weighted: readonly WeightedHost[], factor: number) {
    this.#table = table;
    this.#weighted = weighted;
    this.#weights = new Map(weighted.map(({ host, weight }) => [host, weight]));
    this.#factor = factor;
  }

  pick(hash: bigint, attempt: number): UpstreamHost | undefined {
    const host = this.#table.pick(hash, attempt);
    if (host === undefined) return undefined;
    let total = 0;
    for (const entry of this.#weighted) total += entry.host.stats.rqActive;
    let best = host;
    let least = this.#overload(host, total, this.#weights.get(host) ?? 0);
    if (least <= 1) return host;
    for (const index of shuffled(this.#weighted.length, hash)) {
      const candidate = this.#weighted[index] as WeightedHost;
      if (candidate.host === host) continue;
      const overload = this.#overload(candidate.host, total, candidate.weight);
      if (overload <= 1) return candidate.host;
      if (overload < least) {
        least = overload;
        best = candidate.host;
      }
    }
    return best;
  }

  #overload(host: UpstreamHost, totalActive: number, weight: number): number {
    const slots = Math.floor(((totalActive + 1) * this.#factor + 99) / 100);
    return host.stats.rqActive / Math.max(1, Math.ceil(slots * weight));
  }
}

/** A permutation of 0 … count−1 that depends on the hash only. */
export function shuffled(count: number, hash: bigint): number[] {
  const generator = new MersenneTwister(Number(hash & 0xffffffffn));
  const order = Array.from({ length: count }, (_value, index) => index);
  for (let i = 0; i < count - 1; i++) {
    const other = i + generator.below(count - i);
    [order[i], order[other]] = [order[other] as number, order[i] as number];
  }
  return order;
}
