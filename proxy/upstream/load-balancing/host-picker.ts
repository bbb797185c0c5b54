/** What a policy makes of a list of hosts: the choice of one of them. */
import type { Random } from "#lib/runtime.ts";
import type { UpstreamHost } from "../host.ts";
import { EdfScheduler } from "./edf-scheduler.ts";
import { slowStartFactor, type SlowStartConfig } from "./slow-start.ts";

/** Picks from the list that it was made of, which is never empty. */
export interface HostPicker {
  pick(): UpstreamHost | undefined;
}

/** Makes the picker of a list; a new list gets a new picker. */
export type PickerFactory = (hosts: readonly UpstreamHost[]) => HostPicker;

export interface PickerContext {
  readonly random: Random;
  /** Monotonic clock, ms: for slow start. */
  readonly now: () => number;
}

/** True when no host's weight differs and none of them may be in slow start. */
export function hasEqualWeights(hosts: readonly UpstreamHost[], slowStart: SlowStartConfig | undefined): boolean {
  if (slowStart !== undefined && slowStart.windowMs > 0) return false;
  const first = hosts[0]?.weight;
  return hosts.every((host) => host.weight === first);
}

/** The weight of a host at this moment, slow start included. */
export function currentWeight(host: UpstreamHost, slowStart: SlowStartConfig | undefined, now: () => number): number {
  if (slowStart === undefined || slowStart.windowMs === 0) return host.weight;
  return host.weight * slowStartFactor(slowStart, now() - host.healthySince);
}

/** A weighted picker; it starts somewhere at random, so that proxies do not all begin with the same host. */
export function edfPicker(
  hosts: readonly UpstreamHost[],
  random: Random,
  weightOf: (host: UpstreamHost) => number,
): HostPicker {
  const scheduler = new EdfScheduler<UpstreamHost>();
  for (const host of hosts) scheduler.add(host, weightOf(host));
  const skipped = random.uint32() % hosts.length;
  for (let i = 0; i < skipped; i++) scheduler.pick(weightOf);
  return { pick: () => scheduler.pick(weightOf) };
}
