/** What ring hash and Maglev share: a table over hosts with normalised weights, and its keys. */
import { byteString } from "#lib/xxhash64.ts";
import type { Locality } from "../types.ts";
import type { UpstreamHost } from "../host.ts";

/** Picks by hash; each further attempt of the same request gets another place. */
export interface HashTable {
  pick(hash: bigint, attempt: number): UpstreamHost | undefined;
}

export interface WeightedHost {
  readonly host: UpstreamHost;
  /** Share of the whole; all together make 1. */
  readonly weight: number;
}

export interface LocalityHosts {
  readonly locality: Locality;
  readonly weight: number;
  readonly hosts: readonly UpstreamHost[];
}

/** Shares by the weights of hosts. */
export function normalizedWeights(hosts: readonly UpstreamHost[], share = 1): WeightedHost[] {
  const total = hosts.reduce((sum, host) => sum + host.weight, 0);
  return hosts.map((host) => ({ host, weight: (share * host.weight) / total }));
}

/** Shares by the weights of localities and of the hosts in them; hosts of localities without weight are left out. */
export function normalizedLocalityWeights(localities: readonly LocalityHosts[]): WeightedHost[] {
  const total = localities.reduce((sum, locality) => sum + locality.weight, 0);
  if (total === 0) return [];
  return localities
    .filter((locality) => locality.weight > 0)
    .flatMap((locality) => normalizedWeights(locality.hosts, locality.weight / total));
}

/** `envoy.lb` metadata `hash_key`, else the host name where asked, else the address (L-21). */
export function hashKey(host: UpstreamHost, useHostname: boolean): string {
  const key = host.metadata["envoy.lb"]?.["hash_key"];
  if (typeof key === "string") return byteString(key);
  return useHostname ? host.hostname : host.addressText;
}
