import { describe, expect, test } from "vitest";
import { createStatsStore } from "./stats-store.ts";
import { BucketCounts, bucketFloor, bucketIndex } from "./histogram.ts";

describe("StatsStore", () => {
  test("the same name gives the same handle, through whatever scope", () => {
    const { root, counters } = bound();
    const direct = root.counter("cluster.a.upstream_rq_total");
    const scoped = root.scope("cluster").scope("a.").counter("upstream_rq_total");
    scoped.inc();
    direct.add(2);
    expect(counters().map(({ name, value }) => [name, value])).toEqual([["cluster.a.upstream_rq_total", 3]]);
  });

  test("a colon in a scope's name becomes an underscore, one in a statistic's name stays", () => {
    const { root } = bound();
    expect(root.scope("listener.[::1]:80").counter("a").name).toBe("listener.[__1]_80.a");
    expect(root.counter("a:b").name).toBe("a:b");
  });

  test("a removed scope takes its statistics along, unless a successor shares the prefix", () => {
    const { root, counters } = bound();
    const old = root.scope("cluster.a");
    const next = root.scope("cluster.a");
    old.counter("x").inc();
    old.dispose();
    old.dispose();
    expect(counters()).toHaveLength(1);
    root.counter("cluster.ab.x");
    next.dispose();
    expect(counters().map(({ name }) => name)).toEqual(["cluster.ab.x"]);
  });

  test("what the matcher rejects is one handle that is never listed", () => {
    const store = createStatsStore({ accepts: (name) => name.startsWith("server.") });
    const rejected = store.root.counter("cluster.a.x");
    expect(store.root.counter("http.b.y")).toBe(rejected);
    rejected.inc();
    store.root.histogram("cluster.a.h").record(1);
    store.root.gauge("server.live").set(1);
    expect(store.counters()).toEqual([]);
    expect(store.histograms()).toEqual([]);
    expect(store.gauges().map(({ name }) => name)).toEqual(["server.live"]);
  });

  test("a counter stays used after a reset, a gauge is used once it was set", () => {
    const store = createStatsStore();
    const counter = store.root.counter("c");
    const gauge = store.root.gauge("g");
    expect([store.counters()[0]?.isUsed, store.gauges()[0]?.isUsed]).toEqual([false, false]);
    counter.inc();
    gauge.set(0);
    store.resetCounters();
    expect(counter.value).toBe(0);
    expect([store.counters()[0]?.isUsed, store.gauges()[0]?.isUsed]).toEqual([true, true]);
  });

  test("labels are kept in order and appear in the full name", () => {
    const store = createStatsStore();
    const labels = [
      ["reporter", "source"],
      ["app", "a"],
    ] as const;
    const counter = store.root.scope("istiocustom").labelled("istio_requests_total", labels);
    expect(counter.name).toBe("istiocustom.istio_requests_total.reporter.source.app.a");
    expect(store.counters()[0]?.labelled).toEqual({ metric: "istiocustom.istio_requests_total", labels });
  });

  test("a flush closes the interval of a histogram and keeps the whole", () => {
    const store = createStatsStore();
    store.root.histogram("h").record(5);
    store.flush();
    store.root.histogram("h").record(250);
    const [histogram] = store.histograms();
    expect(histogram?.interval.total).toBe(1);
    expect([histogram?.cumulative().total, histogram?.cumulative().sum]).toEqual([2, 255]);
    store.flush();
    store.flush();
    expect(histogram?.interval.total).toBe(0);
    expect(histogram?.cumulative().total).toBe(2);
  });

  function bound() {
    const store = createStatsStore();
    return { root: store.root, counters: () => store.counters() };
  }
});

describe("BucketCounts", () => {
  test("a bucket's floor lies in the bucket, and values keep two digits", () => {
    for (let index = 0; index < 1000; index++) expect(bucketIndex(bucketFloor(index))).toBe(index);
    expect(bucketFloor(bucketIndex(1234))).toBe(1200);
    expect(bucketFloor(bucketIndex(99))).toBe(99);
    expect(bucketFloor(bucketIndex(109))).toBe(100);
  });

  test("quantiles lie where Envoy shows them", () => {
    const counts = new BucketCounts();
    for (const value of [1, 2, 21]) counts.record(value);
    expect(counts.quantiles([0, 0.25, 0.5, 0.75, 1])).toEqual([1.05, 1.05, 2.05, 21.5, 21.5]);
    const ones = new BucketCounts();
    for (let i = 0; i < 3; i++) ones.record(1);
    expect(ones.quantiles([0, 0.25, 0.5, 0.75, 1])).toEqual([1.025, 1.025, 1.05, 1.075, 1.075]);
    const zero = new BucketCounts();
    zero.record(0);
    expect(zero.quantiles([0.5])).toEqual([0]);
    expect(new BucketCounts().quantiles([0.5])).toEqual([Number.NaN]);
  });

  test("counts up to an edge are cumulative, the bucket that begins there included", () => {
    const counts = new BucketCounts();
    for (const value of [0, 1, 5, 99, 245, 250]) counts.record(value);
    expect([0.5, 1, 5, 100, 250, 500].map((edge) => counts.countUpTo(edge))).toEqual([1, 2, 3, 4, 6, 6]);
  });
});
