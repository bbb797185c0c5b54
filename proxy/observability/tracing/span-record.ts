/** A span that is complete, before it is encoded for a collector. */
import type { CollectorStats } from "../collector.ts";
import type { StatsScope } from "../stats.ts";

export interface SpanRecord {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty: a root. */
  readonly parentSpanId: string;
  readonly traceState: string;
  readonly name: string;
  readonly kind: "server" | "client";
  /** ms since the epoch, with a fraction. */
  readonly startMs: number;
  readonly endMs: number;
  readonly isError: boolean;
  /** In the order in which they were set. */
  readonly tags: readonly (readonly [string, string])[];
  /** Zipkin: the id is the client's (one span of two halves). */
  readonly isShared: boolean;
}

/** `scope` is `tracing.<provider>.`. */
export function spanStats(scope: StatsScope): CollectorStats {
  return {
    sent: scope.counter("spans_sent"),
    dropped: scope.counter("spans_dropped"),
    failed: scope.counter("reports_failed"),
  };
}
