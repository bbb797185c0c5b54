/** The statistics that every xDS subscription has. */
import { xxHash64 } from "#lib/xxhash64.ts";
import type { Counter, Gauge, Histogram, StatsScope, TextReadout } from "../observability/stats.ts";

export interface SubscriptionStats {
  readonly updateAttempt: Counter;
  readonly updateSuccess: Counter;
  /** The stream ended, or could not be opened. */
  readonly updateFailure: Counter;
  readonly updateRejected: Counter;
  readonly initFetchTimeout: Counter;
  readonly updateTime: Gauge;
  /** xxHash64 of version_info, as far as a double holds it. */
  readonly version: Gauge;
  readonly versionText: TextReadout;
  /** ms. */
  readonly updateDuration: Histogram;
}

/** `scope` is that of the subscription: `cluster_manager.cds.`, `cluster.<name>.` … */
export function createSubscriptionStats(scope: StatsScope): SubscriptionStats {
  return {
    updateAttempt: scope.counter("update_attempt"),
    updateSuccess: scope.counter("update_success"),
    updateFailure: scope.counter("update_failure"),
    updateRejected: scope.counter("update_rejected"),
    initFetchTimeout: scope.counter("init_fetch_timeout"),
    updateTime: scope.gauge("update_time"),
    version: scope.gauge("version"),
    versionText: scope.text("version_text"),
    updateDuration: scope.histogram("update_duration"),
  };
}

/** A response was accepted: also the next attempt begins, as Envoy counts. */
export function countSuccess(stats: SubscriptionStats, version: string, nowMs: number, durationMs: number): void {
  stats.updateSuccess.inc();
  stats.updateAttempt.inc();
  stats.updateTime.set(nowMs);
  stats.updateDuration.record(durationMs);
  stats.versionText.value = version;
  stats.version.set(Number(xxHash64(version)));
}

export function countRejected(stats: SubscriptionStats): void {
  stats.updateRejected.inc();
  stats.updateAttempt.inc();
}

export function countFailure(stats: SubscriptionStats): void {
  stats.updateFailure.inc();
  stats.updateAttempt.inc();
}
