/** The statistics of one thread, to be added to those of the others. */
import type { Labelled, StatsStore } from "../observability/stats-store.ts";

interface ScalarSnapshot {
  readonly name: string;
  readonly value: number;
  readonly isUsed: boolean;
  readonly labelled: Labelled | undefined;
}

/** Counts by bucket, their number and sum. */
interface CountsSnapshot {
  readonly counts: Uint32Array;
  readonly total: number;
  readonly sum: number;
}

export interface StatsSnapshot {
  readonly counters: readonly ScalarSnapshot[];
  readonly gauges: readonly ScalarSnapshot[];
  readonly texts: readonly { readonly name: string; readonly value: string; readonly isUsed: boolean }[];
  readonly histograms: readonly {
    readonly name: string;
    readonly labelled: Labelled | undefined;
    readonly interval: CountsSnapshot;
    readonly cumulative: CountsSnapshot;
  }[];
}

/** `workerIndex`: what a listener counts for its worker is named after it. */
export function snapshotOf(store: StatsStore, workerIndex: number): StatsSnapshot {
  const nameOf = (name: string): string =>
    workerIndex > 0 && name.startsWith("listener.") ? name.replace(".worker_0.", `.worker_${workerIndex}.`) : name;
  const scalar = ({ name, value, isUsed, labelled }: ScalarSnapshot): ScalarSnapshot => ({
    name: nameOf(name),
    value,
    isUsed,
    labelled,
  });
  const counts = ({ counts: buckets, total, sum }: CountsSnapshot): CountsSnapshot => ({ counts: buckets, total, sum });
  return {
    counters: store.counters().map(scalar),
    gauges: store.gauges().map(scalar),
    texts: store.texts().map(({ name, value, isUsed }) => ({ name, value, isUsed })),
    histograms: store.histograms().map((histogram) => ({
      name: histogram.name,
      labelled: histogram.labelled,
      interval: counts(histogram.interval),
      cumulative: counts(histogram.cumulative()),
    })),
  };
}
