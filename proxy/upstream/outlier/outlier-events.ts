/** Lines of the event log of outlier detection: `envoy.data.cluster.v3.OutlierDetectionEvent` in JSON (L-44). */
import type { EjectionType } from "./ejection-type.ts";

export interface OutlierEvent {
  readonly type: EjectionType;
  readonly action: "EJECT" | "UNEJECT";
  /** `ip:port` of the host. */
  readonly host: string;
  readonly numEjections: number;
  /** False: found, and let be. */
  readonly isEnforced: boolean;
  /** Since the last ejection or return of the host; undefined: there was none. */
  readonly secondsSinceLast: number | undefined;
  /** Percent; for ejections by rate. */
  readonly rates?: { readonly host: number; readonly average: number; readonly threshold: number } | undefined;
}

/** One line, without its end. */
export function outlierEventLine(event: OutlierEvent, clusterName: string, nowMs: number): string {
  const { action, rates, secondsSinceLast } = event;
  return JSON.stringify({
    type: event.type.toUpperCase(),
    timestamp: new Date(nowMs).toISOString(),
    // 64 bits are text in proto3 JSON.
    ...(secondsSinceLast === undefined ? {} : { secs_since_last_action: String(Math.trunc(secondsSinceLast)) }),
    cluster_name: clusterName,
    upstream_url: event.host,
    action,
    num_ejections: event.numEjections,
    enforced: action === "EJECT" && event.isEnforced,
    ...(action === "EJECT" ? detailsOf(event.type, rates) : {}),
  });
}

function detailsOf(type: EjectionType, rates: OutlierEvent["rates"]): Readonly<Record<string, unknown>> {
  if (rates === undefined) return { eject_consecutive_event: {} };
  const host_success_rate = Math.trunc(rates.host);
  if (type.endsWith("failure_percentage")) return { eject_failure_percentage_event: { host_success_rate } };
  return {
    eject_success_rate_event: {
      host_success_rate,
      cluster_average_success_rate: Math.trunc(rates.average),
      cluster_success_rate_ejection_threshold: Math.trunc(rates.threshold),
    },
  };
}
