/** `envoy.extensions.filters.http.ratelimit.v3.RateLimit` and its per-route configuration, read once. */
import type { Message } from "@bufbuild/protobuf";
import type { Parsed, Problem } from "#lib/problem.ts";
import { MessageReader } from "#protos/reader.ts";
import type {
  RateLimit,
  RateLimitPerRoute,
} from "#protos/gen/envoy/extensions/filters/http/ratelimit/v3/rate_limit_pb.js";
import { durationMs, runtimeFractionOf, type RuntimeFraction } from "../../../config-values.ts";
import { parseGrpcService, type CollectorTarget } from "../../../observability/collector-target.ts";
import { parseHeaderMutations } from "../../../router/header-mutations.ts";
import {
  parseRateLimits,
  virtualHostOptions,
  type RateLimitEntry,
  type VirtualHostOption,
} from "../../../router/rate-limit-policy.ts";
import { RegexCache } from "../../../router/regex.ts";
import type { HeaderMutations } from "../../../router/types.ts";

export interface RateLimitConfig {
  readonly domain: string;
  readonly stage: number;
  readonly requestType: "both" | "internal" | "external";
  readonly service: CollectorTarget;
  readonly failureModeDeny: boolean;
  /** In the place of `failureModeDeny`. */
  readonly failureModeDenyPercent: RuntimeFraction | undefined;
  readonly isResourceExhausted: boolean;
  readonly hasRateLimitHeaders: boolean;
  readonly hasRateLimitedHeader: boolean;
  readonly status: number;
  readonly statusOnError: number;
  readonly responseHeaders: HeaderMutations | undefined;
  /** Between `ratelimit.` and the name of a statistic, with its dot. */
  readonly statPrefix: string;
  readonly enabled: RuntimeFraction | undefined;
  readonly enforced: RuntimeFraction | undefined;
  readonly rateLimits: readonly RateLimitEntry[];
  readonly metadataNamespace: string;
}

export interface RouteRateLimitConfig {
  readonly virtualHostOption: VirtualHostOption;
  readonly domain: string;
}

const METHOD = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";
const DEFAULT_TIMEOUT_MS = 20;

export function parseRateLimit(message: Message, path: string): Parsed<RateLimitConfig> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message as RateLimit, path, problems);
  const service = reader.child("rateLimitService");
  const grpc = service?.child("grpcService");
  const target = grpc === undefined ? undefined : parseGrpcService(grpc, METHOD);
  service?.ignore("transportApiVersion", "v3 is the only one there is");
  service?.finish();
  if (target === undefined && problems.length === 0) reader.invalid("rateLimitService", "grpc_service is required");
  const requestType = reader.get("requestType");
  const enabled = reader.child("filterEnabled");
  const enforced = reader.child("filterEnforced");
  const denyPercent = reader.child("failureModeDenyPercent");
  const status = reader.get("rateLimitedStatus")?.code ?? 0;
  const statusOnError = reader.get("statusOnError")?.code ?? 0;
  const statPrefix = reader.get("statPrefix");
  if (reader.get("enableRetryAfterHeader"))
    reader.unsupported(
      "enableRetryAfterHeader",
      "retry-after is not made from a service's answer here; let it send one",
    );
  const timeoutMs = durationMs(reader.get("timeout")) ?? DEFAULT_TIMEOUT_MS;
  const value = {
    domain: reader.get("domain"),
    stage: reader.get("stage"),
    requestType: requestType === "internal" || requestType === "external" ? requestType : "both",
    failureModeDeny: reader.get("failureModeDeny"),
    failureModeDenyPercent: denyPercent === undefined ? undefined : runtimeFractionOf(denyPercent),
    isResourceExhausted: reader.get("rateLimitedAsResourceExhausted"),
    hasRateLimitHeaders: reader.get("enableXRatelimitHeaders") === 1,
    hasRateLimitedHeader: !reader.get("disableXEnvoyRatelimitedHeader"),
    status: status < 400 ? 429 : status,
    statusOnError: statusOnError < 400 ? 500 : statusOnError,
    responseHeaders: parseHeaderMutations({
      add: reader.children("responseHeadersToAdd"),
      remove: [],
      removeAt: "",
      problems,
    }),
    statPrefix: statPrefix === "" ? "" : `${statPrefix}.`,
    enabled: enabled === undefined ? undefined : runtimeFractionOf(enabled),
    enforced: enforced === undefined ? undefined : runtimeFractionOf(enforced),
    rateLimits: parseRateLimits(reader.children("rateLimits"), new RegexCache()),
    metadataNamespace: reader.get("metadataNamespace") || "envoy.filters.http.ratelimit",
  } as const;
  reader.finish();
  if (problems.length > 0 || target === undefined) return { problems };
  return { value: { ...value, service: { ...target, timeoutMs } }, problems };
}

const overrideOptions = [undefined, "override", "include", "ignore"] as const;

/** `rate_limits` is refused by name: Envoy reads it no more either. */
export function parseRouteRateLimit(message: Message, path: string): Parsed<RouteRateLimitConfig> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message as RateLimitPerRoute, path, problems);
  const old = virtualHostOptions[reader.get("vhRateLimits")] ?? "override";
  const value = {
    virtualHostOption: overrideOptions[reader.get("overrideOption")] ?? old,
    domain: reader.get("domain"),
  };
  if (reader.get("rateLimits").length > 0)
    reader.unsupported("rateLimits", "put rate_limits into the route or its virtual host");
  reader.finish();
  return problems.length > 0 ? { problems } : { value, problems };
}
