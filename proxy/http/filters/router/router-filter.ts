/** One request at the router: its route, its cluster, what it may cost in time, and the exchange with a host (exchange.ts). */
import { isGrpcContentType } from "../../../observability/grpc-status.ts";
import { createRetryState, hasEnvoyHeaders } from "../../../router/retry-state.ts";
import { timeoutsOf } from "../../../router/timeouts.ts";
import type { ForwardRoute, ResolvedRoute } from "../../../router/types.ts";
import { isInFraction } from "../../../config-values.ts";
import type { Cluster } from "../../../upstream/types.ts";
import type { FilterStatus, FilterStream, HttpFilter } from "../../filter.ts";
import type { HeaderMap } from "../../header-map.ts";
import { AttemptContext } from "./attempt-context.ts";
import { BodyBuffer } from "./body-buffer.ts";
import { UpstreamExchange } from "./exchange.ts";
import { followInternalRedirect } from "./internal-redirect.ts";
import { answerWithoutUpstream, strictCheckReply } from "./local-answers.ts";
import type { RouterContext } from "./router.ts";
import type { RequestStats } from "./request-stats.ts";
import type { ShadowRequest } from "./shadow-request.ts";
import { startShadows } from "./shadows.ts";
import {
  clusterNotFound,
  droppedOverload,
  maintenanceMode,
  noHealthyUpstream,
  withAttemptCount,
} from "./upstream-failure.ts";

export class RouterFilter implements HttpFilter {
  readonly #stream: FilterStream;
  readonly #context: RouterContext;
  readonly #body = new BodyBuffer();
  #exchange: UpstreamExchange | undefined = undefined;
  #shadows: ShadowRequest[] | undefined = undefined;

  constructor(stream: FilterStream, context: RouterContext) {
    this.#stream = stream;
    this.#context = context;
  }

  decodeHeaders(headers: HeaderMap, endStream: boolean): FilterStatus {
    this.#context.stats.rqTotal.inc();
    if (endStream) {
      this.#body.isComplete = true;
      this.#body.isHeadersOnly = true;
    }
    this.#forward(this.#stream.route, headers);
    return "continue";
  }

