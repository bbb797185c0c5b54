/**
 * Circuit breakers whose counts threads share (L-45 … L-50). As in Envoy a limit is asked before it is counted: two threads
 * that ask in the same instant may pass together.
 *
 * The gauges of each thread hold what that thread has changed; the sum over all threads is what is so.
 */
import { SharedCount, type Count } from "../count.ts";
import type { Gauge, StatsScope } from "../observability/stats.ts";
import type { RetryBudget, Thresholds } from "./resource-manager.ts";
import type { Resource, ResourceManager, RoutingPriority } from "./types.ts";

/** Where the state of each resource lies: its count, what its gauge `…_open` says, what its `remaining_…` says. */
const FIRST_CELL = { connections: 0, pendingRequests: 3, requests: 6, retries: 9 } as const;

/** As `createResourceManager`, on twelve shared cells of this cluster and priority. */
export function createSharedResourceManager(
  thresholds: Thresholds,
  priority: RoutingPriority,
  scope: StatsScope,
  cells: Int32Array,
): ResourceManager {
  const stats = scope.scope("circuit_breakers").scope(priority);
  const resource = (
    kind: keyof typeof FIRST_CELL,
    max: () => number,
    open: string,
    left: string | undefined,
  ): Resource =>
    new SharedResource(
      new SharedCount(cells, FIRST_CELL[kind]),
      max,
      new SharedGauge(stats.gauge(open), cells, FIRST_CELL[kind] + 1),
      left === undefined || !thresholds.trackRemaining
        ? undefined
        : new SharedGauge(stats.gauge(`remaining_${left}`), cells, FIRST_CELL[kind] + 2),
    );
  const { maxConnections, maxPendingRequests, maxRequests, maxRetries, retryBudget } = thresholds;
  const pendingRequests = resource("pendingRequests", () => maxPendingRequests, "rq_pending_open", "pending");
  const requests = resource("requests", () => maxRequests, "rq_open", "rq");
  return {
    connections: resource("connections", () => maxConnections, "cx_open", "cx"),
    pendingRequests,
    requests,
    retries:
      retryBudget === undefined
        ? resource("retries", () => maxRetries, "rq_retry_open", "retries")
        : resource("retries", () => budgetOf(retryBudget, requests, pendingRequests), "rq_retry_open", undefined),
  };
}

/** A share of the active and pending requests, and never less than a minimum. */
function budgetOf({ percent, minRetryConcurrency }: RetryBudget, requests: Resource, pending: Resource): number {
  return Math.max(Math.trunc(((requests.count + pending.count) * percent) / 100), minRetryConcurrency);
}

/** A gauge that several threads set: each adds to its own what it has changed of the common value. */
class SharedGauge {
  readonly #gauge: Gauge;
  readonly #cells: Int32Array;
  readonly #index: number;

  constructor(gauge: Gauge, cells: Int32Array, index: number) {
    this.#gauge = gauge;
    this.#cells = cells;
    this.#index = index;
  }

  set(value: number): void {
    if (Atomics.load(this.#cells, this.#index) === value) return;
    const before = Atomics.exchange(this.#cells, this.#index, value);
    if (before !== value) this.#gauge.add(value - before);
  }
}

class SharedResource implements Resource {
  readonly #count: Count;
  readonly #max: () => number;
  readonly #open: SharedGauge;
  readonly #remaining: SharedGauge | undefined;

  constructor(count: Count, max: () => number, open: SharedGauge, remaining: SharedGauge | undefined) {
    this.#count = count;
    this.#max = max;
    this.#open = open;
    this.#remaining = remaining;
    this.#show();
  }

  get count(): number {
    return this.#count.value;
  }

  get max(): number {
    return this.#max();
  }

  canCreate(): boolean {
    return this.#count.value < this.#max();
  }

  inc(): void {
    this.#count.add(1);
    this.#show();
  }

  dec(): void {
    this.#count.add(-1);
    this.#show();
  }

  #show(): void {
    const left = this.#max() - this.#count.value;
    this.#open.set(left > 0 ? 0 : 1);
    this.#remaining?.set(Math.max(0, left));
  }
}
