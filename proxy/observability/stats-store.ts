/**
 * Keeps every statistic of one proxy by its full name. Handles are plain objects: a request only adds to a field.
 * What `stats_matcher` rejects is one shared handle that nobody reads.
 */
import { BucketCounts } from "./histogram.ts";
import type { Counter, Gauge, Histogram, StatsScope, TextReadout } from "./stats.ts";

export type Labels = readonly (readonly [string, string])[];

/** A metric with the labels it was made with (`istio.stats`); such a name is not searched for tags. */
export interface Labelled {
  readonly metric: string;
  readonly labels: Labels;
}

export class CounterStat implements Counter {
  readonly kind = "counter";
  readonly name: string;
  value = 0;
  readonly labelled: Labelled | undefined;
  /** Counted before a reset. */
  wasUsed = false;
  constructor(name: string, labelled: Labelled | undefined) {
    this.name = name;
    this.labelled = labelled;
  }
  get isUsed(): boolean {
    return this.value !== 0 || this.wasUsed;
  }
  inc(): void {
    this.value++;
  }
  add(amount: number): void {
    this.value += amount;
  }
}

export class GaugeStat implements Gauge {
  readonly kind = "gauge";
  readonly name: string;
  value = 0;
  readonly labelled: Labelled | undefined;
  isUsed = false;
  constructor(name: string, labelled: Labelled | undefined) {
    this.name = name;
    this.labelled = labelled;
  }
  set(value: number): void {
    this.value = value;
    this.isUsed = true;
  }
  inc(): void {
    this.value++;
    this.isUsed = true;
  }
  dec(): void {
    this.value--;
    this.isUsed = true;
  }
  add(amount: number): void {
    this.value += amount;
    this.isUsed = true;
  }
}

