/** `envoy.filters.http.fault`: delays and aborts requests on purpose. */
import type { Message } from "@bufbuild/protobuf";
import { MessageReader } from "#protos/reader.ts";
import type { FaultDelay } from "#protos/gen/envoy/extensions/filters/common/fault/v3/fault_pb.js";
import type { FaultAbort, HTTPFault } from "#protos/gen/envoy/extensions/filters/http/fault/v3/fault_pb.js";
import { byteString } from "#lib/xxhash64.ts";
import type { Parsed, Problem } from "#lib/problem.ts";
import type { Timer } from "#lib/runtime.ts";
import { durationMs, fractionOf, isInFraction, type Fraction } from "../../config-values.ts";
import type { Counter, Gauge, StatsScope } from "../../observability/stats.ts";
import { parseHeaderMatchers } from "../../router/header-matcher.ts";
import { RegexCache } from "../../router/regex.ts";
import type { HeaderPredicate } from "../../router/types.ts";
import { ResponseFlag } from "../../stream-info.ts";
import type { FilterFactoryContext, FilterStatus, FilterStream, HttpFilter, HttpFilterFactory } from "../filter.ts";
import type { HeaderMap } from "../header-map.ts";

export interface FaultConfig {
  readonly delay: { readonly fixedMs: number | undefined; readonly fraction: Fraction } | undefined;
  readonly abort: AbortConfig | undefined;
  readonly upstreamCluster: string;
  readonly headers: readonly HeaderPredicate[];
  readonly downstreamNodes: readonly string[];
  readonly maxActiveFaults: number;
  readonly countsByDownstreamCluster: boolean;
}

interface AbortConfig {
  /** `header`: the request says with what. */
  readonly by: "http" | "grpc" | "header";
  readonly status: number;
  readonly fraction: Fraction;
  readonly body: string | undefined;
}

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
  return config.delay !== undefined || config.abort !== undefined;
}

interface FaultStats {
  readonly delaysInjected: Counter;
  readonly abortsInjected: Counter;
  readonly faultsOverflow: Counter;
  readonly activeFaults: Gauge;
  readonly scope: StatsScope;
}

function faultStats(parent: StatsScope): FaultStats {
  const scope = parent.scope("fault");
  scope.counter("response_rl_injected");
  return {
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
    const delayMs = this.#delayMs(headers);
    if (delayMs !== undefined && this.#activate()) {
      this.#stats.delaysInjected.inc();
      this.#byDownstreamCluster(headers, "delays_injected");
      this.#stream.info.setFlag(ResponseFlag.DelayInjected);
      this.#timer = this.#context.runtime.clock.wheel.schedule(delayMs, () => {
        if (!this.#abort(headers)) this.#stream.continueDecoding();
      });
      return "stop";
    }
    return this.#abort(headers) ? "stop" : "continue";
  }

  onDestroy(): void {
    this.#timer?.cancel();
    if (this.#isActive) this.#stats.activeFaults.dec();
  }

  #concerns(headers: HeaderMap): boolean {
    const { upstreamCluster, downstreamNodes, headers: matchers } = this.#config;
    if (upstreamCluster !== "" && this.#stream.forwardRoute?.clusterName !== upstreamCluster) return false;
    if (downstreamNodes.length > 0 && !downstreamNodes.includes(headers.get("x-envoy-downstream-service-node") ?? ""))
      return false;
    return matchers.every((matches) => matches(headers));
  }

  #delayMs(headers: HeaderMap): number | undefined {
    const { delay } = this.#config;
    if (delay === undefined) return undefined;
    const delayMs = delay.fixedMs ?? integer(headers.get("x-envoy-fault-delay-request"));
    const fraction = delay.fixedMs !== undefined ? delay.fraction : capped(delay.fraction, headers, "delay");
    return delayMs !== undefined && delayMs > 0 && this.#happens(fraction) ? delayMs : undefined;
  }

  /** True: answered. */
  #abort(headers: HeaderMap): boolean {
    const { abort } = this.#config;
    if (abort === undefined) return false;
    let status: number | undefined = abort.by === "http" ? abort.status : undefined;
    let grpcStatus: number | undefined = abort.by === "grpc" ? abort.status : undefined;
    if (abort.by === "header") {
      status = httpStatus(headers.get("x-envoy-fault-abort-request"));
      if (status === undefined) grpcStatus = integer(headers.get("x-envoy-fault-abort-grpc-request"));
      if (status === undefined && grpcStatus === undefined) return false;
    }
    const fraction = abort.by === "header" ? capped(abort.fraction, headers, "abort") : abort.fraction;
    if (!this.#happens(fraction) || !this.#activate()) return false;
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

  #happens(fraction: Fraction): boolean {
    return isInFraction(fraction, BigInt(this.#context.runtime.random.uint32()));
  }

  /** One stream counts once, however many faults it gets; false: there are too many already. */
  #activate(): boolean {
    if (this.#isActive) return true;
    const { activeFaults, faultsOverflow } = this.#stats;
    if (activeFaults.value >= this.#config.maxActiveFaults) {
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
function capped(fraction: Fraction, headers: HeaderMap, kind: "delay" | "abort"): Fraction {
  const asked = integer(headers.get(`x-envoy-fault-${kind}-request-percentage`));
  return asked === undefined ? fraction : { ...fraction, numerator: Math.min(asked, fraction.numerator) };
}

function integer(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

function httpStatus(text: string | undefined): number | undefined {
  const status = integer(text);
  return status !== undefined && status >= 200 && status < 600 ? status : undefined;
}

function parseFault(message: Message, path: string): Parsed<FaultConfig> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message as HTTPFault, path, problems);
  const value: FaultConfig = {
    delay: parseDelay(reader.child("delay")),
    abort: parseAbort(reader.child("abort")),
    upstreamCluster: reader.get("upstreamCluster"),
    headers: parseHeaderMatchers(reader.children("headers"), new RegexCache()),
    downstreamNodes: reader.get("downstreamNodes"),
    maxActiveFaults: reader.get("maxActiveFaults") ?? Number.POSITIVE_INFINITY,
    countsByDownstreamCluster: !reader.get("disableDownstreamClusterStats"),
  };
  for (const key of [
    "delayPercentRuntime",
    "abortPercentRuntime",
    "delayDurationRuntime",
    "abortHttpStatusRuntime",
    "maxActiveFaultsRuntime",
    "abortGrpcStatusRuntime",
    "responseRateLimitPercentRuntime",
  ] as const)
    reader.ignore(key, "names a runtime override, of which there is none here");
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
