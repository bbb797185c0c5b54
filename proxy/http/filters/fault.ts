/** `envoy.filters.http.fault`: delays and aborts requests on purpose, and lets responses through slowly. */
import type { Timer } from "#lib/runtime.ts";
import { isInFraction, type Fraction } from "../../config-values.ts";
import type { Counter, Gauge, StatsScope } from "../../observability/stats.ts";
import { ResponseFlag } from "../../stream-info.ts";
import type {
  FilterFactoryContext,
  BodyStatus,
  FilterStatus,
  FilterStream,
  HttpFilter,
  HttpFilterFactory,
} from "../filter.ts";
import type { HeaderMap } from "../header-map.ts";
import { parseFault, type FaultConfig } from "./fault-config.ts";
import { StreamRateLimiter } from "./stream-rate-limiter.ts";

export const fault: HttpFilterFactory<FaultConfig, FaultConfig> = {
  name: "envoy.filters.http.fault",
  typeUrls: ["type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"],
  routeTypeUrls: ["type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"],
  parse: parseFault,
  parseRoute: parseFault,
  create(config, context, name) {
    const stats = faultStats(context.scope);
    const own = doesSomething(config) ? config : undefined;
    return (stream) => {
      const inForce = stream.routeConfig<FaultConfig>(name) ?? own;
      return inForce === undefined || !doesSomething(inForce)
        ? undefined
        : new FaultFilter(inForce, stream, stats, context);
    };
  },
};

function doesSomething(config: FaultConfig): boolean {
  return config.delay !== undefined || config.abort !== undefined || config.responseRateLimit !== undefined;
}

interface FaultStats {
  readonly delaysInjected: Counter;
  readonly abortsInjected: Counter;
  readonly responsesLimited: Counter;
  readonly faultsOverflow: Counter;
  readonly activeFaults: Gauge;
  readonly scope: StatsScope;
}

function faultStats(parent: StatsScope): FaultStats {
  const scope = parent.scope("fault");
  return {
    responsesLimited: scope.counter("response_rl_injected"),
    delaysInjected: scope.counter("delays_injected"),
    abortsInjected: scope.counter("aborts_injected"),
    faultsOverflow: scope.counter("faults_overflow"),
    activeFaults: scope.gauge("active_faults"),
    scope,
  };
}

class FaultFilter implements HttpFilter {
  #timer: Timer | undefined = undefined;
  #isActive = false;
  #limiter: StreamRateLimiter | undefined = undefined;
  /** Keys of the client's cluster come in the place of the general ones: `fault.http.<cluster>.…`. */
  #clusterKeys: string | undefined = undefined;
  readonly #config: FaultConfig;
  readonly #stream: FilterStream;
  readonly #stats: FaultStats;
  readonly #context: FilterFactoryContext;

  constructor(config: FaultConfig, stream: FilterStream, stats: FaultStats, context: FilterFactoryContext) {
    this.#config = config;
    this.#stream = stream;
    this.#stats = stats;
    this.#context = context;
  }

