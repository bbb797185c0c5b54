/** Whether a request is traced, decided from its request id so that every proxy decides alike. */
import type { ForwardingConfig } from "./connection-manager-config.ts";
import type { TracingStats } from "./connection-manager-stats.ts";
import type { Fraction } from "../config-values.ts";
import type { RouteTracing } from "../router/route-tracing.ts";
import type { HeaderMap } from "./header-map.ts";
import type { TracingConfig } from "./tracing-config.ts";
import type { TraceReason } from "./tracing.ts";

/** Where a version 4 UUID has its version, and Envoy the reason for a trace. */
const reasonAt = 14;
const reasonDigits: Readonly<Record<TraceReason, string>> = {
  none: "4",
  sampled: "9",
  "service-forced": "a",
  "client-forced": "b",
};

/** Decides, writes the reason into the request id, and counts. */
export function decideTrace(
  headers: HeaderMap,
  tracing: TracingConfig,
  forwarding: ForwardingConfig,
  isForced: boolean,
  stats: TracingStats,
  random: () => number,
  route?: RouteTracing,
): TraceReason {
  const id = headers.get("x-request-id");
  let draw: number;
  let reason: TraceReason = "none";
  if (forwarding.useRequestIdForTraceSampling) {
    if (id === undefined || id.length !== 36) return count("none", stats);
    draw = Number.parseInt(id.slice(0, 8), 16) % 10_000;
    if (Number.isNaN(draw)) return count("none", stats);
    reason = reasonOf(id);
  } else draw = Math.floor(random() * 10_000);
  if (reason === "none") {
    if (isWithin(draw, tracing.clientSampling, route?.clientSampling) && headers.has("x-client-trace-id"))
      reason = "client-forced";
    else if (isForced) reason = "service-forced";
    else if (isWithin(draw, tracing.randomSampling, route?.randomSampling)) reason = "sampled";
  }
  if (reason !== "none" && !isWithin(draw, tracing.overallSampling, route?.overallSampling)) reason = "none";
  if (forwarding.packTraceReason && id !== undefined && id.length === 36 && id[reasonAt] !== reasonDigits[reason])
    headers.set("x-request-id", id.slice(0, reasonAt) + reasonDigits[reason] + id.slice(reasonAt + 1));
  return count(reason, stats);
}

/** `all` is of 10,000; a route's own share stands in its place. */
function isWithin(draw: number, all: number, own: Fraction | undefined): boolean {
  return own === undefined ? all > draw : own.numerator > draw % own.denominator;
}

function reasonOf(id: string): TraceReason {
  switch (id[reasonAt]) {
    case "9":
      return "sampled";
    case "a":
      return "service-forced";
    case "b":
      return "client-forced";
    default:
      return "none";
  }
}

function count(reason: TraceReason, stats: TracingStats): TraceReason {
  if (reason === "none") stats.notTraceable.inc();
  else if (reason === "sampled") stats.randomSampling.inc();
  else if (reason === "client-forced") stats.clientEnabled.inc();
  else stats.serviceForced.inc();
  return reason;
}
