/**
 * Counters, gauges and histograms by Envoy's names. A handle is resolved when configuration arrives; a request only
 * increments. `StatsStore` (stats-store.ts) keeps them; the admin page and Prometheus read it.
 */
export interface Counter {
  readonly name: string;
  value: number;
  inc(): void;
  add(amount: number): void;
}

export interface Gauge {
  readonly name: string;
  value: number;
  set(value: number): void;
  inc(): void;
  dec(): void;
  add(amount: number): void;
}

export interface Histogram {
  readonly name: string;
  /** In the unit of its name (`_ms`, `_bytes`; plain times are ms). */
  record(value: number): void;
}

export interface TextReadout {
  readonly name: string;
  value: string;
}

/** A prefix with a dot at its end (`cluster.foo.`) under which statistics are made. The same name gives the same handle. */
export interface StatsScope {
  readonly prefix: string;
  counter(name: string): Counter;
  gauge(name: string): Gauge;
  histogram(name: string): Histogram;
  text(name: string): TextReadout;
  /** `:` in a name becomes `_` (Envoy's rule for clusters, listeners and stat prefixes). */
  scope(name: string): StatsScope;
  /** A metric with explicit labels, as `istio.stats` makes them (`istio_requests_total`); label order is kept. */
  labelled(metric: string, labels: readonly (readonly [string, string])[]): Counter;
  labelledGauge(metric: string, labels: readonly (readonly [string, string])[]): Gauge;
  labelledHistogram(metric: string, labels: readonly (readonly [string, string])[]): Histogram;
  /** Forgets every statistic below this prefix (a cluster or listener that is removed). */
  dispose(): void;
}
