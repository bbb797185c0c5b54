/** MAGLEV: Google's consistent hashing with Envoy's weights (L-22). */
import { xxHash64 } from "#lib/xxhash64.ts";
import type { UpstreamHost } from "../host.ts";
import { hashKey, type HashTable, type WeightedHost } from "./hash-table.ts";

export interface MaglevConfig {
  readonly kind: "maglev";
  /** Prime; default 65537. */
  readonly tableSize: number;
  readonly useHostnameForHashing: boolean;
  /** 0: no bound on load. */
  readonly hashBalanceFactor: number;
}

export class MaglevTable implements HashTable {
  readonly minEntriesPerHost: number;
  readonly maxEntriesPerHost: number;
  readonly #table: readonly UpstreamHost[];

  constructor(weighted: readonly WeightedHost[], config: MaglevConfig) {
    const size = config.tableSize;
    const entries = weighted
      .map(({ host, weight }) => ({ host, weight, key: hashKey(host, config.useHostnameForHashing) }))
      .toSorted((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
      .map(({ host, weight, key }) => ({
        host,
        weight,
        offset: Number(xxHash64(key) % BigInt(size)),
        skip: Number(xxHash64(key, 1n) % BigInt(size - 1)) + 1,
        next: 0,
        target: 0,
        count: 0,
      }));
    const maxWeight = Math.max(...entries.map((entry) => entry.weight));
    const table: (UpstreamHost | undefined)[] = Array.from({ length: size }, () => undefined);
    let filled = 0;
    for (let round = 1; filled < size && entries.length > 0; round++) {
      for (const entry of entries) {
        if (filled === size) break;
        if (round * entry.weight < entry.target) continue;
        entry.target += maxWeight;
        let slot = (entry.offset + entry.skip * entry.next) % size;
        while (table[slot] !== undefined) slot = (entry.offset + entry.skip * ++entry.next) % size;
        table[slot] = entry.host;
        entry.next++;
        entry.count++;
        filled++;
      }
    }
    this.#table = table.filter((host) => host !== undefined);
    this.minEntriesPerHost = entries.length === 0 ? 0 : Math.min(...entries.map((entry) => entry.count));
    this.maxEntriesPerHost = Math.max(0, ...entries.map((entry) => entry.count));
  }

  entries(): readonly UpstreamHost[] {
    return this.#table;
  }

  pick(hash: bigint, attempt: number): UpstreamHost | undefined {
    const size = this.#table.length;
    if (size === 0) return undefined;
    const place = attempt === 0 ? hash : hash ^ BigInt.asUintN(64, -BigInt(attempt));
    return this.#table[Number(place % BigInt(size))];
  }
}

/** Trial division: tables are at most 5,000,011 long. */
export function isPrime(value: number): boolean {
  if (value < 2 || value % 2 === 0) return value === 2;
  for (let factor = 3; factor * factor <= value; factor += 2) if (value % factor === 0) return false;
  return true;
}
