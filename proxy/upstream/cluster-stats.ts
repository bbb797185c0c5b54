/** Statistics of a cluster under `cluster.<name>.`: made when the cluster is first used, because there may be thousands. */
import type { Counter, Gauge, Histogram, StatsScope } from "../observability/stats.ts";
import { ResponseCodeStats } from "./response-code-stats.ts";
import type { ClusterTrafficStats, TrackedStats } from "./types.ts";

/** What the router and the pools count. */
export class TrafficStats implements ClusterTrafficStats {
  readonly rqTotal: Counter;
  readonly rqActive: Gauge;
  readonly rqCompleted: Counter;
  readonly rqTimeout: Counter;
  readonly rqPerTryTimeout: Counter;
  readonly rqPerTryIdleTimeout: Counter;
  readonly rqRetry: Counter;
  readonly rqRetrySuccess: Counter;
  readonly rqRetryOverflow: Counter;
  readonly rqRetryLimitExceeded: Counter;
  readonly rqRetryBackoffExponential: Counter;
  readonly rqRetryBackoffRatelimited: Counter;
  readonly rqCancelled: Counter;
  readonly rqRxReset: Counter;
  readonly rqTxReset: Counter;
  readonly rqMaintenanceMode: Counter;
  readonly rqMaxDurationReached: Counter;
  readonly retryOrShadowAbandoned: Counter;
  readonly cxNoneHealthy: Counter;
  readonly internalRedirectSucceeded: Counter;
  readonly internalRedirectFailed: Counter;
  readonly rqPendingTotal: Counter;
  readonly rqPendingActive: Gauge;
  readonly rqPendingOverflow: Counter;
  readonly rqPendingFailureEject: Counter;
  readonly cxTotal: Counter;
  readonly cxActive: Gauge;
  readonly cxHttp1Total: Counter;
  readonly cxHttp2Total: Counter;
  readonly cxConnectFail: Counter;
  readonly cxConnectTimeout: Counter;
  readonly cxConnectAttemptsExceeded: Counter;
  readonly cxOverflow: Counter;
  readonly cxIdleTimeout: Counter;
  readonly cxMaxDurationReached: Counter;
  readonly cxMaxRequests: Counter;
  readonly cxProtocolError: Counter;
  readonly cxCloseNotify: Counter;
  readonly cxDestroy: Counter;
  readonly cxDestroyLocal: Counter;
  readonly cxDestroyRemote: Counter;
  readonly cxDestroyWithActiveRq: Counter;
  readonly cxDestroyLocalWithActiveRq: Counter;
  readonly cxDestroyRemoteWithActiveRq: Counter;
  readonly cxRxBytes: Counter;
  readonly cxTxBytes: Counter;
  readonly cxConnectMs: Histogram;
  readonly cxLengthMs: Histogram;
  readonly rqPerCx: Histogram;
  readonly #scope: StatsScope;
  readonly #rqTime: Histogram;
  readonly #codes: ResponseCodeStats;
  /** Made on first use: a mesh without internal addresses never counts the one, and few have canaries. */
  #external: ResponseCodeStats | undefined = undefined;
  #internal: ResponseCodeStats | undefined = undefined;
  #canary: ResponseCodeStats | undefined = undefined;

  readonly tracked: TrackedStats | undefined;

