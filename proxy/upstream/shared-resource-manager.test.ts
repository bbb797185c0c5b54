import { describe, expect, test } from "vitest";
import { createStatsStore, type StatsStore } from "../observability/stats-store.ts";
import { createSharedMemory, openSharedCells } from "../workers/shared-cells.ts";
import { createResourceManager, defaultThresholds, type Thresholds } from "./resource-manager.ts";
import type { ResourceManager } from "./types.ts";

interface Thread {
  readonly store: StatsStore;
  readonly resources: ResourceManager;
}

function threads(thresholds: Partial<Thresholds>): {
  one: Thread;
  two: Thread;
  readonly gauge: (name: string) => number;
} {
  const memory = createSharedMemory(16);
  const open = (): Thread => {
    const store = createStatsStore();
    const cells = openSharedCells(memory).of("circuit breakers of c, default");
    const scope = store.root.scope("cluster").scope("c");
    return {
      store,
      resources: createResourceManager({ ...defaultThresholds, ...thresholds }, "default", scope, cells),
    };
  };
  const [one, two] = [open(), open()];
  return {
    one,
    two,
    gauge: (name) =>
      [one, two]
        .flatMap(({ store }) => store.gauges())
        .filter((gauge) => gauge.name === `cluster.c.circuit_breakers.default.${name}`)
        .reduce((sum, { value }) => sum + value, 0),
  };
}

describe("circuit breakers of several threads", () => {
  test("what one thread has under way fills the limit of the other", () => {
    const { one, two, gauge } = threads({ maxRequests: 3 });
    one.resources.requests.inc();
    two.resources.requests.inc();
    expect([one.resources.requests.canCreate(), gauge("rq_open")]).toEqual([true, 0]);
    two.resources.requests.inc();
    expect([one.resources.requests.canCreate(), two.resources.requests.canCreate(), gauge("rq_open")]).toEqual([
      false,
      false,
      1,
    ]);
    one.resources.requests.dec();
    expect([one.resources.requests.canCreate(), gauge("rq_open")]).toEqual([true, 0]);
  });

  test("what remains is told once, whichever thread counts", () => {
    const { one, two, gauge } = threads({ maxConnections: 5, trackRemaining: true });
    expect(gauge("remaining_cx")).toBe(5);
    one.resources.connections.inc();
    two.resources.connections.inc();
    expect(gauge("remaining_cx")).toBe(3);
    one.resources.connections.dec();
    two.resources.connections.dec();
    expect(gauge("remaining_cx")).toBe(5);
  });

  test("a retry budget is a share of the requests of all threads", () => {
    const { one, two } = threads({ retryBudget: { percent: 50, minRetryConcurrency: 1 } });
    for (let i = 0; i < 3; i++) one.resources.requests.inc();
    two.resources.pendingRequests.inc();
    expect([one.resources.retries.max, two.resources.retries.max]).toEqual([2, 2]);
    one.resources.retries.inc();
    two.resources.retries.inc();
    expect(one.resources.retries.canCreate()).toBe(false);
  });

  test("a limit of nothing is open from the start, told once", () => {
    expect(threads({ maxPendingRequests: 0 }).gauge("rq_pending_open")).toBe(1);
  });
});
