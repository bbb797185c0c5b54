/** `fault` → HTTPFault of a route (rule 32). */
import { durationJson } from "./duration.ts";
import { any, compact, type JsonObject } from "./json.ts";
import type { HttpFault, Percent } from "./spec/virtual-service.ts";

export const FAULT_FILTER = "envoy.filters.http.fault";

export function faultConfig(fault: HttpFault): JsonObject {
  return any("envoy.extensions.filters.http.fault.v3.HTTPFault", {
    delay: delay(fault.delay),
    abort: abort(fault.abort),
  });
}

function delay(settings: HttpFault["delay"]): JsonObject | undefined {
  // Envoy wants to know how long.
  if (settings?.fixedDelay === undefined) return undefined;
  const percentage =
    settings.percentage === undefined
      ? compact({ numerator: settings.percent || undefined })
      : perMillion(settings.percentage);
  return compact({ percentage, fixedDelay: durationJson(settings.fixedDelay) });
}

function abort(settings: HttpFault["abort"]): JsonObject | undefined {
  // Envoy wants to know with what.
  if (settings === undefined || (settings.httpStatus ?? settings.grpcStatus) === undefined) return undefined;
  return compact({
    percentage: settings.percentage === undefined ? undefined : perMillion(settings.percentage),
    httpStatus: settings.grpcStatus === undefined ? settings.httpStatus : undefined,
    grpcStatus: settings.grpcStatus === undefined ? undefined : grpcStatusNumber(settings.grpcStatus),
  });
}

/** Percent with four digits after the point. */
export function perMillion(percent: Percent): JsonObject {
  return { numerator: Math.trunc((percent.value ?? 0) * 10_000 + 1e-6), denominator: "MILLION" };
}

const GRPC_STATUS: readonly string[] = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
];

/** A name or a number, as text; undefined for what is neither. */
function grpcStatusNumber(status: string): number | undefined {
  if (/^\d+$/.test(status)) return Number(status);
  const index = GRPC_STATUS.indexOf(status.toUpperCase());
  return index < 0 ? undefined : index;
}
