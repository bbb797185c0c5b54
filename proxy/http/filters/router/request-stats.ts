/**
 * `vhost.<virtual host>.vcluster.<name>.` and `….route.<stat_prefix>.`: requests by what they ask for. Made on first use:
 * there may be many, and none.
 */
import type { Counter, StatsScope } from "../../../observability/stats.ts";
import { ResponseCodeStats } from "../../../upstream/response-code-stats.ts";
import type { ForwardRoute } from "../../../router/types.ts";

export interface RequestStats {
  /** An attempt has its connection. */
  readonly rqTotal: Counter;
  readonly rqRetry: Counter;
  readonly rqRetryLimitExceeded: Counter;
  readonly rqRetryOverflow: Counter;
  readonly rqRetrySuccess: Counter;
  readonly rqTimeout: Counter;
  countResponse(status: number): void;
  /** `upstream_rq_time`, ms. */
  recordTime(ms: number): void;
}

const none: readonly RequestStats[] = [];

/** Requests that have neither a virtual cluster nor a route with a `stat_prefix` cost nothing here. */
export class RequestStatsByName {
  readonly #scope: StatsScope;
  readonly #known = new Map<string, RequestStats>();

  constructor(rootScope: StatsScope) {
    this.#scope = rootScope.scope("vhost");
  }

  /** Those of a request whose virtual cluster has this name. */
  of(route: ForwardRoute, virtualCluster: string | undefined): readonly RequestStats[] {
    if (virtualCluster === undefined && route.statPrefix === "") return none;
    const stats: RequestStats[] = [];
    if (virtualCluster !== undefined) stats.push(this.#named(route.virtualHostName, "vcluster", virtualCluster));
    if (route.statPrefix !== "") stats.push(this.#named(route.virtualHostName, "route", route.statPrefix));
    return stats;
  }

  #named(virtualHost: string, kind: "vcluster" | "route", name: string): RequestStats {
    const key = `${virtualHost}.${kind}.${name}`;
    let stats = this.#known.get(key);
    if (stats === undefined) {
      stats = statsOf(this.#scope.scope(virtualHost).scope(kind).scope(name));
      this.#known.set(key, stats);
    }
    return stats;
  }
}

function statsOf(scope: StatsScope): RequestStats {
  const codes = new ResponseCodeStats(scope);
  const time = scope.histogram("upstream_rq_time");
  return {
    rqTotal: scope.counter("upstream_rq_total"),
    rqRetry: scope.counter("upstream_rq_retry"),
    rqRetryLimitExceeded: scope.counter("upstream_rq_retry_limit_exceeded"),
    rqRetryOverflow: scope.counter("upstream_rq_retry_overflow"),
    rqRetrySuccess: scope.counter("upstream_rq_retry_success"),
    rqTimeout: scope.counter("upstream_rq_timeout"),
    countResponse: (status) => codes.count(status),
    recordTime: (ms) => time.record(ms),
  };
}
