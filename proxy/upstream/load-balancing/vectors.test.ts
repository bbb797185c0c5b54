import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { xxHash64 } from "#lib/xxhash64.ts";
import type { UpstreamHost } from "../host.ts";
import { hostAt } from "../testing/hosts.ts";
import { shuffled } from "./bounded-load.ts";
import { normalizedLocalityWeights, normalizedWeights, type LocalityHosts, type WeightedHost } from "./hash-table.ts";
import { isPrime, MaglevTable, type MaglevConfig } from "./maglev.ts";
import { murmurHash2 } from "./murmur-hash.ts";
import { priorityLoad, type PriorityCounts } from "./priority-load.ts";
import { HashRing, type RingHashConfig } from "./ring-hash.ts";

const folder = join(import.meta.dirname, "../../../../shared/vectors");
const isThere = existsSync(folder);
if (!isThere) console.log("skipped: the vectors folder is not beside the checkout");

function load<T>(name: string): T {
  return JSON.parse(readFileSync(join(folder, name), "utf8")) as T;
}

type HostSpec = string | [string, number] | [string, number, string];

interface TableCase {
  readonly name: string;
  readonly hosts?: HostSpec[] | string;
  readonly use_hostname_for_hashing?: boolean;
  readonly min_ring_size?: number;
  readonly max_ring_size?: number;
  readonly hash?: string;
  readonly table_size?: number;
  readonly locality_weights?: Record<string, number>;
  readonly locality_weights_in_order_A_B_C?: number[];
  readonly stats?: { size: number; min_hashes_per_host: number; max_hashes_per_host: number };
  readonly ring?: [string, string][];
  readonly table?: string[];
  readonly picks?: [string, string][];
  readonly retry_picks?: { hash: string; attempt: number; host: string }[];
  readonly histogram?: { n: number; counts: number[] };
  readonly counts?: { host0: number; others: number };
  readonly error?: string;
}

interface Vectors {
  readonly hashes: { xxhash64_seed0: Record<string, string>; murmurhash2_seed_0xc70f6907: Record<string, string> };
  readonly ring_hash: TableCase[];
  readonly maglev: TableCase[];
  readonly bounded_load: { sequences: Record<string, number[]> };
}

const vectors = isThere ? load<Vectors>("lb_consistent_hash.json") : undefined;

/** Hosts of a case, with the locality of each. */
function hostsOf(row: TableCase): { host: UpstreamHost; locality: string | undefined }[] {
  if (typeof row.hosts === "string")
    return Array.from({ length: 1024 }, (_value, port) => ({
      host: hostAt(`127.0.0.1:${port}`),
      locality: port === 0 ? "A" : "B",
    }));
  return (row.hosts ?? []).map((spec) => {
    const [name, weight = 1, locality] = typeof spec === "string" ? [spec] : spec;
    const host = name.includes(":")
      ? hostAt(name, { weight })
      : hostAt(`127.0.0.1:${name}`, { weight, hostname: name });
    return { host, locality };
  });
}

function weightedOf(row: TableCase): WeightedHost[] {
  const hosts = hostsOf(row);
  const [a = 0, b = 0, c = 0] = row.locality_weights_in_order_A_B_C ?? [];
  const weights = row.locality_weights ?? (row.locality_weights_in_order_A_B_C && { A: a, B: b, C: c });
  if (weights === undefined) return normalizedWeights(hosts.map(({ host }) => host));
  const names = Object.keys(weights).toSorted();
  const localities: LocalityHosts[] = names.map((name) => ({
    locality: { region: name, zone: "", subZone: "" },
    weight: weights[name] ?? 0,
    hosts: hosts.filter(({ locality }) => locality === name).map(({ host }) => host),
  }));
  return normalizedLocalityWeights(localities);
}

function nameOf(host: UpstreamHost | undefined, row: TableCase): string | undefined {
  return row.use_hostname_for_hashing === true ? host?.hostname : host?.addressText;
}

function ringOf(row: TableCase): HashRing {
  const config: RingHashConfig = {
    kind: "ring-hash",
    minimumRingSize: row.min_ring_size ?? 1024,
    maximumRingSize: row.max_ring_size ?? 8_388_608,
    hashFunction: row.hash === "MURMUR_HASH_2" ? "murmur-hash-2" : "xx-hash",
    useHostnameForHashing: row.use_hostname_for_hashing ?? false,
    hashBalanceFactor: 0,
  };
  return new HashRing(weightedOf(row), config);
}

describe.skipIf(!isThere)("hash functions", () => {
  test("xxHash64", () => {
    for (const [text, value] of Object.entries(vectors?.hashes.xxhash64_seed0 ?? {}))
      expect(xxHash64(text).toString()).toBe(value);
  });
  test("MurmurHash2", () => {
    for (const [text, value] of Object.entries(vectors?.hashes.murmurhash2_seed_0xc70f6907 ?? {}))
      expect(murmurHash2(text).toString()).toBe(value);
  });
});

