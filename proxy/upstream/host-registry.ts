/** The hosts of a cluster by address: an update keeps those that stay, with their counts and their state. */
import { formatAddress } from "#lib/connection.ts";
import type { Assignment } from "./config/assignment.ts";
import { HealthFlag, localityKey, UpstreamHost, type HostAttributes } from "./host.ts";
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
  /** Hosts that stay and are to be asked for their health otherwise than before. */
  readonly recheck: readonly UpstreamHost[];
}

/** What active health checks have to do with hosts that come and go (L-52, L-60). */
export interface CheckedHosts {
  /** Hosts that join count as failing until a check says otherwise. */
  readonly isChecked: boolean;
  /** They do not count at all until then (`ignore_new_hosts_until_first_hc`). */
  readonly excludesNew: boolean;
  /** A host that discovery no longer names stays for as long as it is healthy. */
  readonly keepsHealthy: boolean;
}

const unchecked: CheckedHosts = { isChecked: false, excludesNew: false, keepsHealthy: false };

/** Merges an assignment into the hosts that there are. An address that appears twice counts once. */
export function mergeHosts(
  current: ReadonlyMap<string, UpstreamHost>,
  assignment: Assignment,
  currentWeights: readonly LocalityWeights[],
  now: number,
  health: CheckedHosts = unchecked,
): HostUpdate {
  const hosts = new Map<string, UpstreamHost>();
  const added: UpstreamHost[] = [];
  const relabelled: UpstreamHost[] = [];
  const recheck: UpstreamHost[] = [];
  const weights: Map<string, number>[] = [];
  let isChanged = false;
  for (const { locality, priority, weight, endpoints } of assignment.localities) {
    while (weights.length <= priority) weights.push(new Map());
    (weights[priority] as Map<string, number>).set(localityKey(locality), weight);
    for (const endpoint of endpoints) {
      const key = formatAddress(endpoint.address);
      if (hosts.has(key)) continue;
      const { hostname, metadata, health: eds } = endpoint;
      const attributes: HostAttributes = {
        hostname,
        weight: endpoint.weight,
        locality,
        priority,
        metadata,
        health: eds,
        healthCheck: endpoint.healthCheck,
        additionalAddresses: endpoint.additionalAddresses,
      };
      const known = current.get(key);
      if (known === undefined) {
        const host = new UpstreamHost(endpoint.address, attributes, now);
        if (health.isChecked) awaitCheck(host, health);
        added.push(host);
        hosts.set(key, host);
      } else {
        const before = known.metadata;
        const { healthCheck } = known;
        if (known.update(attributes, now)) isChanged = true;
        if ((known.flags & HealthFlag.pendingDynamicRemoval) !== 0) {
          known.clearFlag(HealthFlag.pendingDynamicRemoval, now);
          isChanged = true;
        }
        if (health.isChecked && JSON.stringify(healthCheck) !== JSON.stringify(known.healthCheck)) {
          known.clearFlag(allCheckFlags, now);
          awaitCheck(known, health);
          recheck.push(known);
          isChanged = true;
        }
        if (known.metadata !== before && JSON.stringify(before) !== JSON.stringify(metadata)) relabelled.push(known);
        hosts.set(key, known);
      }
    }
  }
  const removed: UpstreamHost[] = [];
  for (const [key, host] of current) {
    if (hosts.has(key)) continue;
    if (health.keepsHealthy && (host.flags & (HealthFlag.failedActiveHc | HealthFlag.failedEdsHealth)) === 0) {
      host.setFlag(HealthFlag.pendingDynamicRemoval);
      hosts.set(key, host);
    } else removed.push(host);
  }
  const isSame = added.length === 0 && removed.length === 0 && !isChanged && isSameOrder(current, hosts);
  return {
    hosts,
    added,
    removed,
    relabelled,
    recheck,
    isChanged: !isSame || !hasSameWeights(currentWeights, weights),
    weights,
  };
}

const allCheckFlags =
  HealthFlag.failedActiveHc |
  HealthFlag.degradedActiveHc |
  HealthFlag.pendingActiveHc |
  HealthFlag.excludedViaImmediateHcFail |
  HealthFlag.activeHcTimeout;

function awaitCheck(host: UpstreamHost, health: CheckedHosts): void {
  if (host.healthCheck.isDisabled) return;
  host.setFlag(HealthFlag.failedActiveHc | (health.excludesNew ? HealthFlag.pendingActiveHc : 0));
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
