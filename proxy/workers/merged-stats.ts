/** One set of statistics from those of all threads. */
import { BucketCounts } from "../observability/histogram.ts";
import {
  createStatsStore,
  type CounterStat,
  type GaugeStat,
  type HistogramStat,
  type Labelled,
  type StatsStore,
} from "../observability/stats-store.ts";
import type { StatsScope } from "../observability/stats.ts";
import type { StatsSnapshot } from "./stats-snapshot.ts";

/**
 * What Envoy's main thread counts. Here every worker applies the configuration and counts it: it is shown once, as the
 * worker says that has the most.
 */
const OF_THE_PROCESS: readonly RegExp[] = [
  /^cluster_manager\./,
  /^listener_manager\.(?!listener_create_)/,
  /^runtime\./,
  /^server\.(?!memory_(?:allocated|heap_size)$|total_connections$)/,
  /^sds\./,
  /^extension_config_discovery\./,
  /^dns_cache\./,
  /^workload\./,
  /^cluster\..*\.(?:membership_\w+|version|version_text|update_\w+|init_fetch_timeout|assignment_\w+|max_host_weight|warming_state|lb_subsets_active)$/,
  // Every worker checks for itself.
  /^cluster\..*\.health_check\./,
  /\.rds\..*\.(?:update_\w+|version|version_text|init_fetch_timeout|config_reload\w*)$/,
  /\.ssl\.certificate\./,
  /_ssl_socket_factory\.ssl_context_update_by_sds$/,
];

export function isOfTheProcess(name: string): boolean {
  return OF_THE_PROCESS.some((pattern) => pattern.test(name));
}

/** A store that holds the sum; it does not change any more. `own`: of the main thread, where no worker counts the same. */
export function mergedStats(own: StatsSnapshot, workers: readonly StatsSnapshot[]): StatsStore {
  const store = createStatsStore();
  for (const snapshot of [own, ...workers]) add(store.root, snapshot);
  return store;
}

function add(root: StatsScope, { counters, gauges, texts, histograms }: StatsSnapshot): void {
  for (const { name, value, isUsed, labelled } of counters) {
    const counter = (
      labelled === undefined ? root.counter(name) : root.labelled(labelled.metric, labelled.labels)
    ) as CounterStat;
    counter.value = merged(name, counter.value, value);
    if (isUsed) counter.wasUsed = true;
  }
  for (const { name, value, isUsed, labelled } of gauges) {
    const gauge = gaugeOf(root, name, labelled);
    gauge.value = merged(name, gauge.value, value);
    if (isUsed) gauge.isUsed = true;
  }
  for (const { name, value, isUsed } of texts) {
    const text = root.text(name);
    if (isUsed) text.value = value;
  }
  for (const { name, labelled, interval, cumulative } of histograms) {
    const histogram = (
      labelled === undefined ? root.histogram(name) : root.labelledHistogram(labelled.metric, labelled.labels)
    ) as HistogramStat;
    if (isOfTheProcess(name) && histogram.isUsed) continue;
    histogram.absorb(countsOf(interval), countsOf(cumulative));
  }
}

function gaugeOf(root: StatsScope, name: string, labelled: Labelled | undefined): GaugeStat {
  return (
    labelled === undefined ? root.gauge(name) : root.labelledGauge(labelled.metric, labelled.labels)
  ) as GaugeStat;
}

function merged(name: string, before: number, value: number): number {
  return isOfTheProcess(name) ? Math.max(before, value) : before + value;
}

function countsOf({ counts, total, sum }: StatsSnapshot["histograms"][number]["interval"]): BucketCounts {
  const made = new BucketCounts();
  made.counts = counts;
  made.total = total;
  made.sum = sum;
  return made;
}
