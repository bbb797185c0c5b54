/** `envoy.filters.http.ratelimit`: asks a rate limit service whether a request may pass. */
import type { HeaderValue } from "#protos/gen/envoy/config/core/v3/base_pb.js";
import type { RateLimitResponse } from "#protos/gen/envoy/service/ratelimit/v3/rls_pb.js";
import { byteString } from "#lib/xxhash64.ts";
import { isInFraction, isRuntimeFraction, type RuntimeFraction } from "../../../config-values.ts";
import { applicableRateLimits, type RateLimitDescriptor } from "../../../router/rate-limit-policy.ts";
import { ResponseFlag } from "../../../stream-info.ts";
import type { Cluster } from "../../../upstream/types.ts";
import type { FilterFactoryContext, FilterStatus, FilterStream, HttpFilter, HttpFilterFactory } from "../../filter.ts";
import { HeaderMap } from "../../header-map.ts";
import { parseRateLimit, parseRouteRateLimit, type RateLimitConfig, type RouteRateLimitConfig } from "./config.ts";
import { askRateLimitService, rateLimitHeaders } from "./service.ts";

const OK = 1;
const OVER_LIMIT = 2;

export const rateLimit: HttpFilterFactory<RateLimitConfig, RouteRateLimitConfig> = {
  name: "envoy.filters.http.ratelimit",
  typeUrls: ["type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit"],
  routeTypeUrls: ["type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute"],
  parse: parseRateLimit,
  parseRoute: parseRouteRateLimit,
  create: (config, context, name) => (stream) =>
    happens(config.enabled, "ratelimit.http_filter_enabled", context)
      ? new RateLimitFilter(config, stream, context, name)
      : undefined,
};

/** A fraction that is not configured is all, unless the runtime says otherwise under its well-known name. */
function happens(
  fraction: RuntimeFraction | undefined,
  key: string,
  { runtime, runtimeSnapshot }: FilterFactoryContext,
): boolean {
  if (fraction !== undefined) return isRuntimeFraction(fraction, BigInt(runtime.random.uint32()), runtimeSnapshot);
  const ofRuntime = runtimeSnapshot?.fraction(key);
  return ofRuntime === undefined || isInFraction(ofRuntime, BigInt(runtime.random.uint32()));
}

class RateLimitFilter implements HttpFilter {
  readonly #config: RateLimitConfig;
  readonly #stream: FilterStream;
  readonly #context: FilterFactoryContext;
  readonly #name: string;
  #call: { cancel(): void } | undefined = undefined;
  #isCalling = false;
  /** The service answered before the call returned. */
  #hasAnswered = false;
  #responseHeaders: readonly (readonly [string, string])[] = [];

  constructor(config: RateLimitConfig, stream: FilterStream, context: FilterFactoryContext, name: string) {
    this.#config = config;
    this.#stream = stream;
    this.#context = context;
    this.#name = name;
  }

