/** `listener.<address>.` and `listener_manager.`: Envoy's names. */
import type { Counter, Gauge, Histogram, StatsScope } from "../observability/stats.ts";

export interface ListenerStats {
  readonly scope: StatsScope;
  readonly cxTotal: Counter;
  readonly cxDestroy: Counter;
  readonly cxActive: Gauge;
  readonly cxLengthMs: Histogram;
  readonly cxOverflow: Counter;
  readonly globalCxOverflow: Counter;
  readonly transportSocketConnectTimeout: Counter;
  readonly listenerFilterError: Counter;
  readonly listenerFilterRemoteClose: Counter;
  readonly preCxActive: Gauge;
  readonly preCxTimeout: Counter;
  readonly noFilterChainMatch: Counter;
  readonly workerCxTotal: Counter;
  readonly workerCxActive: Gauge;
}

/** `statName` is the address or the listener's `stat_prefix`. */
export function listenerStats(root: StatsScope, statName: string): ListenerStats {
  const scope = root.scope("listener").scope(statName);
  const worker = scope.scope("worker_0");
  return {
    scope,
    cxTotal: scope.counter("downstream_cx_total"),
    cxDestroy: scope.counter("downstream_cx_destroy"),
    cxActive: scope.gauge("downstream_cx_active"),
    cxLengthMs: scope.histogram("downstream_cx_length_ms"),
    cxOverflow: scope.counter("downstream_cx_overflow"),
    globalCxOverflow: scope.counter("downstream_global_cx_overflow"),
    transportSocketConnectTimeout: scope.counter("downstream_cx_transport_socket_connect_timeout"),
    listenerFilterError: scope.counter("downstream_listener_filter_error"),
    listenerFilterRemoteClose: scope.counter("downstream_listener_filter_remote_close"),
    preCxActive: scope.gauge("downstream_pre_cx_active"),
    preCxTimeout: scope.counter("downstream_pre_cx_timeout"),
    noFilterChainMatch: scope.counter("no_filter_chain_match"),
    workerCxTotal: worker.counter("downstream_cx_total"),
    workerCxActive: worker.gauge("downstream_cx_active"),
  };
}

export interface ListenerManagerStats {
  readonly added: Counter;
  readonly modified: Counter;
  readonly removed: Counter;
  readonly stopped: Counter;
  readonly inPlaceUpdated: Counter;
  readonly createSuccess: Counter;
  readonly createFailure: Counter;
  readonly filterChainsDraining: Gauge;
  readonly warming: Gauge;
  readonly active: Gauge;
  readonly draining: Gauge;
  readonly workersStarted: Gauge;
}

export function listenerManagerStats(root: StatsScope): ListenerManagerStats {
  const scope = root.scope("listener_manager");
  return {
    added: scope.counter("listener_added"),
    modified: scope.counter("listener_modified"),
    removed: scope.counter("listener_removed"),
    stopped: scope.counter("listener_stopped"),
    inPlaceUpdated: scope.counter("listener_in_place_updated"),
    createSuccess: scope.counter("listener_create_success"),
    createFailure: scope.counter("listener_create_failure"),
    filterChainsDraining: scope.gauge("total_filter_chains_draining"),
    warming: scope.gauge("total_listeners_warming"),
    active: scope.gauge("total_listeners_active"),
    draining: scope.gauge("total_listeners_draining"),
    workersStarted: scope.gauge("workers_started"),
  };
}
