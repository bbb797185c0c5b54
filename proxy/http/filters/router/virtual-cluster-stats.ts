/** `vhost.<virtual host>.vcluster.<name>.`: requests by what they ask for. Made on first use: there may be many, and none. */
import type { StatsScope } from "../../../observability/stats.ts";

export interface VirtualClusterStats {
  countResponse(status: number): void;
  countRetry(): void;
  countTimeout(): void;
  recordTime(ms: number): void;
}

/** One lookup a request that has a virtual cluster; others never come here. */
export class VirtualClusters {
  readonly #scope: StatsScope;
  readonly #known = new Map<string, VirtualClusterStats>();

  constructor(rootScope: StatsScope) {
    this.#scope = rootScope.scope("vhost");
  }

  of(virtualHost: string, name: string): VirtualClusterStats {
    const key = `${virtualHost}.vcluster.${name}`;
    let stats = this.#known.get(key);
    if (stats === undefined) {
      stats = statsOf(this.#scope.scope(virtualHost).scope("vcluster").scope(name));
      this.#known.set(key, stats);
    }
    return stats;
  }
}

function statsOf(scope: StatsScope): VirtualClusterStats {
  const total = scope.counter("upstream_rq_total");
  const completed = scope.counter("upstream_rq_completed");
  const retry = scope.counter("upstream_rq_retry");
  const timeout = scope.counter("upstream_rq_timeout");
  const time = scope.histogram("upstream_rq_time");
  return {
    countResponse(status) {
      total.inc();
      completed.inc();
      scope.counter(`upstream_rq_${status}`).inc();
      scope.counter(`upstream_rq_${Math.floor(status / 100)}xx`).inc();
    },
    countRetry: () => retry.inc(),
    countTimeout: () => timeout.inc(),
    recordTime: (ms) => time.record(ms),
  };
}
