/** RING_HASH: Ketama's consistent hashing, with Envoy's rings to the bit (L-21). */
import { xxHash64 } from "#lib/xxhash64.ts";
import type { UpstreamHost } from "../host.ts";
import { hashKey, type HashTable, type WeightedHost } from "./hash-table.ts";
import { murmurHash2 } from "./murmur-hash.ts";

export interface RingHashConfig {
  readonly kind: "ring-hash";
  /** Default 1024. */
  readonly minimumRingSize: number;
  /** Default 8 M. */
  readonly maximumRingSize: number;
  readonly hashFunction: "xx-hash" | "murmur-hash-2";
  readonly useHostnameForHashing: boolean;
  /** 0: no bound on load. */
  readonly hashBalanceFactor: number;
}

export interface RingStats {
  readonly size: number;
  readonly minHashesPerHost: number;
  readonly maxHashesPerHost: number;
}

export class HashRing implements HashTable {
  readonly stats: RingStats;
  readonly #hashes: BigUint64Array;
  readonly #hosts: readonly UpstreamHost[];

  constructor(weighted: readonly WeightedHost[], config: RingHashConfig) {
    const hash = config.hashFunction === "murmur-hash-2" ? murmurHash2 : xxHash64;
    const minWeight = Math.min(...weighted.map((entry) => entry.weight));
    const scale = Math.min(Math.ceil(minWeight * config.minimumRingSize) / minWeight, config.maximumRingSize);
    const entries: { readonly hash: bigint; readonly host: UpstreamHost }[] = [];
    let target = 0;
    let [min, max] = [Infinity, 0];
    for (const { host, weight } of weighted) {
      const key = `${hashKey(host, config.useHostnameForHashing)}_`;
      target += scale * weight;
      let count = 0;
      for (; entries.length < target; count++) entries.push({ hash: hash(key + String(count)), host });
      min = Math.min(min, count);
      max = Math.max(max, count);
    }
    entries.sort((a, b) => (a.hash < b.hash ? -1 : a.hash > b.hash ? 1 : 0));
    this.#hashes = BigUint64Array.from(entries, (entry) => entry.hash);
    this.#hosts = entries.map((entry) => entry.host);
    this.stats = { size: entries.length, minHashesPerHost: entries.length === 0 ? 0 : min, maxHashesPerHost: max };
  }

  /** Hashes and hosts in the order of the ring; for tests and the curious. */
  entries(): readonly (readonly [bigint, UpstreamHost])[] {
    return this.#hosts.map((host, at) => [this.#hashes[at] as bigint, host]);
  }

  pick(hash: bigint, attempt: number): UpstreamHost | undefined {
    const hashes = this.#hashes;
    const size = hashes.length;
    if (size === 0) return undefined;
    let low = 0;
    let high = size;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((hashes[middle] as bigint) < hash) low = middle + 1;
      else high = middle;
    }
    return this.#hosts[((low === size ? 0 : low) + attempt) % size];
  }
}
