/** `upstream_rq_completed`, `upstream_rq_<n>xx` and `upstream_rq_<code>` below one scope. */
import type { Counter, StatsScope } from "../observability/stats.ts";

export class ResponseCodeStats {
  readonly completed: Counter;
  readonly #scope: StatsScope;
  /** By status code, made on first use. */
  readonly #byCode: (Counter | undefined)[] = [];
  readonly #byClass: (Counter | undefined)[] = [];

  constructor(scope: StatsScope) {
    this.#scope = scope;
    this.completed = scope.counter("upstream_rq_completed");
  }

  /** Undefined: only that there was an answer. */
  count(status: number | undefined): void {
    this.completed.inc();
    if (status === undefined) return;
    if (status < 100 || status > 599) return this.#scope.counter("upstream_rq_unknown").inc();
    const group = Math.trunc(status / 100);
    (this.#byClass[group] ??= this.#scope.counter(`upstream_rq_${group}xx`)).inc();
    (this.#byCode[status] ??= this.#scope.counter(`upstream_rq_${status}`)).inc();
  }
}
