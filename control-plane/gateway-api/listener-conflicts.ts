/** Listeners of one Gateway that can't both be: the first stays. */
import type { Listener } from "./read-gateway.ts";

/** By name of the listener: `HostnameConflict` or `ProtocolConflict`. */
export function listenerConflicts(listeners: readonly Listener[]): ReadonlyMap<string, string> {
  const conflicts = new Map<string, string>();
  const taken: Listener[] = [];
  for (const listener of listeners) {
    const prior = taken.find((other) => !areDistinct(listener, other));
    if (prior === undefined) taken.push(listener);
    else conflicts.set(listener.name, reasonFor(listener, prior));
  }
  return conflicts;
}

const LAYER_4: readonly string[] = ["TCP", "UDP"];
const WITH_HOSTS: readonly string[] = ["HTTP", "HTTPS", "TLS"];

function areDistinct(one: Listener, other: Listener): boolean {
  if (one.port !== other.port) return true;
  const [hasHosts, othersHasHosts] = [one, other].map(({ protocol }) => WITH_HOSTS.includes(protocol));
  if (hasHosts === true && othersHasHosts === true) return (one.hostname ?? "*") !== (other.hostname ?? "*");
  const isKnown = ({ protocol }: Listener): boolean => LAYER_4.includes(protocol) || WITH_HOSTS.includes(protocol);
  if (isKnown(one) && isKnown(other)) return false;
  return one.protocol !== other.protocol;
}

function reasonFor(one: Listener, prior: Listener): string {
  const isLayer4 = LAYER_4.includes(one.protocol) && LAYER_4.includes(prior.protocol);
  return isLayer4 || one.protocol !== prior.protocol ? "ProtocolConflict" : "HostnameConflict";
}
