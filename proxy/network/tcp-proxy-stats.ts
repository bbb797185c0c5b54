/** `tcp.<stat_prefix>.`: Envoy's names. */
import type { Counter, StatsScope } from "../observability/stats.ts";

export interface TcpProxyStats {
  readonly downstreamCxTotal: Counter;
  readonly downstreamCxNoRoute: Counter;
  readonly downstreamCxRxBytesTotal: Counter;
  readonly downstreamCxTxBytesTotal: Counter;
  readonly flowControlPausedReading: Counter;
  readonly flowControlResumedReading: Counter;
  readonly earlyDataReceived: Counter;
  readonly idleTimeout: Counter;
  readonly maxDownstreamConnectionDuration: Counter;
}

export function createTcpProxyStats(root: StatsScope, statPrefix: string): TcpProxyStats {
  const scope = root.scope(`tcp.${statPrefix}`);
  return {
    downstreamCxTotal: scope.counter("downstream_cx_total"),
    downstreamCxNoRoute: scope.counter("downstream_cx_no_route"),
    downstreamCxRxBytesTotal: scope.counter("downstream_cx_rx_bytes_total"),
    downstreamCxTxBytesTotal: scope.counter("downstream_cx_tx_bytes_total"),
    flowControlPausedReading: scope.counter("downstream_flow_control_paused_reading_total"),
    flowControlResumedReading: scope.counter("downstream_flow_control_resumed_reading_total"),
    earlyDataReceived: scope.counter("early_data_received_count_total"),
    idleTimeout: scope.counter("idle_timeout"),
    maxDownstreamConnectionDuration: scope.counter("max_downstream_connection_duration"),
  };
}