describe.skipIf(!isThere)("RING_HASH vectors", () => {
  const rows = (vectors?.ring_hash ?? []).filter((row) => row.hosts !== undefined);
  test.each(rows.map((row) => [row.name, row] as const))("L-21: %s", (_name, row) => {
    const ring = ringOf(row);
    if (row.ring !== undefined)
      expect(ring.entries().map(([hash, host]) => [hash.toString(), nameOf(host, row)])).toEqual(row.ring);
    for (const [hash, host] of row.picks ?? []) expect(nameOf(ring.pick(BigInt(hash), 0), row)).toBe(host);
    for (const { hash, attempt, host } of row.retry_picks ?? [])
      expect(nameOf(ring.pick(BigInt(hash), attempt), row)).toBe(host);
    if (row.stats !== undefined)
      expect({
        size: ring.stats.size,
        min_hashes_per_host: ring.stats.minHashesPerHost,
        max_hashes_per_host: ring.stats.maxHashesPerHost,
      }).toEqual(row.stats);
    if (row.histogram !== undefined) {
      const { n, counts } = row.histogram;
      const step = (2n ** 64n - 1n) / BigInt(n);
      const found = new Map<string, number>();
      for (let i = 0; i < n; i++) {
        const name = ring.pick(BigInt(i) * step, 0)?.addressText ?? "";
        found.set(name, (found.get(name) ?? 0) + 1);
      }
      expect(hostsOf(row).map(({ host }) => found.get(host.addressText))).toEqual(counts);
    }
  });

  test("L-21: localities without weight make an empty ring", () => {
    const hosts = [hostAt("127.0.0.1:90"), hostAt("127.0.0.1:91")];
    const locality = { region: "A", zone: "", subZone: "" };
    expect(normalizedLocalityWeights([{ locality, weight: 0, hosts }])).toEqual([]);
  });
});

describe.skipIf(!isThere)("MAGLEV vectors", () => {
  const rows = (vectors?.maglev ?? []).filter((row) => row.hosts !== undefined);
  test.each(rows.map((row) => [row.name, row] as const))("L-22: %s", (_name, row) => {
    const config: MaglevConfig = {
      kind: "maglev",
      tableSize: row.table_size ?? 65_537,
      useHostnameForHashing: row.use_hostname_for_hashing ?? false,
      hashBalanceFactor: 0,
    };
    const table = new MaglevTable(weightedOf(row), config);
    if (row.table !== undefined) expect(table.entries().map((host) => nameOf(host, row))).toEqual(row.table);
    for (const { hash, attempt, host } of row.retry_picks ?? [])
      expect(nameOf(table.pick(BigInt(hash), attempt), row)).toBe(host);
    if (row.counts !== undefined) {
      expect(table.entries().filter((host) => host.addressText === "127.0.0.1:0")).toHaveLength(row.counts.host0);
      expect(table.minEntriesPerHost).toBe(row.counts.others);
    }
  });
  test("L-22: a table has a prime size", () => {
    expect([7, 17, 65_537, 5_000_011].every(isPrime)).toBe(true);
    expect([0, 1, 8, 9, 65_539 * 2].some(isPrime)).toBe(false);
  });
});

describe.skipIf(!isThere)("bounded load vectors", () => {
  test("L-23: the order of hosts comes from the hash", () => {
    for (const [key, order] of Object.entries(vectors?.bounded_load.sequences ?? {})) {
      const [, count, seed] = /n=(\d+),seed=(\d+)/.exec(key) ?? [];
      expect(shuffled(Number(count), BigInt(seed ?? 0))).toEqual(order);
    }
  });
});

interface PriorityCase {
  readonly levels: PriorityCounts[];
  readonly overprovisioning_factor: number;
  readonly healthy_panic_threshold: number;
  readonly load: number[];
  readonly degraded_load?: number[];
  readonly panic?: boolean[];
}

interface WeightedPriorityCase {
  readonly overprovisioning_factor: number;
  readonly levels: Partial<Record<"healthy_w" | "unhealthy_w" | "degraded_w" | "excluded_w", number[]>>[];
  readonly load: number[];
  readonly degraded_load?: number[];
}

interface PriorityVectors {
  readonly code_cases: PriorityCase[];
  readonly weighted_priority_health: WeightedPriorityCase[];
}

describe.skipIf(!isThere)("priority load vectors", () => {
  const { code_cases: rows, weighted_priority_health: weighted } = isThere
    ? load<PriorityVectors>("priority_load.json")
    : { code_cases: [], weighted_priority_health: [] };

  test.each(weighted.map((row, index) => [index, row] as const))("L-02: weighted health, case %i", (_index, row) => {
    const sum = (weights: number[] = []): number => weights.reduce((total, weight) => total + weight, 0);
    const shares = row.levels.map((level) => ({
      hosts: Object.values(level).reduce((total, weights) => total + sum(weights), 0),
      healthy: sum(level.healthy_w),
      degraded: sum(level.degraded_w),
      excluded: sum(level.excluded_w),
    }));
    const counts = row.levels.map((level) => ({
      hosts: Object.values(level).flat().length,
      healthy: level.healthy_w?.length ?? 0,
      degraded: level.degraded_w?.length ?? 0,
      excluded: level.excluded_w?.length ?? 0,
    }));
    const options = { overprovisioningFactor: row.overprovisioning_factor, panicThreshold: 50 };
    const found = priorityLoad(counts, options, shares);
    expect(found.healthy).toEqual(row.load);
    if (row.degraded_load !== undefined) expect(found.degraded).toEqual(row.degraded_load);
  });

  test.each(rows.map((row, index) => [index, row] as const))("L-02 … L-08: case %i", (_index, row) => {
    const load = priorityLoad(row.levels, {
      overprovisioningFactor: row.overprovisioning_factor,
      panicThreshold: row.healthy_panic_threshold,
    });
    expect(load.healthy).toEqual(row.load);
    if (row.degraded_load !== undefined) expect(load.degraded).toEqual(row.degraded_load);
    if (row.panic !== undefined) expect(load.panic).toEqual(row.panic);
  });
});