  decodeHeaders(headers: HeaderMap): FilterStatus {
    if (!this.#concerns(headers)) return "continue";
    const cluster = headers.get("x-envoy-downstream-service-cluster");
    if (cluster !== undefined) this.#clusterKeys = `fault.http.${cluster}`;
    this.#limitResponse(headers);
    const delayMs = this.#delayMs(headers);
    if (delayMs !== undefined && this.#activate()) {
      this.#stats.delaysInjected.inc();
      this.#byDownstreamCluster(headers, "delays_injected");
      this.#stream.info.setFlag(ResponseFlag.DelayInjected);
      this.#timer = this.#context.runtime.clock.wheel.schedule(delayMs, () => this.#afterDelay(headers));
      return "stop";
    }
    return this.#abort(headers) ? "stop" : "continue";
  }

  encodeData(chunk: Buffer, endStream: boolean): BodyStatus {
    if (this.#limiter === undefined) return "continue";
    this.#limiter.write(chunk, endStream);
    return "consume";
  }

  encodeTrailers(trailers: HeaderMap): BodyStatus {
    if (this.#limiter === undefined) return "continue";
    this.#limiter.writeTrailers(trailers);
    return "consume";
  }

  onDestroy(): void {
    this.#timer?.cancel();
    this.#limiter?.destroy();
    if (this.#isActive) this.#stats.activeFaults.dec();
  }

  #afterDelay(headers: HeaderMap): void {
    if (this.#abort(headers)) return;
    if (this.#config.responseRateLimit === undefined && this.#isActive) {
      this.#stats.activeFaults.dec();
      this.#isActive = false;
    }
    this.#stream.continueDecoding();
  }

  #concerns(headers: HeaderMap): boolean {
    const { upstreamCluster, downstreamNodes, headers: matchers } = this.#config;
    if (upstreamCluster !== "" && this.#stream.forwardRoute?.clusterName !== upstreamCluster) return false;
    if (downstreamNodes.length > 0 && !downstreamNodes.includes(headers.get("x-envoy-downstream-service-node") ?? ""))
      return false;
    return matchers.every((matches) => matches(headers));
  }

  #limitResponse(headers: HeaderMap): void {
    const { responseRateLimit, runtimeKeys } = this.#config;
    if (responseRateLimit === undefined) return;
    const { kibPerSecond } = responseRateLimit;
    const fraction =
      kibPerSecond === undefined
        ? capped(responseRateLimit.fraction, headers, "x-envoy-fault-throughput-response-percentage")
        : responseRateLimit.fraction;
    if (!this.#happens(fraction, runtimeKeys.responseRateLimitPercent)) return;
    const limit = kibPerSecond ?? integer(headers.get("x-envoy-fault-throughput-response"));
    if (limit === undefined || limit === 0 || !this.#activate()) return;
    this.#stats.responsesLimited.inc();
    this.#limiter = new StreamRateLimiter(limit, this.#context.runtime, this.#stream, this);
  }

  #delayMs(headers: HeaderMap): number | undefined {
    const { delay, runtimeKeys } = this.#config;
    if (delay === undefined) return undefined;
    const delayMs = delay.fixedMs ?? integer(headers.get("x-envoy-fault-delay-request"));
    const fraction =
      delay.fixedMs === undefined
        ? capped(delay.fraction, headers, "x-envoy-fault-delay-request-percentage")
        : delay.fraction;
    if (!this.#happens(fraction, this.#key("delay.fixed_delay_percent", runtimeKeys.delayPercent))) return undefined;
    if (delayMs === undefined) return undefined;
    const general = this.#runtimeInteger(runtimeKeys.delayDuration, delayMs);
    const wanted = this.#runtimeInteger(this.#key("delay.fixed_duration_ms", ""), general);
    return wanted > 0 ? wanted : undefined;
  }

  /** True: answered. */
  #abort(headers: HeaderMap): boolean {
    const { abort, runtimeKeys } = this.#config;
    if (abort === undefined) return false;
    const fraction =
      abort.by === "header"
        ? capped(abort.fraction, headers, "x-envoy-fault-abort-request-percentage")
        : abort.fraction;
    if (!this.#happens(fraction, this.#key("abort.abort_percent", runtimeKeys.abortPercent))) return false;
    let status: number | undefined = abort.by === "http" ? abort.status : undefined;
    let grpcStatus: number | undefined = abort.by === "grpc" ? abort.status : undefined;
    if (abort.by === "header") {
      status = httpStatus(headers.get("x-envoy-fault-abort-request"));
      if (status === undefined) grpcStatus = integer(headers.get("x-envoy-fault-abort-grpc-request"));
      if (status === undefined && grpcStatus === undefined) return false;
    }
    if (status !== undefined)
      status = this.#runtimeInteger(this.#key("abort.http_status", runtimeKeys.abortHttpStatus), status);
    if (grpcStatus !== undefined)
      grpcStatus = this.#runtimeInteger(this.#key("abort.grpc_status", runtimeKeys.abortGrpcStatus), grpcStatus);
    if (!this.#activate()) return false;
    this.#stats.abortsInjected.inc();
    this.#byDownstreamCluster(headers, "aborts_injected");
    this.#stream.sendLocalReply({
      status: status ?? 200,
      body: abort.body ?? "fault filter abort",
      details: "fault_filter_abort",
      flag: ResponseFlag.FaultInjected,
      ...(grpcStatus === undefined ? {} : { grpcStatus }),
    });
    return true;
  }

  /** The key of the client's cluster, where it says which that is. */
  #key(ofCluster: string, general: string): string {
    return this.#clusterKeys === undefined ? general : `${this.#clusterKeys}.${ofCluster}`;
  }

  #runtimeInteger(key: string, fallback: number): number {
    return this.#context.runtimeSnapshot?.integer(key) ?? fallback;
  }

  #happens(fraction: Fraction, key: string): boolean {
    const inForce = this.#context.runtimeSnapshot?.fraction(key) ?? fraction;
    return isInFraction(inForce, BigInt(this.#context.runtime.random.uint32()));
  }

  /** One stream counts once, however many faults it gets; false: there are too many already. */
  #activate(): boolean {
    if (this.#isActive) return true;
    const { activeFaults, faultsOverflow } = this.#stats;
    const { maxActiveFaults, runtimeKeys } = this.#config;
    if (activeFaults.value >= this.#runtimeInteger(runtimeKeys.maxActiveFaults, maxActiveFaults)) {
      faultsOverflow.inc();
      return false;
    }
    activeFaults.inc();
    this.#isActive = true;
    return true;
  }

  #byDownstreamCluster(headers: HeaderMap, counter: string): void {
    const cluster = this.#config.countsByDownstreamCluster
      ? headers.get("x-envoy-downstream-service-cluster")
      : undefined;
    if (cluster !== undefined && cluster !== "") this.#stats.scope.counter(`${cluster}.${counter}`).inc();
  }
}

/** A percentage in a header may lower the configured one, in its denominator. */
function capped(fraction: Fraction, headers: HeaderMap, header: string): Fraction {
  const asked = integer(headers.get(header));
  return asked === undefined ? fraction : { ...fraction, numerator: Math.min(asked, fraction.numerator) };
}

function integer(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

function httpStatus(text: string | undefined): number | undefined {
  const status = integer(text);
  return status !== undefined && status >= 200 && status < 600 ? status : undefined;
}