  decodeHeaders(headers: HeaderMap): FilterStatus {
    const route = this.#stream.forwardRoute;
    const cluster = route === undefined ? undefined : this.#context.clusters.get(route.clusterName);
    if (cluster === undefined || !this.#concerns(headers)) return "continue";
    const descriptors = this.#descriptors(headers, false);
    if (descriptors.length === 0) return "continue";
    this.#isCalling = true;
    let isRefused = false;
    this.#call = this.#ask(descriptors, (response) => {
      this.#isCalling = false;
      const isSync = !this.#hasAnswered && this.#call === undefined;
      this.#hasAnswered = true;
      isRefused = !this.#settle(response, cluster, headers);
      if (!isRefused && !isSync) this.#stream.continueDecoding();
    });
    return this.#isCalling || isRefused ? "stop" : "continue";
  }

  encodeHeaders(headers: HeaderMap): FilterStatus {
    for (const [name, value] of this.#responseHeaders) headers.add(name, value);
    this.#responseHeaders = [];
    return "continue";
  }

  /** Limits that count what has been served are told of it now; the answer is of no interest. */
  onStreamComplete(): void {
    const { requestHeaders, forwardRoute } = this.#stream;
    if (forwardRoute === undefined || !this.#hasLimitsAtEnd() || !this.#concerns(requestHeaders)) return;
    const descriptors = this.#descriptors(requestHeaders, true);
    if (descriptors.length > 0) this.#ask(descriptors, () => {});
  }

  onDestroy(): void {
    if (this.#isCalling) this.#call?.cancel();
  }

  /** True: the request goes on. */
  #settle(response: RateLimitResponse | undefined, cluster: Cluster, headers: HeaderMap): boolean {
    const { runtime, runtimeSnapshot } = this.#context;
    const config = this.#config;
    const count = (name: string): void => cluster.scope.counter(`ratelimit.${config.statPrefix}${name}`).inc();
    if (response === undefined || (response.overallCode !== OK && response.overallCode !== OVER_LIMIT)) {
      count("error");
      const { failureModeDenyPercent: percent } = config;
      const denies =
        percent === undefined
          ? config.failureModeDeny
          : isRuntimeFraction(percent, BigInt(runtime.random.uint32()), runtimeSnapshot);
      if (!denies) {
        count("failure_mode_allowed");
        return true;
      }
      const flag = ResponseFlag.RateLimitServiceError;
      this.#stream.sendLocalReply({ status: config.statusOnError, details: "rate_limiter_error", flag });
      return false;
    }
    this.#keepMetadata(response);
    const added = [
      ...pairs(response.responseHeadersToAdd),
      ...(config.hasRateLimitHeaders ? rateLimitHeaders(response) : []),
    ];
    if (response.overallCode === OK) {
      count("ok");
      this.#responseHeaders = added;
      this.#passOn(response, headers);
      return true;
    }
    count("over_limit");
    cluster.stats.countResponse(config.status, true);
    if (config.hasRateLimitedHeader) added.push(["x-envoy-ratelimited", "true"]);
    if (!happens(config.enforced, "ratelimit.http_filter_enforcing", this.#context)) {
      this.#responseHeaders = added;
      this.#passOn(response, headers);
      return true;
    }
    this.#refuse(response, added, headers);
    return false;
  }

  #passOn(response: RateLimitResponse, headers: HeaderMap): void {
    for (const [name, value] of pairs(response.requestHeadersToAdd)) headers.add(name, value);
  }

  #refuse(response: RateLimitResponse, added: readonly (readonly [string, string])[], requestHeaders: HeaderMap): void {
    const { status, isResourceExhausted, responseHeaders } = this.#config;
    const headers = new HeaderMap();
    for (const [name, value] of added) headers.add(name, value);
    responseHeaders?.apply(headers, { info: this.#stream.info, requestHeaders, responseHeaders: headers });
    this.#stream.sendLocalReply({
      status,
      body: Buffer.from(response.rawBody).toString("latin1"),
      details: "request_rate_limited",
      flag: ResponseFlag.RateLimited,
      headers: headers.entries(),
      ...(isResourceExhausted ? { grpcStatus: 8 } : {}),
    });
  }

  #keepMetadata({ dynamicMetadata }: RateLimitResponse): void {
    if (dynamicMetadata === undefined || Object.keys(dynamicMetadata).length === 0) return;
    const { info } = this.#stream;
    const all = (info.dynamicMetadata ??= new Map<string, Record<string, unknown>>());
    const { metadataNamespace } = this.#config;
    all.set(metadataNamespace, { ...all.get(metadataNamespace), ...dynamicMetadata });
  }

  #concerns(headers: HeaderMap): boolean {
    const { requestType } = this.#config;
    return requestType === "both" || (headers.get("x-envoy-internal") === "true") === (requestType === "internal");
  }

  #hasLimitsAtEnd(): boolean {
    return this.#entries().some(({ appliesOnStreamDone }) => appliesOnStreamDone);
  }

  #entries(): ReturnType<typeof applicableRateLimits> {
    const { rateLimits, stage } = this.#config;
    if (rateLimits.length > 0) return rateLimits;
    const option = this.#stream.routeConfig<RouteRateLimitConfig>(this.#name)?.virtualHostOption ?? "override";
    return applicableRateLimits(this.#stream.forwardRoute?.rateLimits, option).filter((entry) => entry.stage === stage);
  }

  #descriptors(headers: HeaderMap, atEnd: boolean): readonly RateLimitDescriptor[] {
    const { info, forwardRoute: route } = this.#stream;
    const context = { headers, info, route, serviceCluster: this.#context.node.cluster };
    return this.#entries()
      .filter(({ appliesOnStreamDone, disableKey }) => appliesOnStreamDone === atEnd && this.#isOn(disableKey))
      .map((entry) => entry.describe(context))
      .filter((found) => found !== undefined);
  }

  #isOn(disableKey: string): boolean {
    return disableKey === "" || happens(undefined, `ratelimit.${disableKey}.http_filter_enabled`, this.#context);
  }

  #ask(
    descriptors: readonly RateLimitDescriptor[],
    onAnswer: (response: RateLimitResponse | undefined) => void,
  ): { cancel(): void } {
    const own = this.#stream.routeConfig<RouteRateLimitConfig>(this.#name)?.domain ?? "";
    const addend = Number(this.#stream.info.filterState?.get("envoy.ratelimit.hits_addend") ?? 0);
    const hits = Number.isInteger(addend) && addend > 0 && addend < 2 ** 32 ? addend : 0;
    return askRateLimitService(
      this.#config,
      own === "" ? this.#config.domain : own,
      descriptors,
      hits,
      this.#context,
      onAnswer,
    );
  }
}

function pairs(headers: readonly HeaderValue[]): (readonly [string, string])[] {
  return headers
    .filter(({ key }) => key !== "" && !key.startsWith(":"))
    .map(({ key, value, rawValue }) => [
      key.toLowerCase(),
      rawValue.length > 0 ? Buffer.from(rawValue).toString("latin1") : byteString(value),
    ]);
}