  decodeData(chunk: Buffer, endStream: boolean): FilterStatus {
    if (endStream) this.#body.isComplete = true;
    this.#exchange?.sendData(chunk, endStream);
    if (this.#shadows !== undefined) for (const shadow of this.#shadows) shadow.sendData(chunk, endStream);
    if (endStream) this.#exchange?.onRequestComplete();
    return "continue";
  }

  decodeTrailers(trailers: HeaderMap): FilterStatus {
    this.#body.isComplete = true;
    this.#body.addTrailers(trailers);
    this.#exchange?.sendTrailers(trailers);
    if (this.#shadows !== undefined) for (const shadow of this.#shadows) shadow.sendTrailers(trailers);
    this.#exchange?.onRequestComplete();
    return "continue";
  }

  onDownstreamWritable(): void {
    this.#exchange?.onDownstreamWritable();
  }

  onDestroy(): void {
    this.#exchange?.cancel();
    if (this.#shadows !== undefined && !this.#body.isComplete) for (const shadow of this.#shadows) shadow.cancel();
  }

  /** Route → cluster, or an answer that needs none. */
  #forward(route: ResolvedRoute | undefined, headers: HeaderMap): void {
    const stream = this.#stream;
    const { config, stats, factory } = this.#context;
    if (route?.kind !== "forward")
      return answerWithoutUpstream(route, stream, headers, stats, config.suppressEnvoyHeaders);
    const cluster = factory.clusters.get(route.clusterName);
    if (cluster === undefined) {
      stats.noCluster.inc();
      return stream.sendLocalReply(clusterNotFound(route.clusterNotFoundStatus));
    }
    const overrides = hasEnvoyHeaders(headers);
    if (overrides && config.strictCheckHeaders.length > 0) {
      const refusal = strictCheckReply(headers, config.strictCheckHeaders);
      if (refusal !== undefined) return stream.sendLocalReply(refusal);
    }
    if (cluster.isMaintenance) {
      cluster.stats.rqMaintenanceMode.inc();
      const isGrpc = isGrpcContentType(headers.get("content-type"));
      this.#target(route, cluster, headers, isGrpc).countResponse(cluster, 503);
      return stream.sendLocalReply(maintenanceMode(config.suppressEnvoyHeaders));
    }
    const { dropOverload } = cluster;
    if (dropOverload !== undefined && isInFraction(dropOverload, factory.runtime.random.uint64())) {
      if (config.countsResponses) cluster.stats.countResponse(503);
      return stream.sendLocalReply(droppedOverload(dropOverload, config.suppressEnvoyHeaders));
    }
    this.#begin(route, cluster, headers, overrides);
  }

  /** Timeouts, retry policy, host, final headers, copies; then the first attempt. */
  #begin(route: ForwardRoute, cluster: Cluster, headers: HeaderMap, overrides: boolean): void {
    const stream = this.#stream;
    const { config } = this.#context;
    const isGrpc = isGrpcContentType(headers.get("content-type"));
    const respectExpected = config.respectExpectedRqTimeout;
    const timeouts =
      overrides || isGrpc
        ? timeoutsOf(route, headers, { isGrpc, respectExpected, hasEnvoyHeaders: overrides })
        : route.timeouts;
    if (overrides) headers.remove("x-envoy-upstream-alt-stat-name"); // meant for this proxy alone
    const hasAlternativeTimeout = overrides && headers.remove("x-envoy-upstream-rq-timeout-alt-response");
    const target = this.#target(route, cluster, headers, isGrpc);
    target.retry = createRetryState(route.retryPolicy, headers, overrides, target);
    const exchange = new UpstreamExchange(stream, this.#context, target, this.#body, {
      timeouts,
      isGrpc,
      hasAlternativeTimeout,
      followsRedirect: (response) => this.#followsRedirect(route, cluster, response),
    });
    stream.info.attemptCount = 1;
    exchange.setTimeoutHeaders(0);
    if (route.includeAttemptCountInRequest) headers.set("x-envoy-attempt-count", "1");
    const host = cluster.chooseHost(target);
    if (host === undefined) {
      const wanted = stream.upstreamOverrideHost;
      const status = wanted?.isStrict === true ? wanted.statusWhenMissing : noHealthyUpstream.status;
      cluster.stats.cxNoneHealthy.inc();
      target.countResponse(cluster, status);
      return stream.sendLocalReply(withAttemptCount({ ...noHealthyUpstream, status }, route, 1));
    }
    route.finalizeRequest(headers, stream, config.suppressEnvoyHeaders);
    stream.tracing?.inject(headers);
    if (route.mirrors.length > 0)
      this.#shadows = startShadows(route, headers, stream, this.#context, timeouts.globalMs, this.#body.isComplete);
    this.#exchange = exchange;
    exchange.start(host);
    // An upgrade has no end to wait for: its handshake is timed from here.
    if (this.#body.isComplete || headers.method === "CONNECT" || headers.has("upgrade")) exchange.onRequestComplete();
  }

  #target(route: ForwardRoute, cluster: Cluster, headers: HeaderMap, isGrpc: boolean): AttemptContext {
    const { config, factory } = this.#context;
    const counting = !config.countsResponses
      ? "nothing"
      : isGrpc && config.hidesGrpcStatusCodes
        ? "completion"
        : "status";
    const requestStats = this.#requestStats(route, headers);
    return new AttemptContext(this.#stream, factory.runtime, route, cluster, headers, requestStats, counting);
  }

  #requestStats(route: ForwardRoute, headers: HeaderMap): readonly RequestStats[] {
    const virtualCluster = route.virtualCluster(headers);
    if (virtualCluster !== undefined && virtualCluster !== "other")
      this.#stream.info.virtualClusterName = virtualCluster;
    return this.#context.requestStats.of(route, virtualCluster);
  }

  /** Makes a stream of its own of the redirected request; undefined: the response goes downstream. */
  #followsRedirect(route: ForwardRoute, cluster: Cluster, response: HeaderMap): (() => void) | undefined {
    const policy = route.internalRedirect;
    const stream = this.#stream;
    if (policy === undefined || !policy.statusCodes.has(response.status)) return undefined;
    const isWhole = this.#body.isComplete && !this.#body.isIncomplete;
    const { stats } = this.#context;
    const redirects = isWhole
      ? followInternalRedirect(policy, route, response, stream, stats.internalRedirect)
      : undefined;
    if (redirects === undefined) {
      cluster.stats.internalRedirectFailed.inc();
      return undefined;
    }
    cluster.stats.internalRedirectSucceeded.inc();
    const body = response.status === 303 ? undefined : this.#body.joined();
    return () => stream.recreate(response.status, body, redirects);
  }
}
