/** `envoy.filters.http.local_ratelimit`: so many requests a time, counted in this proxy. */
import type { Clock } from "#lib/runtime.ts";
import { isRuntimeFraction } from "../../../config-values.ts";
import type { Counter, StatsScope } from "../../../observability/stats.ts";
import { applicableRateLimits, type RateLimitDescriptor } from "../../../router/rate-limit-policy.ts";
import { ResponseFlag } from "../../../stream-info.ts";
import type { FilterFactoryContext, FilterStatus, FilterStream, HttpFilter, HttpFilterFactory } from "../../filter.ts";
import { HeaderMap } from "../../header-map.ts";
import { parseLocalRateLimit, parseRouteLocalRateLimit, type LocalRateLimitConfig } from "./config.ts";
import { LocalLimiter } from "./limiter.ts";
import type { TokenBucket } from "../../../token-bucket.ts";

const typeUrl = "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit";

export const localRateLimit: HttpFilterFactory<LocalRateLimitConfig, LocalRateLimitConfig> = {
  name: "envoy.filters.http.local_ratelimit",
  typeUrls: [typeUrl],
  routeTypeUrls: [typeUrl],
  parse: parseLocalRateLimit,
  parseRoute: parseRouteLocalRateLimit,
  create(config, context, name) {
    const limits = new WeakMap<LocalRateLimitConfig, Limits>();
    const limitsOf = (chosen: LocalRateLimitConfig): Limits => {
      let found = limits.get(chosen);
      if (found === undefined) {
        found = new Limits(chosen, context.rootScope, context.runtime.clock);
        limits.set(chosen, found);
      }
      return found;
    };
    const own = limitsOf(config);
    return (stream) => {
      const route = stream.routeConfig<LocalRateLimitConfig>(name);
      const chosen = route ?? config;
      const random = BigInt(context.runtime.random.uint32());
      if (!isRuntimeFraction(chosen.enabled, random, context.runtimeSnapshot)) return undefined;
      return new LocalRateLimitFilter(route === undefined ? own : limitsOf(route), stream, context);
    };
  },
};

/** What the streams of one configuration share. */
class Limits {
  readonly config: LocalRateLimitConfig;
  readonly stats: Readonly<Record<"enabled" | "enforced" | "ok" | "rateLimited" | "shadowMode", Counter>>;
  readonly #clock: Clock;
  readonly #shared: LocalLimiter;
  readonly #perConnection = new WeakMap<object, LocalLimiter>();

  constructor(config: LocalRateLimitConfig, root: StatsScope, clock: Clock) {
    const scope = root.scope(config.statPrefix).scope("http_local_rate_limit");
    this.config = config;
    this.stats = {
      enabled: scope.counter("enabled"),
      enforced: scope.counter("enforced"),
      ok: scope.counter("ok"),
      rateLimited: scope.counter("rate_limited"),
      shadowMode: scope.counter("shadow_mode"),
    };
    this.#clock = clock;
    this.#shared = new LocalLimiter(config, clock.monotonic());
  }

  limiterFor({ info }: FilterStream): LocalLimiter {
    const { connection } = info;
    if (!this.config.isPerConnection || connection === undefined) return this.#shared;
    let limiter = this.#perConnection.get(connection);
    if (limiter === undefined) {
      limiter = new LocalLimiter(this.config, this.#clock.monotonic());
      this.#perConnection.set(connection, limiter);
    }
    return limiter;
  }
}

class LocalRateLimitFilter implements HttpFilter {
  readonly #limits: Limits;
  readonly #stream: FilterStream;
  readonly #context: FilterFactoryContext;
  #bucket: TokenBucket | undefined = undefined;

  constructor(limits: Limits, stream: FilterStream, context: FilterFactoryContext) {
    this.#limits = limits;
    this.#stream = stream;
    this.#context = context;
  }

  decodeHeaders(headers: HeaderMap): FilterStatus {
    const { config, stats } = this.#limits;
    const { runtime, runtimeSnapshot } = this.#context;
    const { info } = this.#stream;
    stats.enabled.inc();
    const verdict = this.#limits.limiterFor(this.#stream).ask(this.#descriptors(headers), runtime.clock.monotonic());
    this.#bucket = verdict.bucket;
    if (verdict.isShadowLimited) stats.shadowMode.inc();
    if (verdict.isAllowed) {
      (verdict.isShadowLimited ? stats.rateLimited : stats.ok).inc();
      return "continue";
    }
    stats.rateLimited.inc();
    if (!isRuntimeFraction(config.enforced, BigInt(runtime.random.uint32()), runtimeSnapshot)) {
      config.requestHeaders?.apply(headers, { info, requestHeaders: headers });
      return "continue";
    }
    stats.enforced.inc();
    this.#stream.sendLocalReply({
      status: config.status,
      body: "local_rate_limited",
      details: "local_rate_limited",
      flag: ResponseFlag.RateLimited,
      headers: this.#answerHeaders(headers),
      ...(config.isResourceExhausted ? { grpcStatus: 8 } : {}),
    });
    return "stop";
  }

  encodeHeaders(headers: HeaderMap): FilterStatus {
    const bucket = this.#bucket;
    if (bucket === undefined || !this.#limits.config.hasRateLimitHeaders) return "continue";
    const nowMs = this.#context.runtime.clock.monotonic();
    headers.set("x-ratelimit-limit", String(bucket.maxTokens));
    headers.set("x-ratelimit-remaining", String(bucket.remaining(nowMs)));
    headers.set("x-ratelimit-reset", String(bucket.resetSeconds(nowMs)));
    return "continue";
  }

  #descriptors(headers: HeaderMap): readonly RateLimitDescriptor[] {
    const { config } = this.#limits;
    if (config.descriptors.length === 0) return [];
    const { info, forwardRoute: route } = this.#stream;
    const entries =
      config.rateLimits.length > 0
        ? config.rateLimits
        : applicableRateLimits(route?.rateLimits, config.virtualHostOption).filter(
            ({ stage }) => stage === config.stage,
          );
    const context = { headers, info, route, serviceCluster: this.#context.node.cluster };
    return entries.map((entry) => entry.describe(context)).filter((found) => found !== undefined);
  }

  #answerHeaders(requestHeaders: HeaderMap): readonly (readonly [string, string])[] {
    const { config } = this.#limits;
    const headers = new HeaderMap();
    config.responseHeaders?.apply(headers, { info: this.#stream.info, requestHeaders, responseHeaders: headers });
    if (config.hasRetryAfter && this.#bucket !== undefined)
      headers.add("retry-after", String(this.#bucket.resetSeconds(this.#context.runtime.clock.monotonic())));
    return headers.entries();
  }
}
