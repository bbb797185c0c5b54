/** `http.<stat_prefix>.` and `listener.<address>.http.<stat_prefix>.`, resolved once a configuration. */
import type { Counter, Gauge, Histogram, StatsScope } from "../observability/stats.ts";

export interface ConnectionManagerStats {
  readonly cxTotal: Counter;
  readonly cxActive: Gauge;
  readonly cxHttp1Total: Counter;
  readonly cxHttp1Active: Gauge;
  readonly cxHttp2Total: Counter;
  readonly cxHttp2Active: Gauge;
  readonly cxSslTotal: Counter;
  readonly cxSslActive: Gauge;
  readonly cxUpgradesTotal: Counter;
  readonly cxUpgradesActive: Gauge;
  readonly cxDestroy: Counter;
  readonly cxDestroyActiveRq: Counter;
  readonly cxDestroyLocal: Counter;
  readonly cxDestroyLocalActiveRq: Counter;
  readonly cxDestroyRemote: Counter;
  readonly cxDestroyRemoteActiveRq: Counter;
  readonly cxDelayedCloseTimeout: Counter;
  readonly cxDrainClose: Counter;
  readonly cxIdleTimeout: Counter;
  readonly cxMaxDurationReached: Counter;
  readonly cxMaxRequestsReached: Counter;
  readonly cxProtocolError: Counter;
  readonly underscoresRejected: Counter;
  readonly cxRxBytesTotal: Counter;
  readonly cxTxBytesTotal: Counter;
  readonly cxLengthMs: Histogram;
  readonly flowControlPaused: Counter;
  readonly flowControlResumed: Counter;
  readonly rqTotal: Counter;
  readonly rqActive: Gauge;
  readonly rqHttp1Total: Counter;
  readonly rqHttp2Total: Counter;
  readonly rqCompleted: Counter;
  /** 1xx … 5xx. */
  readonly rqByClass: readonly Counter[];
  readonly rqFailedPathNormalization: Counter;
  readonly rqRejectedViaIpDetection: Counter;
  readonly rqRedirectedWithNormalizedPath: Counter;
  readonly rqHeaderTimeout: Counter;
  readonly rqIdleTimeout: Counter;
  readonly rqMaxDurationReached: Counter;
  readonly rqNonRelativePath: Counter;
  readonly rqResponseBeforeRqComplete: Counter;
  readonly rqRxReset: Counter;
  readonly rqTxReset: Counter;
  readonly rqTimeout: Counter;
  readonly rqTooLarge: Counter;
  readonly rsTooLarge: Counter;
  readonly rqTooManyPrematureResets: Counter;
  readonly rqWsOnNonWsRoute: Counter;
  readonly rqTime: Histogram;
  readonly listenerRqCompleted: Counter;
  readonly listenerRqByClass: readonly Counter[];
  readonly tracing: TracingStats;
}

export interface TracingStats {
  readonly randomSampling: Counter;
  readonly serviceForced: Counter;
  readonly clientEnabled: Counter;
  readonly notTraceable: Counter;
  readonly healthCheck: Counter;
}

/** `scope` is `http.<prefix>.`, `listenerScope` is `listener.<address>.http.<prefix>.`, `rootScope` has no prefix. */
export function connectionManagerStats(
  scope: StatsScope,
  listenerScope: StatsScope,
  rootScope: StatsScope,
): ConnectionManagerStats {
  const cx = (name: string): Counter => scope.counter(`downstream_cx_${name}`);
  const cxGauge = (name: string): Gauge => scope.gauge(`downstream_cx_${name}`);
  const rq = (name: string): Counter => scope.counter(`downstream_rq_${name}`);
  const classes = (of: StatsScope): Counter[] => [1, 2, 3, 4, 5].map((digit) => of.counter(`downstream_rq_${digit}xx`));
  const tracing = scope.scope("tracing");
  // Counters of what cannot happen here (yet) exist all the same, with the zero that they have in Envoy.
  for (const name of ["http3_total", "overload_disable_keepalive"]) cx(name);
  for (const name of ["http3_total", "overload_close"]) rq(name);
  for (const name of ["http3_active", "http1_soft_drain", "rx_bytes_buffered", "tx_bytes_buffered"]) cxGauge(name);
  return {
    cxTotal: cx("total"),
    cxActive: cxGauge("active"),
    cxHttp1Total: cx("http1_total"),
    cxHttp1Active: cxGauge("http1_active"),
    cxHttp2Total: cx("http2_total"),
    cxHttp2Active: cxGauge("http2_active"),
    cxSslTotal: cx("ssl_total"),
    cxSslActive: cxGauge("ssl_active"),
    cxUpgradesTotal: cx("upgrades_total"),
    cxUpgradesActive: cxGauge("upgrades_active"),
    cxDestroy: cx("destroy"),
    cxDestroyActiveRq: cx("destroy_active_rq"),
    cxDestroyLocal: cx("destroy_local"),
    cxDestroyLocalActiveRq: cx("destroy_local_active_rq"),
    cxDestroyRemote: cx("destroy_remote"),
    cxDestroyRemoteActiveRq: cx("destroy_remote_active_rq"),
    cxDelayedCloseTimeout: cx("delayed_close_timeout"),
    cxDrainClose: cx("drain_close"),
    cxIdleTimeout: cx("idle_timeout"),
    cxMaxDurationReached: cx("max_duration_reached"),
    cxMaxRequestsReached: cx("max_requests_reached"),
    cxProtocolError: cx("protocol_error"),
    underscoresRejected: rootScope.scope("http1").counter("requests_rejected_with_underscores_in_headers"),
    cxRxBytesTotal: cx("rx_bytes_total"),
    cxTxBytesTotal: cx("tx_bytes_total"),
    cxLengthMs: scope.histogram("downstream_cx_length_ms"),
    flowControlPaused: scope.counter("downstream_flow_control_paused_reading_total"),
    flowControlResumed: scope.counter("downstream_flow_control_resumed_reading_total"),
    rqTotal: rq("total"),
    rqActive: scope.gauge("downstream_rq_active"),
    rqHttp1Total: rq("http1_total"),
    rqHttp2Total: rq("http2_total"),
    rqCompleted: rq("completed"),
    rqByClass: classes(scope),
    rqFailedPathNormalization: rq("failed_path_normalization"),
    rqRejectedViaIpDetection: rq("rejected_via_ip_detection"),
    rqRedirectedWithNormalizedPath: rq("redirected_with_normalized_path"),
    rqHeaderTimeout: rq("header_timeout"),
    rqIdleTimeout: rq("idle_timeout"),
    rqMaxDurationReached: rq("max_duration_reached"),
    rqNonRelativePath: rq("non_relative_path"),
    rqResponseBeforeRqComplete: rq("response_before_rq_complete"),
    rqRxReset: rq("rx_reset"),
    rqTxReset: rq("tx_reset"),
    rqTimeout: rq("timeout"),
    rqTooLarge: rq("too_large"),
    rsTooLarge: scope.counter("rs_too_large"),
    rqTooManyPrematureResets: rq("too_many_premature_resets"),
    rqWsOnNonWsRoute: rq("ws_on_non_ws_route"),
    rqTime: scope.histogram("downstream_rq_time"),
    listenerRqCompleted: listenerScope.counter("downstream_rq_completed"),
    listenerRqByClass: classes(listenerScope),
    tracing: {
      randomSampling: tracing.counter("random_sampling"),
      serviceForced: tracing.counter("service_forced"),
      clientEnabled: tracing.counter("client_enabled"),
      notTraceable: tracing.counter("not_traceable"),
      healthCheck: tracing.counter("health_check"),
    },
  };
}
