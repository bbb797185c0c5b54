/** `envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit`, read once. */
import type { Message } from "@bufbuild/protobuf";
import { byteString } from "#lib/xxhash64.ts";
import type { Parsed, Problem } from "#lib/problem.ts";
import { MessageReader } from "#protos/reader.ts";
import type { LocalRateLimitDescriptor } from "#protos/gen/envoy/extensions/common/ratelimit/v3/ratelimit_pb.js";
import type { LocalRateLimit } from "#protos/gen/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.js";
import { fixedFraction, runtimeFractionOf, type RuntimeFraction } from "../../../config-values.ts";
import { parseHeaderMutations } from "../../../router/header-mutations.ts";
import {
  parseRateLimits,
  virtualHostOptions,
  type DescriptorEntry,
  type RateLimitEntry,
  type VirtualHostOption,
} from "../../../router/rate-limit-policy.ts";
import { RegexCache } from "../../../router/regex.ts";
import type { HeaderMutations } from "../../../router/types.ts";
import { keyOf } from "./limiter.ts";
import { parseTokenBucket, type TokenBucketConfig } from "../../../token-bucket.ts";

export interface LocalRateLimitConfig {
  readonly statPrefix: string;
  readonly status: number;
  /** Undefined: only descriptors limit. */
  readonly tokenBucket: TokenBucketConfig | undefined;
  readonly descriptors: readonly DescriptorBucketConfig[];
  readonly enabled: RuntimeFraction;
  readonly enforced: RuntimeFraction;
  /** For requests that would be refused, were it enforced. */
  readonly requestHeaders: HeaderMutations | undefined;
  /** For answers that refuse. */
  readonly responseHeaders: HeaderMutations | undefined;
  readonly stage: number;
  readonly isPerConnection: boolean;
  readonly hasRateLimitHeaders: boolean;
  readonly hasRetryAfter: boolean;
  readonly virtualHostOption: VirtualHostOption;
  readonly alwaysConsumesDefault: boolean;
  readonly isResourceExhausted: boolean;
  /** In the place of those of the route. */
  readonly rateLimits: readonly RateLimitEntry[];
  readonly maxDynamicDescriptors: number;
}

export interface DescriptorBucketConfig {
  readonly entries: readonly DescriptorEntry[];
  /** One of its values is left empty: any value. */
  readonly isWildcard: boolean;
  /** Counts, but does not refuse. */
  readonly isShadow: boolean;
  readonly bucket: TokenBucketConfig;
}

/** `local_cluster_rate_limit` is refused by name. */
export function parseLocalRateLimit(message: Message, path: string): Parsed<LocalRateLimitConfig> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message as LocalRateLimit, path, problems);
  const status = reader.get("status")?.code ?? 0;
  const bucket = reader.child("tokenBucket");
  const enabled = reader.child("filterEnabled");
  const enforced = reader.child("filterEnforced");
  if (reader.get("localClusterRateLimit") !== undefined)
    reader.unsupported("localClusterRateLimit", "limits are not shared among proxies here; give each its own bucket");
  const rateLimits = parseRateLimits(reader.children("rateLimits"), new RegexCache());
  if (rateLimits.some(({ appliesOnStreamDone }) => appliesOnStreamDone))
    reader.unsupported("rateLimits", "apply_on_stream_done is not for local rate limits");
  const value: LocalRateLimitConfig = {
    statPrefix: reader.get("statPrefix"),
    status: status < 400 ? 429 : status,
    tokenBucket: bucket === undefined ? undefined : parseTokenBucket(bucket),
    descriptors: parseDescriptors(reader),
    enabled: enabled === undefined ? fixedFraction(0) : runtimeFractionOf(enabled),
    enforced: enforced === undefined ? fixedFraction(0) : runtimeFractionOf(enforced),
    requestHeaders: mutations(reader, "requestHeadersToAddWhenNotEnforced"),
    responseHeaders: mutations(reader, "responseHeadersToAdd"),
    stage: reader.get("stage"),
    isPerConnection: reader.get("localRateLimitPerDownstreamConnection"),
    hasRateLimitHeaders: reader.get("enableXRatelimitHeaders") === 1,
    hasRetryAfter: reader.get("enableRetryAfterHeader"),
    virtualHostOption: virtualHostOptions[reader.get("vhRateLimits")] ?? "override",
    alwaysConsumesDefault: reader.get("alwaysConsumeDefaultTokenBucket") ?? true,
    isResourceExhausted: reader.get("rateLimitedAsResourceExhausted"),
    rateLimits,
    maxDynamicDescriptors: reader.get("maxDynamicDescriptors") ?? 20,
  };
  reader.finish();
  return problems.length > 0 ? { problems } : { value, problems };
}

/** Of a route: there the bucket is required. */
export function parseRouteLocalRateLimit(message: Message, path: string): Parsed<LocalRateLimitConfig> {
  const parsed = parseLocalRateLimit(message, path);
  if (parsed.value === undefined || parsed.value.tokenBucket !== undefined) return parsed;
  const text = "local rate limit token bucket must be set for per filter configs";
  return { problems: [{ code: "invalid-value", level: "error", path: `${path}.token_bucket`, message: text }] };
}

function mutations(
  reader: MessageReader<LocalRateLimit>,
  field: "requestHeadersToAddWhenNotEnforced" | "responseHeadersToAdd",
): HeaderMutations | undefined {
  return parseHeaderMutations({ add: reader.children(field), remove: [], removeAt: "", problems: reader.problems });
}

function parseDescriptors(reader: MessageReader<LocalRateLimit>): readonly DescriptorBucketConfig[] {
  const seen = new Set<string>();
  const descriptors: DescriptorBucketConfig[] = [];
  for (const one of reader.children("descriptors")) {
    const descriptor = parseDescriptor(one);
    if (descriptor === undefined) continue;
    const key = keyOf(descriptor);
    if (seen.has(key))
      one.invalid(
        "entries",
        `duplicate descriptor in the local rate descriptor: ${descriptor.entries.map((entry) => `${entry.key}=${entry.value}`).join(", ")}`,
      );
    seen.add(key);
    descriptors.push(descriptor);
  }
  return descriptors;
}

function parseDescriptor(reader: MessageReader<LocalRateLimitDescriptor>): DescriptorBucketConfig | undefined {
  const entries = reader.children("entries").map((entry) => {
    const pair = { key: byteString(entry.get("key")), value: byteString(entry.get("value")) };
    entry.finish();
    return pair;
  });
  const bucket = reader.child("tokenBucket");
  const isShadow = reader.get("shadowMode");
  if (bucket === undefined) reader.invalid("tokenBucket", "is required");
  reader.finish();
  if (bucket === undefined) return undefined;
  const isWildcard = entries.some(({ value }) => value === "");
  return { entries, isWildcard, isShadow, bucket: parseTokenBucket(bucket) };
}
