/** `envoy.filters.http.health_check`: answers health checks of the proxy, or watches those that pass to the application. */
import type { Message } from "@bufbuild/protobuf";
import type { Parsed, Problem } from "#lib/problem.ts";
import { MessageReader } from "#protos/reader.ts";
import type { HealthCheck } from "#protos/gen/envoy/extensions/filters/http/health_check/v3/health_check_pb.js";
import { durationMs } from "../../config-values.ts";
import { parseHeaderMatchers } from "../../router/header-matcher.ts";
import { RegexCache } from "../../router/regex.ts";
import type { HeaderPredicate } from "../../router/types.ts";
import { ResponseFlag } from "../../stream-info.ts";
import type {
  BodyStatus,
  FilterFactoryContext,
  FilterStatus,
  FilterStream,
  HeadersStatus,
  HttpFilter,
  HttpFilterFactory,
} from "../filter.ts";
import type { HeaderMap } from "../header-map.ts";

interface HealthCheckConfig {
  readonly passesThrough: boolean;
  /** How long an answer that passed is given again. */
  readonly cacheMs: number | undefined;
  /** Percent of a cluster's hosts that must be healthy. */
  readonly minHealthy: readonly (readonly [cluster: string, percent: number])[];
  readonly headers: readonly HeaderPredicate[];
}

export const healthCheck: HttpFilterFactory<HealthCheckConfig> = {
  name: "envoy.filters.http.health_check",
  typeUrls: ["type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck"],
  parse: parseHealthCheck,
  create(config, context) {
    const cache = config.cacheMs === undefined ? undefined : new Cache(config.cacheMs, context);
    return (stream) => new HealthCheckFilter(config, stream, context, cache);
  },
};

/** The last answer of the application; forgotten every `cache_time`. */
class Cache {
  status = 200;
  isDegraded = false;
  #filledIn = -1;
  readonly #cacheMs: number;
  readonly #context: FilterFactoryContext;

  constructor(cacheMs: number, context: FilterFactoryContext) {
    this.#cacheMs = cacheMs;
    this.#context = context;
  }

  get isFilled(): boolean {
    return this.#filledIn === this.#period();
  }

  fill(status: number, isDegraded: boolean): void {
    this.status = status;
    this.isDegraded = isDegraded;
    this.#filledIn = this.#period();
  }

  #period(): number {
    return Math.floor(this.#context.runtime.clock.monotonic() / this.#cacheMs);
  }
}

interface Verdict {
  readonly status: number;
  readonly details: string;
  readonly isDegraded?: boolean;
  readonly isFailed?: boolean;
}

class HealthCheckFilter implements HttpFilter {
  #isHealthCheck = false;
  #isHandled = false;
  readonly #config: HealthCheckConfig;
  readonly #stream: FilterStream;
  readonly #context: FilterFactoryContext;
  readonly #cache: Cache | undefined;

  constructor(
    config: HealthCheckConfig,
    stream: FilterStream,
    context: FilterFactoryContext,
    cache: Cache | undefined,
  ) {
    this.#config = config;
    this.#stream = stream;
    this.#context = context;
    this.#cache = cache;
  }

  decodeHeaders(headers: HeaderMap, endStream: boolean): HeadersStatus {
    const { passesThrough, headers: matchers } = this.#config;
    if (!matchers.every((matches) => matches(headers))) return "continue";
    this.#isHealthCheck = true;
    this.#stream.info.isHealthCheck = true;
    this.#isHandled = !passesThrough || this.#isProxyFailed || this.#cache?.isFilled === true;
    if (!this.#isHandled) return "continue";
    if (!endStream) return "hold";
    this.#answer();
    return "stop";
  }

  encodeHeaders(headers: HeaderMap): FilterStatus {
    if (this.#isHealthCheck) {
      this.#cache?.fill(headers.status, headers.has("x-envoy-degraded"));
      headers.set("x-envoy-upstream-healthchecked-cluster", this.#context.node.cluster);
    } else if (this.#isProxyFailed) headers.set("x-envoy-immediate-health-check-fail", "true");
    return "continue";
  }

  get #isProxyFailed(): boolean {
    return this.#context.isHealthCheckFailed?.() ?? false;
  }

  #answer(): void {
    const { status, details, isDegraded = false, isFailed = false } = this.#verdict();
    this.#stream.sendLocalReply({
      status,
      details,
      ...(isFailed ? { flag: ResponseFlag.FailedLocalHealthCheck } : {}),
      headers: isDegraded ? [["x-envoy-degraded", ""]] : undefined,
    });
  }

  #verdict(): Verdict {
    if (this.#isProxyFailed) return { status: 503, details: "health_check_failed", isFailed: true };
    const cache = this.#cache;
    if (cache !== undefined)
      return {
        status: cache.status,
        details: "health_check_cached",
        isDegraded: cache.isDegraded,
        isFailed: cache.status < 200 || cache.status > 299,
      };
    for (const [name, percent] of this.#config.minHealthy) {
      const cluster = this.#context.clusters.get(name);
      if (cluster === undefined)
        return { status: 503, details: "health_check_failed_no_cluster_found", isFailed: true };
      const count = (gauge: string): number => cluster.scope.gauge(gauge).value;
      const total = count("membership_total");
      if (total === 0 && percent > 0)
        return { status: 503, details: "health_check_failed_cluster_empty", isFailed: true };
      if ((count("membership_healthy") + count("membership_degraded")) * 100 < percent * total)
        return { status: 503, details: "health_check_failed_cluster_unhealthy", isFailed: true };
    }
    const isByCluster = this.#config.minHealthy.length > 0;
    return { status: 200, details: isByCluster ? "health_check_ok_cluster_healthy" : "health_check_ok" };
  }

  decodeData(_chunk: Buffer, endStream: boolean): BodyStatus {
    if (!this.#isHandled) return "continue";
    if (endStream) this.#answer();
    return "consume";
  }

  decodeTrailers(): BodyStatus {
    if (!this.#isHandled) return "continue";
    this.#answer();
    return "consume";
  }
}

function parseHealthCheck(message: Message, path: string): Parsed<HealthCheckConfig> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message as HealthCheck, path, problems);
  const cacheMs = durationMs(reader.get("cacheTime"));
  const value: HealthCheckConfig = {
    passesThrough: reader.get("passThroughMode") ?? false,
    cacheMs: cacheMs === 0 ? undefined : cacheMs,
    minHealthy: Object.entries(reader.get("clusterMinHealthyPercentages")).map(([name, percent]) => [
      name,
      percent.value,
    ]),
    headers: parseHeaderMatchers(reader.children("headers"), new RegexCache()),
  };
  reader.finish();
  if (!value.passesThrough && value.cacheMs !== undefined)
    reader.invalid("cacheTime", "cache_time_ms must not be set when path_through_mode is disabled");
  return problems.length > 0 ? { problems } : { value, problems };
}