export class HistogramStat implements Histogram {
  readonly kind = "histogram";
  readonly name: string;
  readonly labelled: Labelled | undefined;
  /** Since the last flush. */
  readonly #recent = new BucketCounts();
  /** Between the last two flushes. */
  readonly interval: BucketCounts = new BucketCounts();
  readonly #flushed = new BucketCounts();
  constructor(name: string, labelled: Labelled | undefined) {
    this.name = name;
    this.labelled = labelled;
  }
  get isUsed(): boolean {
    return this.#recent.total !== 0 || this.#flushed.total !== 0;
  }
  record(value: number): void {
    this.#recent.record(value);
  }
  /** Closes the interval (`stats_flush_interval`). */
  flush(): void {
    if (this.#recent.total === 0 && this.interval.total === 0) return;
    this.interval.clear();
    this.interval.merge(this.#recent);
    this.#flushed.merge(this.#recent);
    this.#recent.clear();
  }
  /** Adds what another thread has recorded under this name. */
  absorb(interval: BucketCounts, cumulative: BucketCounts): void {
    this.interval.merge(interval);
    this.#flushed.merge(cumulative);
  }
  /** Everything since the start. Differs from Envoy: what was not flushed yet is in it. */
  cumulative(): BucketCounts {
    const all = new BucketCounts();
    all.merge(this.#flushed);
    all.merge(this.#recent);
    return all;
  }
}

export class TextStat implements TextReadout {
  readonly kind = "text";
  readonly name: string;
  #value = "";
  isUsed = false;
  readonly labelled: Labelled | undefined = undefined;
  constructor(name: string) {
    this.name = name;
  }
  get value(): string {
    return this.#value;
  }
  set value(value: string) {
    this.#value = value;
    this.isUsed = true;
  }
}

export type Stat = CounterStat | GaugeStat | HistogramStat | TextStat;

/** All statistics of one proxy. Iterations are sorted by name. */
export interface StatsStore {
  /** The scope without a prefix. */
  readonly root: StatsScope;
  counters(): readonly CounterStat[];
  gauges(): readonly GaugeStat[];
  histograms(): readonly HistogramStat[];
  texts(): readonly TextStat[];
  /** Sets every counter to zero. */
  resetCounters(): void;
  /** Closes the interval of every histogram. */
  flush(): void;
}

export interface StatsStoreOptions {
  /** `stats_config.stats_matcher`: false for a full name that is not to be kept. */
  readonly accepts?: ((name: string) => boolean) | undefined;
}

/** An empty store. */
export function createStatsStore(options: StatsStoreOptions = {}): StatsStore {
  return new Store(options.accepts);
}

class Store implements StatsStore {
  readonly root: StatsScope;
  readonly #counters = new Map<string, CounterStat>();
  readonly #gauges = new Map<string, GaugeStat>();
  readonly #histograms = new Map<string, HistogramStat>();
  readonly #texts = new Map<string, TextStat>();
  /** How many owners a prefix has: a cluster and its successor share their statistics. */
  readonly #owners = new Map<string, number>();
  readonly #accepts: ((name: string) => boolean) | undefined;
  readonly #rejectedCounter = new CounterStat("", undefined);
  readonly #rejectedGauge = new GaugeStat("", undefined);
  readonly #rejectedHistogram: HistogramStat = new RejectedHistogram();
  readonly #rejectedText = new TextStat("");

  constructor(accepts: ((name: string) => boolean) | undefined) {
    this.#accepts = accepts;
    this.root = new Scope(this, "");
  }

  counter(name: string, labelled: Labelled | undefined): CounterStat {
    const known = this.#counters.get(name);
    if (known !== undefined) return known;
    if (this.#accepts?.(name) === false) return this.#rejectedCounter;
    const made = new CounterStat(name, labelled);
    this.#counters.set(name, made);
    return made;
  }

  gauge(name: string, labelled: Labelled | undefined): GaugeStat {
    const known = this.#gauges.get(name);
    if (known !== undefined) return known;
    if (this.#accepts?.(name) === false) return this.#rejectedGauge;
    const made = new GaugeStat(name, labelled);
    this.#gauges.set(name, made);
    return made;
  }

  histogram(name: string, labelled: Labelled | undefined): HistogramStat {
    const known = this.#histograms.get(name);
    if (known !== undefined) return known;
    if (this.#accepts?.(name) === false) return this.#rejectedHistogram;
    const made = new HistogramStat(name, labelled);
    this.#histograms.set(name, made);
    return made;
  }

  text(name: string): TextStat {
    const known = this.#texts.get(name);
    if (known !== undefined) return known;
    if (this.#accepts?.(name) === false) return this.#rejectedText;
    const made = new TextStat(name);
    this.#texts.set(name, made);
    return made;
  }

  acquire(prefix: string): void {
    this.#owners.set(prefix, (this.#owners.get(prefix) ?? 0) + 1);
  }

  release(prefix: string): void {
    const owners = (this.#owners.get(prefix) ?? 1) - 1;
    if (owners > 0) {
      this.#owners.set(prefix, owners);
      return;
    }
    this.#owners.delete(prefix);
    for (const known of this.#owners.keys()) if (known.startsWith(prefix)) this.#owners.delete(known);
    for (const stats of [this.#counters, this.#gauges, this.#histograms, this.#texts])
      for (const name of stats.keys()) if (name.startsWith(prefix)) stats.delete(name);
  }

  counters(): readonly CounterStat[] {
    return sorted(this.#counters);
  }
  gauges(): readonly GaugeStat[] {
    return sorted(this.#gauges);
  }
  histograms(): readonly HistogramStat[] {
    return sorted(this.#histograms);
  }
  texts(): readonly TextStat[] {
    return sorted(this.#texts);
  }

  resetCounters(): void {
    for (const counter of this.#counters.values()) {
      if (counter.value === 0) continue;
      counter.wasUsed = true;
      counter.value = 0;
    }
  }

  flush(): void {
    for (const histogram of this.#histograms.values()) histogram.flush();
  }
}

class Scope implements StatsScope {
  readonly prefix: string;
  readonly #store: Store;
  #isDisposed = false;
  constructor(store: Store, prefix: string) {
    this.#store = store;
    this.prefix = prefix;
  }
  counter(name: string): Counter {
    return this.#store.counter(this.prefix + name, undefined);
  }
  gauge(name: string): Gauge {
    return this.#store.gauge(this.prefix + name, undefined);
  }
  histogram(name: string): Histogram {
    return this.#store.histogram(this.prefix + name, undefined);
  }
  text(name: string): TextReadout {
    return this.#store.text(this.prefix + name);
  }
  scope(name: string): StatsScope {
    const clean = name.replaceAll(":", "_");
    const prefix = this.prefix + (clean === "" || clean.endsWith(".") ? clean : `${clean}.`);
    this.#store.acquire(prefix);
    return new Scope(this.#store, prefix);
  }
  labelled(metric: string, labels: Labels): Counter {
    return this.#store.counter(labelledName(this.prefix, metric, labels), { metric: this.prefix + metric, labels });
  }
  labelledGauge(metric: string, labels: Labels): Gauge {
    return this.#store.gauge(labelledName(this.prefix, metric, labels), { metric: this.prefix + metric, labels });
  }
  labelledHistogram(metric: string, labels: Labels): Histogram {
    return this.#store.histogram(labelledName(this.prefix, metric, labels), { metric: this.prefix + metric, labels });
  }
  dispose(): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    this.#store.release(this.prefix);
  }
}

class RejectedHistogram extends HistogramStat {
  constructor() {
    super("", undefined);
  }
  override record(): void {
    // Nobody reads it.
  }
}

/** Envoy's full name of a labelled metric: `metric.key.value.key.value`. */
function labelledName(prefix: string, metric: string, labels: Labels): string {
  let name = prefix + metric;
  for (const [key, value] of labels) name += `.${key}.${value}`;
  return name;
}

function sorted<T extends { readonly name: string }>(stats: ReadonlyMap<string, T>): T[] {
  return [...stats.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}
