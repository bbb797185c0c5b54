/** ROUND_ROBIN (L-15, L-16). */
import type { UpstreamHost } from "../host.ts";
import {
  currentWeight,
  edfPicker,
  hasEqualWeights,
  type HostPicker,
  type PickerContext,
  type PickerFactory,
} from "./host-picker.ts";
import type { SlowStartConfig } from "./slow-start.ts";

export interface RoundRobinConfig {
  readonly kind: "round-robin";
  readonly slowStart: SlowStartConfig | undefined;
}

export function roundRobin(config: RoundRobinConfig, { random, now }: PickerContext): PickerFactory {
  return (hosts) =>
    hasEqualWeights(hosts, config.slowStart)
      ? new CyclicPicker(hosts, random.uint32() % hosts.length)
      : edfPicker(hosts, random, (host) => currentWeight(host, config.slowStart, now));
}

class CyclicPicker implements HostPicker {
  readonly #hosts: readonly UpstreamHost[];
  #next: number;

  constructor(hosts: readonly UpstreamHost[], start: number) {
    this.#hosts = hosts;
    this.#next = start;
  }

  pick(): UpstreamHost | undefined {
    const host = this.#hosts[this.#next];
    this.#next = this.#next + 1 === this.#hosts.length ? 0 : this.#next + 1;
    return host;
  }
}
