/** `envoy.extensions.filters.http.fault.v3.HTTPFault` → what the fault filter does. */
import type { Message } from "@bufbuild/protobuf";
import { byteString } from "#lib/xxhash64.ts";
import type { Parsed, Problem } from "#lib/problem.ts";
import { MessageReader } from "#protos/reader.ts";
import type { FaultDelay, FaultRateLimit } from "#protos/gen/envoy/extensions/filters/common/fault/v3/fault_pb.js";
import type { FaultAbort, HTTPFault } from "#protos/gen/envoy/extensions/filters/http/fault/v3/fault_pb.js";
import { durationMs, fractionOf, type Fraction } from "../../config-values.ts";
import { parseHeaderMatchers } from "../../router/header-matcher.ts";
import { RegexCache } from "../../router/regex.ts";
import type { HeaderPredicate } from "../../router/types.ts";

export interface FaultConfig {
  readonly delay: { readonly fixedMs: number | undefined; readonly fraction: Fraction } | undefined;
  readonly abort: AbortConfig | undefined;
  /** KiB a second; undefined: the request's header says how many. */
  readonly responseRateLimit: { readonly kibPerSecond: number | undefined; readonly fraction: Fraction } | undefined;
  readonly upstreamCluster: string;
  readonly headers: readonly HeaderPredicate[];
  readonly downstreamNodes: readonly string[];
  readonly maxActiveFaults: number;
  readonly countsByDownstreamCluster: boolean;
  readonly runtimeKeys: FaultRuntimeKeys;
}

export interface AbortConfig {
  /** `header`: the request says with what. */
  readonly by: "http" | "grpc" | "header";
  readonly status: number;
  readonly fraction: Fraction;
  readonly body: string | undefined;
}

export interface FaultRuntimeKeys {
  readonly delayPercent: string;
  readonly delayDuration: string;
  readonly abortPercent: string;
  readonly abortHttpStatus: string;
  readonly abortGrpcStatus: string;
  readonly maxActiveFaults: string;
  readonly responseRateLimitPercent: string;
}

export function parseFault(message: Message, path: string): Parsed<FaultConfig> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message as HTTPFault, path, problems);
  const key = (name: string, fallback: string): string => (name === "" ? `fault.http.${fallback}` : name);
  const value: FaultConfig = {
    delay: parseDelay(reader.child("delay")),
    abort: parseAbort(reader.child("abort")),
    responseRateLimit: parseRateLimit(reader.child("responseRateLimit")),
    upstreamCluster: reader.get("upstreamCluster"),
    headers: parseHeaderMatchers(reader.children("headers"), new RegexCache()),
    downstreamNodes: reader.get("downstreamNodes"),
    maxActiveFaults: reader.get("maxActiveFaults") ?? Number.POSITIVE_INFINITY,
    countsByDownstreamCluster: !reader.get("disableDownstreamClusterStats"),
    runtimeKeys: {
      delayPercent: key(reader.get("delayPercentRuntime"), "delay.fixed_delay_percent"),
      delayDuration: key(reader.get("delayDurationRuntime"), "delay.fixed_duration_ms"),
      abortPercent: key(reader.get("abortPercentRuntime"), "abort.abort_percent"),
      abortHttpStatus: key(reader.get("abortHttpStatusRuntime"), "abort.http_status"),
      abortGrpcStatus: key(reader.get("abortGrpcStatusRuntime"), "abort.grpc_status"),
      maxActiveFaults: key(reader.get("maxActiveFaultsRuntime"), "max_active_faults"),
      responseRateLimitPercent: key(reader.get("responseRateLimitPercentRuntime"), "rate_limit.response_percent"),
    },
  };
  if (Object.keys(reader.get("filterMetadata") ?? {}).length > 0)
    reader.unsupported("filterMetadata", "metadata of an injected fault is not kept by this proxy; remove it");
  reader.finish();
  return problems.length > 0 ? { problems } : { value, problems };
}

const never: Fraction = { numerator: 0, denominator: 100 };

function parseDelay(reader: MessageReader<FaultDelay> | undefined): FaultConfig["delay"] {
  if (reader === undefined) return undefined;
  const delay = reader.get("faultDelaySecifier");
  const percentage = reader.get("percentage");
  if (delay.case === undefined) reader.invalid("faultDelaySecifier", "one of fixed_delay and header_delay is required");
  reader.finish();
  return {
    fixedMs: delay.case === "fixedDelay" ? (durationMs(delay.value) ?? 0) : undefined,
    fraction: percentage === undefined ? never : fractionOf(percentage),
  };
}

function parseAbort(reader: MessageReader<FaultAbort> | undefined): AbortConfig | undefined {
  if (reader === undefined) return undefined;
  const error = reader.get("errorType");
  const percentage = reader.get("percentage");
  const body = reader.get("responseBody");
  reader.finish();
  if (error.case === undefined) {
    reader.invalid("errorType", "one of http_status, grpc_status and header_abort is required");
    return undefined;
  }
  return {
    by: error.case === "httpStatus" ? "http" : error.case === "grpcStatus" ? "grpc" : "header",
    status: error.case === "headerAbort" ? 0 : error.value,
    fraction: percentage === undefined ? never : fractionOf(percentage),
    body: body === "" ? undefined : byteString(body),
  };
}

function parseRateLimit(reader: MessageReader<FaultRateLimit> | undefined): FaultConfig["responseRateLimit"] {
  if (reader === undefined) return undefined;
  const limit = reader.get("limitType");
  const percentage = reader.get("percentage");
  reader.finish();
  if (limit.case === undefined) reader.invalid("limitType", "one of fixed_limit and header_limit is required");
  return {
    kibPerSecond: limit.case === "fixedLimit" ? Number(limit.value.limitKbps) : undefined,
    fraction: percentage === undefined ? never : fractionOf(percentage),
  };
}
