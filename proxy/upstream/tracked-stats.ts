/** Statistics that a cluster keeps only when it is asked to (`track_cluster_stats`). */
import type { HeaderMap } from "../http/header-map.ts";
import type { Histogram, StatsScope } from "../observability/stats.ts";
import type { FinishedExchange, TrackedStats } from "./types.ts";

export interface TrackConfig {
  readonly timeoutBudgets: boolean;
  readonly sizes: boolean;
}

/** undefined: nothing of the kind is asked for. */
export function trackedStats(config: TrackConfig, scope: StatsScope): TrackedStats | undefined {
  if (!config.timeoutBudgets && !config.sizes) return undefined;
  const budgets = config.timeoutBudgets ? new BudgetStats(scope) : undefined;
  const sizes = config.sizes ? new SizeStats(scope) : undefined;
  return {
    onExchange(exchange) {
      budgets?.record(exchange);
      sizes?.record(exchange);
    },
  };
}

class BudgetStats {
  readonly #global: Histogram;
  readonly #perTry: Histogram;

  constructor(scope: StatsScope) {
    this.#global = scope.histogram("upstream_rq_timeout_budget_percent_used");
    this.#perTry = scope.histogram("upstream_rq_timeout_budget_per_try_percent_used");
  }

  record({ elapsedMs, globalMs, tryElapsedMs, perTryMs }: FinishedExchange): void {
    this.#global.record(percentOf(elapsedMs, globalMs));
    this.#perTry.record(percentOf(tryElapsedMs, perTryMs));
  }
}

/** Of no timeout nothing is ever used. */
function percentOf(elapsedMs: number, timeoutMs: number): number {
  return timeoutMs === 0 ? 0 : Math.floor((elapsedMs * 100) / timeoutMs);
}

class SizeStats {
  readonly #request: readonly [Histogram, Histogram, Histogram];
  readonly #response: readonly [Histogram, Histogram, Histogram];

  constructor(scope: StatsScope) {
    const three = (prefix: string): readonly [Histogram, Histogram, Histogram] => [
      scope.histogram(`${prefix}_headers_size`),
      scope.histogram(`${prefix}_headers_count`),
      scope.histogram(`${prefix}_body_size`),
    ];
    this.#request = three("upstream_rq");
    this.#response = three("upstream_rs");
  }

  record({ requestHeaders, responseHeaders, requestBytes, responseBytes }: FinishedExchange): void {
    record(this.#request, requestHeaders, requestBytes);
    record(this.#response, responseHeaders, responseBytes);
  }
}

function record(
  [size, count, body]: readonly [Histogram, Histogram, Histogram],
  headers: HeaderMap,
  bytes: number,
): void {
  let total = 0;
  let fields = 0;
  for (const [name, value] of headers.entries()) {
    total += name.length + value.length;
    fields++;
  }
  size.record(total);
  count.record(fields);
  body.record(bytes);
}
