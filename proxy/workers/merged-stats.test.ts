import { describe, expect, test } from "vitest";
import { createStatsStore, type StatsStore } from "../observability/stats-store.ts";
import { mergedStats } from "./merged-stats.ts";
import { snapshotOf } from "./stats-snapshot.ts";

function threads(fill: (store: StatsStore, index: number) => void): StatsStore {
  const stores = [0, 1].map((index) => {
    const store = createStatsStore();
    fill(store, index);
    return snapshotOf(store, index);
  });
  return mergedStats(
    snapshotOf(createStatsStore(), 0),
    stores.map((snapshot) => structuredClone(snapshot)),
  );
}

describe("statistics of several threads", () => {
  test("what traffic counts is summed, with its labels", () => {
    const { root } = threads(({ root: own }, index) => {
      own.counter("cluster.c.upstream_rq_total").add(2 + index);
      own.gauge("cluster.c.upstream_rq_active").set(1);
      own.labelled("istio_requests_total", [["reporter", "source"]]).add(4);
    });
    expect(root.counter("cluster.c.upstream_rq_total").value).toBe(5);
    expect(root.gauge("cluster.c.upstream_rq_active").value).toBe(2);
    expect(root.labelled("istio_requests_total", [["reporter", "source"]]).value).toBe(8);
  });

  test("what every worker says of the configuration is said once", () => {
    const { root } = threads(({ root: own }) => {
      own.counter("cluster_manager.cds.update_success").inc();
      own.gauge("cluster.a.b.membership_total").set(3);
      own.text("cluster_manager.cds.version_text").value = "v1";
    });
    expect(root.counter("cluster_manager.cds.update_success").value).toBe(1);
    expect(root.gauge("cluster.a.b.membership_total").value).toBe(3);
    expect(root.text("cluster_manager.cds.version_text").value).toBe("v1");
  });

  test("histograms are one, in the interval and since the start", () => {
    const store = threads((own, index) => {
      for (const value of index === 0 ? [1, 1] : [100]) own.root.histogram("cluster.c.upstream_rq_time").record(value);
      own.flush();
      own.root.histogram("cluster.c.upstream_rq_time").record(7);
    });
    const [histogram] = store.histograms();
    expect([histogram?.interval.total, histogram?.interval.sum]).toEqual([3, 102]);
    expect([histogram?.cumulative().total, histogram?.cumulative().sum]).toEqual([5, 116]);
  });

  test("each worker of a listener has its own name", () => {
    const store = threads(({ root: own }, index) =>
      own.counter("listener.l.worker_0.downstream_cx_total").add(index + 1),
    );
    expect(store.counters().map(({ name, value }) => [name, value])).toEqual([
      ["listener.l.worker_0.downstream_cx_total", 1],
      ["listener.l.worker_1.downstream_cx_total", 2],
    ]);
  });
});
