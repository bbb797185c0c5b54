/** LEAST_REQUEST (L-17, L-18). */
import type { Random } from "#lib/runtime.ts";
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

export interface LeastRequestConfig {
  readonly kind: "least-request";
  /** Default 2. */
  readonly choiceCount: number;
  /** Default 1; 0 makes it a weighted round robin. */
  readonly activeRequestBias: number;
  readonly fullScan: boolean;
  readonly slowStart: SlowStartConfig | undefined;
}

export function leastRequest(config: LeastRequestConfig, { random, now }: PickerContext): PickerFactory {
  const { choiceCount, activeRequestBias: bias, slowStart } = config;
  const weightOf = (host: UpstreamHost): number => {
    const weight = currentWeight(host, slowStart, now);
    const active = host.stats.rqActive;
    if (bias === 1) return weight / (active + 1);
    return bias === 0 ? weight : weight / (active + 1) ** bias;
  };
  return (hosts) => {
    if (!hasEqualWeights(hosts, slowStart)) return edfPicker(hosts, random, weightOf);
    return config.fullScan ? new ScanPicker(hosts, random) : new SampledPicker(hosts, random, choiceCount);
  };
}

/** The best of some drawn at random, with replacement; the first of equals. */
class SampledPicker implements HostPicker {
  readonly #hosts: readonly UpstreamHost[];
  readonly #random: Random;
  readonly #choices: number;

  constructor(hosts: readonly UpstreamHost[], random: Random, choices: number) {
    this.#hosts = hosts;
    this.#random = random;
    this.#choices = choices;
  }

  pick(): UpstreamHost | undefined {
    const hosts = this.#hosts;
    const count = hosts.length;
    if (count === 1) return hosts[0];
    let best: UpstreamHost | undefined;
    for (let i = 0; i < this.#choices; i++) {
      const host = hosts[this.#random.uint32() % count] as UpstreamHost;
      if (best === undefined || host.stats.rqActive < best.stats.rqActive) best = host;
    }
    return best;
  }
}

/** The best of all; each of several equals is as likely as the others. */
class ScanPicker implements HostPicker {
  readonly #hosts: readonly UpstreamHost[];
  readonly #random: Random;

  constructor(hosts: readonly UpstreamHost[], random: Random) {
    this.#hosts = hosts;
    this.#random = random;
  }

  pick(): UpstreamHost | undefined {
    let best: UpstreamHost | undefined;
    let equals = 0;
    for (const host of this.#hosts) {
      if (best === undefined || host.stats.rqActive < best.stats.rqActive) {
        best = host;
        equals = 1;
      } else if (host.stats.rqActive === best.stats.rqActive) {
        equals++;
        if (this.#random.uint32() % equals === 0) best = host;
      }
    }
    return best;
  }
}
