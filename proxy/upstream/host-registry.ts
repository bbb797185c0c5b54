/** The hosts of a cluster by address: an update keeps those that stay, with their counts and their state. */
import { formatAddress } from "#lib/connection.ts";
import type { Assignment } from "./config/assignment.ts";
import { localityKey, UpstreamHost, type HostAttributes } from "./host.ts";
import { buildHostSet, type HostSet, type LocalityWeights } from "./host-set.ts";

export interface HostUpdate {
  readonly hosts: ReadonlyMap<string, UpstreamHost>;
  readonly added: readonly UpstreamHost[];
  readonly removed: readonly UpstreamHost[];
  /** Hosts that stay and whose metadata has changed: another transport may be theirs. */
  readonly relabelled: readonly UpstreamHost[];
  /** False: the assignment says what the last one said. */
  readonly isChanged: boolean;
  readonly weights: readonly LocalityWeights[];
}

/** Merges an assignment into the hosts that there are. An address that appears twice counts once. */
export function mergeHosts(
  current: ReadonlyMap<string, UpstreamHost>,
  assignment: Assignment,
  currentWeights: readonly LocalityWeights[],
  now: number,
): HostUpdate {
  const hosts = new Map<string, UpstreamHost>();
  const added: UpstreamHost[] = [];
  const relabelled: UpstreamHost[] = [];
  const weights: Map<string, number>[] = [];
  let isChanged = false;
  for (const { locality, priority, weight, endpoints } of assignment.localities) {
    while (weights.length <= priority) weights.push(new Map());
    (weights[priority] as Map<string, number>).set(localityKey(locality), weight);
    for (const endpoint of endpoints) {
      const key = formatAddress(endpoint.address);
      if (hosts.has(key)) continue;
      const { hostname, metadata, health } = endpoint;
      const attributes: HostAttributes = { hostname, weight: endpoint.weight, locality, priority, metadata, health };
      const known = current.get(key);
      if (known === undefined) {
        const host = new UpstreamHost(endpoint.address, attributes, now);
        added.push(host);
        hosts.set(key, host);
      } else {
        const before = known.metadata;
        if (known.update(attributes, now)) isChanged = true;
        if (known.metadata !== before && JSON.stringify(before) !== JSON.stringify(metadata)) relabelled.push(known);
        hosts.set(key, known);
      }
    }
  }
  const removed = [...current].filter(([key]) => !hosts.has(key)).map(([, host]) => host);
  const isSame = added.length === 0 && removed.length === 0 && !isChanged && isSameOrder(current, hosts);
  return { hosts, added, removed, relabelled, isChanged: !isSame || !hasSameWeights(currentWeights, weights), weights };
}

/** Host sets by priority, without gaps. */
export function hostSetsOf(hosts: Iterable<UpstreamHost>, weights: readonly LocalityWeights[]): HostSet[] {
  const byPriority: UpstreamHost[][] = [[]];
  for (const host of hosts) {
    while (byPriority.length <= host.priority) byPriority.push([]);
    (byPriority[host.priority] as UpstreamHost[]).push(host);
  }
  return byPriority.map((members, priority) => buildHostSet(priority, members, weights[priority] ?? noWeights));
}

const noWeights: LocalityWeights = new Map();

function isSameOrder(a: ReadonlyMap<string, unknown>, b: ReadonlyMap<string, unknown>): boolean {
  const keys = b.keys();
  for (const key of a.keys()) if (key !== keys.next().value) return false;
  return true;
}

function hasSameWeights(a: readonly LocalityWeights[], b: readonly LocalityWeights[]): boolean {
  if (a.length !== b.length) return false;
  return a.every((weights, priority) => {
    const other = b[priority];
    return (
      other !== undefined &&
      weights.size === other.size &&
      [...weights].every(([key, weight]) => other.get(key) === weight)
    );
  });
}
