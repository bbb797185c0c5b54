/** Circuit breakers of one cluster and priority: counts, limits and their gauges (L-45 … L-50). */
import type { Gauge, StatsScope } from "../observability/stats.ts";
import { createSharedResourceManager } from "./shared-resource-manager.ts";
import type { Resource, ResourceManager, RoutingPriority } from "./types.ts";

/** Limits of one priority. */
export interface Thresholds {
  readonly maxConnections: number;
  readonly maxPendingRequests: number;
  readonly maxRequests: number;
  readonly maxRetries: number;
  readonly retryBudget: RetryBudget | undefined;
  readonly trackRemaining: boolean;
}

export interface RetryBudget {
  readonly percent: number;
  readonly minRetryConcurrency: number;
}

/** What holds for a priority that the configuration does not name. */
export const defaultThresholds: Thresholds = {
  maxConnections: 1024,
  maxPendingRequests: 1024,
  maxRequests: 1024,
  maxRetries: 3,
  retryBudget: undefined,
  trackRemaining: false,
};

/**
 * `scope` is `cluster.<name>.`; gauges are made here, so make the manager when the cluster sees its first traffic. With
 * `cells` the counts are those of the process, which its threads share.
 */
export function createResourceManager(
  thresholds: Thresholds,
  priority: RoutingPriority,
  scope: StatsScope,
  cells?: Int32Array,
): ResourceManager {
  if (cells !== undefined) return createSharedResourceManager(thresholds, priority, scope, cells);
  const stats = scope.scope("circuit_breakers").scope(priority);
  const remaining = (name: string): Gauge | undefined =>
    thresholds.trackRemaining ? stats.gauge(`remaining_${name}`) : undefined;
  const limited = (max: number, open: string, left: string): Resource =>
    new LimitedResource(max, stats.gauge(open), remaining(left));
  const pendingRequests = limited(thresholds.maxPendingRequests, "rq_pending_open", "pending");
  const requests = limited(thresholds.maxRequests, "rq_open", "rq");
  const { retryBudget } = thresholds;
  return {
    connections: limited(thresholds.maxConnections, "cx_open", "cx"),
    pendingRequests,
    requests,
    retries:
      retryBudget === undefined
        ? limited(thresholds.maxRetries, "rq_retry_open", "retries")
        : new BudgetedRetries(retryBudget, requests, pendingRequests, stats.gauge("rq_retry_open")),
  };
}

class LimitedResource implements Resource {
  readonly max: number;
  count = 0;
  readonly #open: Gauge;
  readonly #remaining: Gauge | undefined;

  constructor(max: number, open: Gauge, remaining: Gauge | undefined) {
    this.max = max;
    this.#open = open;
    this.#remaining = remaining;
    remaining?.set(max);
    if (max === 0) open.set(1);
  }

  canCreate(): boolean {
    return this.count < this.max;
  }

  inc(): void {
    if (++this.count === this.max) this.#open.set(1);
    this.#remaining?.set(Math.max(0, this.max - this.count));
  }

  dec(): void {
    if (this.count-- === this.max) this.#open.set(0);
    this.#remaining?.set(Math.max(0, this.max - this.count));
  }
}

/** A share of the active and pending requests, and never less than a minimum. */
class BudgetedRetries implements Resource {
  count = 0;
  readonly #budget: RetryBudget;
  readonly #requests: Resource;
  readonly #pending: Resource;
  readonly #open: Gauge;

  constructor(budget: RetryBudget, requests: Resource, pending: Resource, open: Gauge) {
    this.#budget = budget;
    this.#requests = requests;
    this.#pending = pending;
    this.#open = open;
  }

  get max(): number {
    const active = this.#requests.count + this.#pending.count;
    return Math.max(Math.trunc((active * this.#budget.percent) / 100), this.#budget.minRetryConcurrency);
  }

  canCreate(): boolean {
    return this.count < this.max;
  }

  inc(): void {
    this.count++;
    this.#open.set(this.canCreate() ? 0 : 1);
  }

  dec(): void {
    this.count--;
    this.#open.set(this.canCreate() ? 0 : 1);
  }
}
