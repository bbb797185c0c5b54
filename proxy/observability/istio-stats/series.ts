/** Counters and histograms by labels, made once for each set of parties and outcome. */
import type { FormatContext } from "../access-log/types.ts";
import type { Counter, Histogram, StatsScope } from "../stats.ts";
import type { Labels } from "../stats-store.ts";
import type { IstioStatsConfig, MetricName, MetricOverride } from "./config.ts";
import { overriddenLabels } from "./labels.ts";

/** A metric whose labels follow from the standard ones alone, or also from the stream. */
export interface Metric<T> {
  /** The handle for these labels; undefined: the metric is dropped. */
  resolve(standard: Labels, context: FormatContext): T | undefined;
  /** False: `resolve` gives the same for the same standard labels. */
  readonly dependsOnStream: boolean;
}

/** A counter metric. */
export function counterMetric(scope: StatsScope, name: MetricName, config: IstioStatsConfig): Metric<Counter> {
  return metric(name, config, (labels) => scope.labelled(`istio_${name}`, labels));
}

/** A histogram metric. */
export function histogramMetric(scope: StatsScope, name: MetricName, config: IstioStatsConfig): Metric<Histogram> {
  return metric(name, config, (labels) => scope.labelledHistogram(`istio_${name}`, labels));
}

function metric<T>(name: MetricName, config: IstioStatsConfig, make: (labels: Labels) => T): Metric<T> {
  const override = config.overrides.get(name);
  if (override === undefined) return { resolve: make, dependsOnStream: false };
  if (override.drop) return { resolve: () => undefined, dependsOnStream: false };
  const { removed, dimensions } = override;
  return {
    resolve: (standard, context) => make(overriddenLabels(standard, removed, valuesOf(dimensions, context))),
    dependsOnStream: dimensions.size > 0,
  };
}

function valuesOf(dimensions: MetricOverride["dimensions"], context: FormatContext): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const [label, evaluate] of dimensions) values.set(label, textOf(evaluate(context)));
  return values;
}

function textOf(value: unknown): string {
  switch (typeof value) {
    case "string":
      return value;
    case "number":
    case "boolean":
      return String(value);
    default:
      return "unknown";
  }
}
