/** `envoy.config.route.v3.RetryPolicy` → `RetryPolicy`; the values of `retry_on` as bits (R-61 … R-75). */
import type { MessageReader } from "#protos/reader.ts";
import { typeNameOf } from "#protos/type-url.ts";
import type {
  RetryPolicy as RetryPolicyMessage,
  RetryPolicy_RateLimitedRetryBackOff,
  RetryPolicy_RetryHostPredicate,
  RetryPolicy_RetryPriority,
} from "#protos/gen/envoy/config/route/v3/route_components_pb.js";
import { MessageReader as Reader } from "#protos/reader.ts";
import { unpackAny } from "#protos/any.ts";
import type { PreviousPrioritiesConfig } from "#protos/gen/envoy/extensions/retry/priority/previous_priorities/v3/previous_priorities_config_pb.js";
import type { OmitHostMetadataConfig } from "#protos/gen/envoy/extensions/retry/host/omit_host_metadata/v3/omit_host_metadata_config_pb.js";
import { durationMs, metadataOf } from "../config-values.ts";
import { parseHeaderMatchers } from "./header-matcher.ts";
import type { RegexCache } from "./regex.ts";
import type { RateLimitedBackOff, RetryPolicy } from "./types.ts";

/** Bits of `RetryPolicy.retryOn`, as Envoy numbers them. */
export const RetryOn = {
  serverError: 0x1,
  gatewayError: 0x2,
  connectFailure: 0x4,
  retriable4xx: 0x8,
  refusedStream: 0x10,
  grpcCancelled: 0x20,
  grpcDeadlineExceeded: 0x40,
  grpcResourceExhausted: 0x80,
  grpcUnavailable: 0x100,
  grpcInternal: 0x200,
  retriableStatusCodes: 0x400,
  reset: 0x800,
  retriableHeaders: 0x1000,
  envoyRateLimited: 0x2000,
  http3PostConnectFailure: 0x4000,
  resetBeforeRequest: 0x8000,
} as const;

const httpBits: Readonly<Record<string, number>> = {
  "5xx": RetryOn.serverError,
  "gateway-error": RetryOn.gatewayError,
  "connect-failure": RetryOn.connectFailure,
  "retriable-4xx": RetryOn.retriable4xx,
  "refused-stream": RetryOn.refusedStream,
  "retriable-status-codes": RetryOn.retriableStatusCodes,
  "retriable-headers": RetryOn.retriableHeaders,
  reset: RetryOn.reset,
  "reset-before-request": RetryOn.resetBeforeRequest,
  "envoy-ratelimited": RetryOn.envoyRateLimited,
  "http3-post-connect-failure": RetryOn.http3PostConnectFailure,
};

const grpcBits: Readonly<Record<string, number>> = {
  cancelled: RetryOn.grpcCancelled,
  "deadline-exceeded": RetryOn.grpcDeadlineExceeded,
  "resource-exhausted": RetryOn.grpcResourceExhausted,
  unavailable: RetryOn.grpcUnavailable,
  internal: RetryOn.grpcInternal,
};

/** Bits of a list such as `5xx,reset`; unknown words are ignored. */
export function parseRetryOn(text: string): number {
  return bitsOf(text, httpBits);
}

/** Bits of a list of gRPC statuses such as `cancelled,unavailable`; unknown words are ignored. */
export function parseRetryGrpcOn(text: string): number {
  return bitsOf(text, grpcBits);
}

function bitsOf(text: string, bits: Readonly<Record<string, number>>): number {
  let all = 0;
  for (const word of text.split(",")) all |= bits[word.trim()] ?? 0;
  return all;
}

const defaultBaseMs = 25;