  constructor(scope: StatsScope, tracked?: TrackedStats) {
    this.#scope = scope;
    this.tracked = tracked;
    const counter = (name: string): Counter => scope.counter(name);
    this.rqTotal = counter("upstream_rq_total");
    this.rqActive = scope.gauge("upstream_rq_active");
    this.#codes = new ResponseCodeStats(scope);
    this.rqCompleted = this.#codes.completed;
    this.rqTimeout = counter("upstream_rq_timeout");
    this.rqPerTryTimeout = counter("upstream_rq_per_try_timeout");
    this.rqPerTryIdleTimeout = counter("upstream_rq_per_try_idle_timeout");
    this.rqRetry = counter("upstream_rq_retry");
    this.rqRetrySuccess = counter("upstream_rq_retry_success");
    this.rqRetryOverflow = counter("upstream_rq_retry_overflow");
    this.rqRetryLimitExceeded = counter("upstream_rq_retry_limit_exceeded");
    this.rqRetryBackoffExponential = counter("upstream_rq_retry_backoff_exponential");
    this.rqRetryBackoffRatelimited = counter("upstream_rq_retry_backoff_ratelimited");
    this.rqCancelled = counter("upstream_rq_cancelled");
    this.rqRxReset = counter("upstream_rq_rx_reset");
    this.rqTxReset = counter("upstream_rq_tx_reset");
    this.rqMaintenanceMode = counter("upstream_rq_maintenance_mode");
    this.rqMaxDurationReached = counter("upstream_rq_max_duration_reached");
    this.retryOrShadowAbandoned = counter("retry_or_shadow_abandoned");
    this.internalRedirectSucceeded = counter("upstream_internal_redirect_succeeded_total");
    this.internalRedirectFailed = counter("upstream_internal_redirect_failed_total");
    this.cxNoneHealthy = counter("upstream_cx_none_healthy");
    this.rqPendingTotal = counter("upstream_rq_pending_total");
    this.rqPendingActive = scope.gauge("upstream_rq_pending_active");
    this.rqPendingOverflow = counter("upstream_rq_pending_overflow");
    this.rqPendingFailureEject = counter("upstream_rq_pending_failure_eject");
    this.cxTotal = counter("upstream_cx_total");
    this.cxActive = scope.gauge("upstream_cx_active");
    this.cxHttp1Total = counter("upstream_cx_http1_total");
    this.cxHttp2Total = counter("upstream_cx_http2_total");
    this.cxConnectFail = counter("upstream_cx_connect_fail");
    this.cxConnectTimeout = counter("upstream_cx_connect_timeout");
    this.cxConnectAttemptsExceeded = counter("upstream_cx_connect_attempts_exceeded");
    this.cxOverflow = counter("upstream_cx_overflow");
    this.cxIdleTimeout = counter("upstream_cx_idle_timeout");
    this.cxMaxDurationReached = counter("upstream_cx_max_duration_reached");
    this.cxMaxRequests = counter("upstream_cx_max_requests");
    this.cxProtocolError = counter("upstream_cx_protocol_error");
    this.cxCloseNotify = counter("upstream_cx_close_notify");
    this.cxDestroy = counter("upstream_cx_destroy");
    this.cxDestroyLocal = counter("upstream_cx_destroy_local");
    this.cxDestroyRemote = counter("upstream_cx_destroy_remote");
    this.cxDestroyWithActiveRq = counter("upstream_cx_destroy_with_active_rq");
    this.cxDestroyLocalWithActiveRq = counter("upstream_cx_destroy_local_with_active_rq");
    this.cxDestroyRemoteWithActiveRq = counter("upstream_cx_destroy_remote_with_active_rq");
    this.cxRxBytes = counter("upstream_cx_rx_bytes_total");
    this.cxTxBytes = counter("upstream_cx_tx_bytes_total");
    this.cxConnectMs = scope.histogram("upstream_cx_connect_ms");
    this.rqPerCx = scope.histogram("upstream_rq_per_cx");
    this.cxLengthMs = scope.histogram("upstream_cx_length_ms");
    this.#rqTime = scope.histogram("upstream_rq_time");
  }

  countResponse(status: number, isInternal = false, isCanary = false, isHidden = false): void {
    this.#codes.count(isHidden ? undefined : status);
    if (isCanary) (this.#canary ??= new ResponseCodeStats(this.#scope.scope("canary"))).count(status);
    if (isInternal) (this.#internal ??= new ResponseCodeStats(this.#scope.scope("internal"))).count(status);
    else (this.#external ??= new ResponseCodeStats(this.#scope.scope("external"))).count(status);
  }

  recordTime(ms: number): void {
    this.#rqTime.record(ms);
  }

  /** A connection is gone. */
  countDestroyed(isLocal: boolean, hadActiveRequests: boolean): void {
    this.cxDestroy.inc();
    (isLocal ? this.cxDestroyLocal : this.cxDestroyRemote).inc();
    if (!hadActiveRequests) return;
    this.cxDestroyWithActiveRq.inc();
    (isLocal ? this.cxDestroyLocalWithActiveRq : this.cxDestroyRemoteWithActiveRq).inc();
  }
}

/** Membership gauges, made with the cluster, and what discovery counts, made when it first counts it. */
export class MembershipStats {
  readonly change: Counter;
  readonly total: Gauge;
  readonly healthy: Gauge;
  readonly degraded: Gauge;
  readonly excluded: Gauge;
  readonly #scope: StatsScope;

  constructor(scope: StatsScope) {
    this.#scope = scope;
    this.change = scope.counter("membership_change");
    this.total = scope.gauge("membership_total");
    this.healthy = scope.gauge("membership_healthy");
    this.degraded = scope.gauge("membership_degraded");
    this.excluded = scope.gauge("membership_excluded");
  }

  get maxHostWeight(): Gauge {
    return this.#scope.gauge("max_host_weight");
  }
  get updateNoRebuild(): Counter {
    return this.#scope.counter("update_no_rebuild");
  }
  get updateEmpty(): Counter {
    return this.#scope.counter("update_empty");
  }
  get updateAttempt(): Counter {
    return this.#scope.counter("update_attempt");
  }
  get updateSuccess(): Counter {
    return this.#scope.counter("update_success");
  }
  get updateFailure(): Counter {
    return this.#scope.counter("update_failure");
  }
}
