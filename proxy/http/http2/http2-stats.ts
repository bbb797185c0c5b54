/** `http2.` and `cluster.<c>.http2.`, resolved once. */
import type { Counter, Gauge, StatsScope } from "../../observability/stats.ts";

const counters = {
  droppedHeadersWithUnderscores: "dropped_headers_with_underscores",
  goAwaySent: "goaway_sent",
  headerOverflow: "header_overflow",
  headersCbNoStream: "headers_cb_no_stream",
  inboundEmptyFramesFlood: "inbound_empty_frames_flood",
  inboundPriorityFramesFlood: "inbound_priority_frames_flood",
  inboundWindowUpdateFramesFlood: "inbound_window_update_frames_flood",
  keepaliveTimeout: "keepalive_timeout",
  metadataEmptyFrames: "metadata_empty_frames",
  outboundControlFlood: "outbound_control_flood",
  outboundFlood: "outbound_flood",
  requestsRejectedWithUnderscores: "requests_rejected_with_underscores_in_headers",
  rxMessagingError: "rx_messaging_error",
  rxReset: "rx_reset",
  streamRefusedErrors: "stream_refused_errors",
  trailers: "trailers",
  txFlushTimeout: "tx_flush_timeout",
  txReset: "tx_reset",
} as const;

const gauges = {
  deferredStreamClose: "deferred_stream_close",
  outboundControlFramesActive: "outbound_control_frames_active",
  outboundFramesActive: "outbound_frames_active",
  pendingSendBytes: "pending_send_bytes",
  streamsActive: "streams_active",
} as const;

export type Http2Stats = Readonly<Record<keyof typeof counters, Counter>> &
  Readonly<Record<keyof typeof gauges, Gauge>>;

/** `scope` is the one above `http2.`. */
export function http2Stats(scope: StatsScope): Http2Stats {
  const own = scope.scope("http2");
  return statsFrom(
    (name) => own.counter(name),
    (name) => own.gauge(name),
  );
}

/** Counts for nobody. */
export function unwatchedHttp2Stats(): Http2Stats {
  const handle = (name: string): Gauge => ({
    name,
    value: 0,
    set() {},
    inc() {},
    dec() {},
    add() {},
  });
  return statsFrom(handle, handle);
}

function statsFrom(counter: (name: string) => Counter, gauge: (name: string) => Gauge): Http2Stats {
  const all: Record<string, Counter | Gauge> = {};
  for (const [key, name] of Object.entries(counters)) all[key] = counter(name);
  for (const [key, name] of Object.entries(gauges)) all[key] = gauge(name);
  return all as Http2Stats;
}