/** Reads a policy; problems are on the reader's list. */
export function parseRetryPolicy(reader: MessageReader<RetryPolicyMessage>, regexes: RegexCache): RetryPolicy {
  const retryOn = reader.get("retryOn");
  const attempts = Number(reader.get("hostSelectionRetryMaxAttempts"));
  const hosts = hostPredicates(reader);
  const priority = reader.child("retryPriority");
  const backOff = reader.child("retryBackOff");
  const rateLimited = reader.child("rateLimitedRetryBackOff");
  const base = durationMs(backOff?.get("baseInterval"));
  const max = durationMs(backOff?.get("maxInterval"));
  backOff?.finish();
  if (base !== undefined && base < 1) backOff?.invalid("baseInterval", "must be at least 1 ms");
  if (base !== undefined && max !== undefined && max < base)
    backOff?.invalid("maxInterval", "retry_policy.max_interval must greater than or equal to the base_interval");
  const baseIntervalMs = Math.max(base ?? defaultBaseMs, 1);
  const policy: RetryPolicy = {
    // One list names both kinds in a configuration; only the headers keep them apart.
    retryOn: parseRetryOn(retryOn) | parseRetryGrpcOn(retryOn),
    numRetries: reader.get("numRetries") ?? 1,
    perTryTimeoutMs: durationMs(reader.get("perTryTimeout")) ?? 0,
    perTryIdleTimeoutMs: durationMs(reader.get("perTryIdleTimeout")) ?? 0,
    retriableStatusCodes: reader.get("retriableStatusCodes"),
    retriableHeaders: parseHeaderMatchers(reader.children("retriableHeaders"), regexes),
    retriableRequestHeaders: parseHeaderMatchers(reader.children("retriableRequestHeaders"), regexes),
    baseIntervalMs,
    maxIntervalMs: max ?? baseIntervalMs * 10,
    rateLimited: rateLimited === undefined ? undefined : parseRateLimited(rateLimited),
    previousHosts: hosts.previousHosts,
    omitCanaryHosts: hosts.omitCanaryHosts,
    omitHostMetadata: hosts.omitHostMetadata,
    previousPriorities: priority === undefined ? undefined : parseRetryPriority(priority),
    hostSelectionRetryMaxAttempts: attempts === 0 ? 1 : attempts,
  };
  reader.ignore(
    "refreshClusterOnRetry",
    "only a cluster specifier plugin would choose anew; what a header names or weights say stays the same",
  );
  reader.finish();
  return policy;
}

function hostPredicates(reader: MessageReader<RetryPolicyMessage>): {
  previousHosts: boolean;
  omitCanaryHosts: boolean;
  omitHostMetadata: readonly Readonly<Record<string, unknown>>[];
} {
  let previousHosts = false;
  let omitCanaryHosts = false;
  const omitHostMetadata: Readonly<Record<string, unknown>>[] = [];
  for (const predicate of reader.children("retryHostPredicate")) {
    switch (extensionName(predicate)) {
      case "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate":
      case "envoy.retry_host_predicates.previous_hosts":
        previousHosts = true;
        break;
      case "envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate":
      case "envoy.retry_host_predicates.omit_canary_hosts":
        omitCanaryHosts = true;
        break;
      case "envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig":
      case "envoy.retry_host_predicates.omit_host_metadata":
        omitHostMetadata.push(parseOmittedMetadata(predicate));
        break;
      default:
        predicate.unsupported("name", `the retry host predicate ${predicate.get("name")} is not supported`);
    }
  }
  return { previousHosts, omitCanaryHosts, omitHostMetadata };
}

/** `metadata_match` below `envoy.lb`; empty: no host is omitted. */
function parseOmittedMetadata(
  reader: MessageReader<RetryPolicy_RetryHostPredicate>,
): Readonly<Record<string, unknown>> {
  const config = reader.get("configType");
  if (config.case !== "typedConfig") return {};
  const opened = unpackAny(config.value, reader.at("configType"));
  reader.problems.push(...opened.problems);
  if (opened.value === undefined) return {};
  const inner = new Reader(opened.value as OmitHostMetadataConfig, reader.at("configType"), reader.problems);
  const wanted = metadataOf(inner.child("metadataMatch"))["envoy.lb"];
  inner.finish();
  return wanted ?? {};
}

/** `update_frequency` of `previous_priorities`. */
function parseRetryPriority(reader: MessageReader<RetryPolicy_RetryPriority>): number | undefined {
  const name = reader.get("name");
  const config = reader.get("configType");
  reader.finish();
  const wanted = "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig";
  if (config.case !== "typedConfig" || typeNameOf(config.value.typeUrl) !== wanted) {
    reader.unsupported("name", `the retry priority ${name} is not supported`);
    return undefined;
  }
  const opened = unpackAny(config.value, reader.at("configType"));
  reader.problems.push(...opened.problems);
  if (opened.value === undefined) return undefined;
  const inner = new Reader(opened.value as PreviousPrioritiesConfig, reader.at("configType"), reader.problems);
  const frequency = inner.get("updateFrequency");
  inner.finish();
  if (frequency < 1) inner.invalid("updateFrequency", "must be greater than 0");
  return frequency;
}

function extensionName(reader: MessageReader<RetryPolicy_RetryHostPredicate>): string {
  const name = reader.get("name");
  const config = reader.get("configType");
  reader.finish();
  return config.case === "typedConfig" ? typeNameOf(config.value.typeUrl) : name;
}

const defaultRateLimitedMaxMs = 300_000;

function parseRateLimited(reader: MessageReader<RetryPolicy_RateLimitedRetryBackOff>): RateLimitedBackOff {
  const headers = reader.children("resetHeaders").map((header) => {
    const name = header.get("name").toLowerCase();
    const format = header.get("format");
    header.finish();
    return { name, format: format === 0 ? ("seconds" as const) : ("unix-timestamp" as const) };
  });
  const maxIntervalMs = durationMs(reader.get("maxInterval")) ?? defaultRateLimitedMaxMs;
  reader.finish();
  return { maxIntervalMs, resetHeaders: headers };
}
