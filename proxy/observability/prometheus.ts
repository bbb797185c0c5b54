/** The Prometheus text format of all statistics, by Envoy's names. */
import { sanitized, type TaggedName } from "./stats-tags.ts";
import type { CounterStat, GaugeStat, HistogramStat, Labels, Stat, StatsStore, TextStat } from "./stats-store.ts";

/** Upper bounds of histogram buckets, unless the bootstrap gives others. */
export const DEFAULT_BUCKETS: readonly number[] = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000,
  3_600_000,
];

/** Names below this namespace stand without `envoy_`. */
const CUSTOM_NAMESPACE = "istiocustom.";

export interface PrometheusOptions {
  readonly tagsOf: (stat: Stat) => TaggedName;
  readonly includes: (stat: Stat) => boolean;
  readonly bucketsOf: (name: string) => readonly number[];
  /** Text readouts as gauges of value 0 with a label `text_value`. */
  readonly textReadouts: boolean;
  /** Quantiles in place of buckets. */
  readonly summaries: boolean;
}

/** Everything that `options.includes`, counters first, then gauges, texts and histograms, each sorted by name. */
export function formatPrometheus(store: StatsStore, options: PrometheusOptions): string {
  let out = "";
  out += families(store.counters(), "counter", options, sample);
  out += families(store.gauges(), "gauge", options, sample);
  if (options.textReadouts) out += families(store.texts(), "gauge", options, textSample);
  out += options.summaries
    ? families(store.histograms(), "summary", options, summarySamples)
    : families(store.histograms(), "histogram", options, histogramSamples(options.bucketsOf));
  return out;
}

type Samples<S> = (family: string, labels: string, stat: S) => string;

function families<S extends Stat>(
  stats: readonly S[],
  type: string,
  options: PrometheusOptions,
  samples: Samples<S>,
): string {
  const byName = new Map<string, { readonly labels: string; readonly stat: S }[]>();
  for (const stat of stats) {
    if (!options.includes(stat)) continue;
    const { name, labels } = options.tagsOf(stat);
    const entry = { labels: labelText(labels), stat };
    const family = byName.get(name);
    if (family === undefined) byName.set(name, [entry]);
    else family.push(entry);
  }
  let out = "";
  for (const name of [...byName.keys()].sort()) {
    const family = metricName(name);
    out += `# TYPE ${family} ${type}\n`;
    for (const { labels, stat } of byName.get(name) ?? []) out += samples(family, labels, stat);
  }
  return out;
}

function metricName(name: string): string {
  return name.startsWith(CUSTOM_NAMESPACE)
    ? sanitized(name.slice(CUSTOM_NAMESPACE.length))
    : `envoy_${sanitized(name)}`;
}

function labelText(labels: Labels): string {
  return labels.map(([name, value]) => `${sanitized(name)}="${escaped(value)}"`).join(",");
}

function escaped(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"');
}

function sample(family: string, labels: string, { value }: CounterStat | GaugeStat): string {
  return `${family}{${labels}} ${value}\n`;
}

function textSample(family: string, labels: string, { value }: TextStat): string {
  return `${family}{${labels}${labels === "" ? "" : ","}text_value="${escaped(value)}"} 0\n`;
}

function histogramSamples(bucketsOf: PrometheusOptions["bucketsOf"]): Samples<HistogramStat> {
  return (family, labels, histogram) => {
    const counts = histogram.cumulative();
    const before = labels === "" ? "" : `${labels},`;
    let out = "";
    for (const edge of bucketsOf(histogram.name))
      out += `${family}_bucket{${before}le="${edge}"} ${counts.countUpTo(edge)}\n`;
    out += `${family}_bucket{${before}le="+Inf"} ${counts.total}\n`;
    return `${out}${family}_sum{${labels}} ${counts.sum}\n${family}_count{${labels}} ${counts.total}\n`;
  };
}

const SUMMARY_QUANTILES: readonly number[] = [0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1];

function summarySamples(family: string, labels: string, histogram: HistogramStat): string {
  const counts = histogram.interval;
  const before = labels === "" ? "" : `${labels},`;
  const values = counts.quantiles(SUMMARY_QUANTILES);
  const quantiles = SUMMARY_QUANTILES.map((quantile, i) => `${family}{${before}quantile="${quantile}"} ${values[i]}\n`);
  return `${quantiles.join("")}${family}_sum{${labels}} ${counts.sum}\n${family}_count{${labels}} ${counts.total}\n`;
}
