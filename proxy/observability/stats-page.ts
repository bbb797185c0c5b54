/** `/stats` as text and as JSON. */
import { QUANTILES, type BucketCounts } from "./histogram.ts";
import type { HistogramStat, Stat, StatsStore } from "./stats-store.ts";

export type HistogramMode = "summary" | "cumulative" | "disjoint" | "detailed";
export type StatType = "All" | "Counters" | "Gauges" | "Histograms" | "TextReadouts";

export interface StatsPageOptions {
  readonly includes: (stat: Stat) => boolean;
  readonly type: StatType;
  readonly histograms: HistogramMode;
  readonly bucketsOf: (name: string) => readonly number[];
}

/** Text readouts, then counters and gauges together, then histograms; each run sorted by name. */
export function formatStatsText(store: StatsStore, options: StatsPageOptions): string {
  const { texts, scalars, histograms } = chosen(store, options);
  let out = "";
  for (const { name, value } of texts) out += `${name}: "${value.replaceAll('"', "&quot;")}"\n`;
  for (const { name, value } of scalars) out += `${name}: ${value}\n`;
  for (const histogram of histograms) out += histogramText(histogram, options);
  return out;
}

/** One line of JSON, as Envoy writes it. */
export function formatStatsJson(store: StatsStore, options: StatsPageOptions): string {
  const { texts, scalars, histograms } = chosen(store, options);
  const stats: unknown[] = [...texts, ...scalars].map(({ name, value }) => ({ name, value }));
  const written =
    options.type === "All" || options.type === "Histograms" ? histogramsJson(histograms, options) : undefined;
  if (written !== undefined) stats.push({ histograms: written });
  return JSON.stringify({ stats });
}

function chosen(store: StatsStore, { includes, type }: StatsPageOptions) {
  const of = (kind: StatType): boolean => type === "All" || type === kind;
  const scalars = [...(of("Counters") ? store.counters() : []), ...(of("Gauges") ? store.gauges() : [])];
  return {
    texts: of("TextReadouts") ? store.texts().filter(includes) : [],
    scalars: scalars.filter(includes).sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)),
    histograms: of("Histograms") ? store.histograms().filter(includes) : [],
  };
}

function histogramText(histogram: HistogramStat, { histograms, bucketsOf }: StatsPageOptions): string {
  const { name, interval } = histogram;
  const cumulative = histogram.cumulative();
  if (cumulative.total === 0) return `${name}: No recorded values\n`;
  switch (histograms) {
    case "summary":
      return `${name}: ${summaryText(interval, cumulative)}\n`;
    case "cumulative":
    case "disjoint": {
      const edges = bucketsOf(name);
      const [recent, all] = [countsAt(interval, edges, histograms), countsAt(cumulative, edges, histograms)];
      return `${name}: ${edges.map((edge, i) => `B${short(edge)}(${recent[i]},${all[i]})`).join(" ")}\n`;
    }
    case "detailed":
      return `${name}:\n  totals=${bucketsText(cumulative)}\n  intervals=${bucketsText(interval)}\n  summary=${summaryText(interval, cumulative)}\n`;
  }
}

function summaryText(interval: BucketCounts, cumulative: BucketCounts): string {
  const [recent, all] = [interval.quantiles(QUANTILES), cumulative.quantiles(QUANTILES)];
  return QUANTILES.map((quantile, i) => `P${short(quantile * 100)}(${short(recent[i])},${short(all[i])})`).join(" ");
}

function bucketsText(counts: BucketCounts): string {
  return [...counts.buckets()].map(({ floor, width, count }) => `${short(floor)},${short(width)}:${count}`).join(", ");
}

function histogramsJson(
  histograms: readonly HistogramStat[],
  { histograms: mode, bucketsOf }: StatsPageOptions,
): unknown {
  if (histograms.length === 0) return undefined;
  switch (mode) {
    case "summary":
      return {
        supported_quantiles: QUANTILES.map(percent),
        computed_quantiles: histograms.map((histogram) => ({ name: histogram.name, values: quantilesJson(histogram) })),
      };
    case "detailed":
      return {
        supported_percentiles: QUANTILES.map(percent),
        details: histograms.map((histogram) => ({
          name: histogram.name,
          totals: bucketsJson(histogram.cumulative()),
          intervals: bucketsJson(histogram.interval),
          percentiles: quantilesJson(histogram),
        })),
      };
    case "cumulative":
    case "disjoint":
      return histograms.map((histogram) => {
        const edges = bucketsOf(histogram.name);
        const recent = countsAt(histogram.interval, edges, mode);
        const all = countsAt(histogram.cumulative(), edges, mode);
        return {
          name: histogram.name,
          buckets: edges.map((edge, i) => ({ upper_bound: edge, interval: recent[i], cumulative: all[i] })),
        };
      });
  }
}

function quantilesJson(histogram: HistogramStat): { cumulative: number | null; interval: number | null }[] {
  const recent = histogram.interval.quantiles(QUANTILES);
  const all = histogram.cumulative().quantiles(QUANTILES);
  return QUANTILES.map((_, i) => ({ cumulative: finite(all[i]), interval: finite(recent[i]) }));
}

function bucketsJson(counts: BucketCounts): unknown[] {
  return [...counts.buckets()].map(({ floor, width, count }) => ({ lower_bound: floor, width, count }));
}

function countsAt(counts: BucketCounts, edges: readonly number[], mode: "cumulative" | "disjoint"): number[] {
  const upTo = edges.map((edge) => counts.countUpTo(edge));
  return mode === "cumulative" ? upTo : upTo.map((count, i) => count - (i === 0 ? 0 : (upTo[i - 1] ?? 0)));
}

function percent(quantile: number): number {
  return Number((quantile * 100).toPrecision(6));
}

function finite(value: number | undefined): number | null {
  return value === undefined || Number.isNaN(value) ? null : Number(value.toPrecision(12));
}

/** As C's `%g`: six significant digits, an exponent from a million on. */
function short(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return "nan";
  const rounded = Number(value.toPrecision(6));
  if (rounded === 0 || (Math.abs(rounded) < 1e6 && Math.abs(rounded) >= 1e-4)) return String(rounded);
  return rounded.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
}
