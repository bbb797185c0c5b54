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
import { followsInternalRedirect } from "./internal-redirect.ts";
import { answerWithoutUpstream, strictCheckReply } from "./local-answers.ts";
import type { RouterContext } from "./router.ts";
import type { ShadowRequest } from "./shadow-request.ts";
import { startShadows } from "./shadows.ts";
import { clusterNotFound, droppedOverload, maintenanceMode, noHealthyUpstream } from "./upstream-failure.ts";

export class RouterFilter implements HttpFilter {
  readonly #stream: FilterStream;
  readonly #context: RouterContext;
  readonly #body = new BodyBuffer();
  #exchange: UpstreamExchange | undefined = undefined;
  #shadows: ShadowRequest[] | undefined = undefined;
  #redirects = 0;

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
    if (route?.kind !== "forward") return answerWithoutUpstream(route, stream, headers, stats);
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
    stream.info.cluster = cluster;
    if (cluster.isMaintenance) {
      cluster.stats.rqMaintenanceMode.inc();
      cluster.stats.countResponse(503);
      return stream.sendLocalReply(maintenanceMode(config.suppressEnvoyHeaders));
    }
    const { dropOverload } = cluster;
    if (dropOverload !== undefined && isInFraction(dropOverload, factory.runtime.random.uint64())) {
      cluster.stats.countResponse(503);
      return stream.sendLocalReply(droppedOverload(dropOverload, config.suppressEnvoyHeaders));
    }
    this.#begin(route, cluster, headers, overrides);
  }

  /** Timeouts, retry policy, host, final headers, copies; then the first attempt. */
  #begin(route: ForwardRoute, cluster: Cluster, headers: HeaderMap, overrides: boolean): void {
    const stream = this.#stream;
    const { config, factory } = this.#context;
    const isGrpc = isGrpcContentType(headers.get("content-type"));
    const respectExpected = config.respectExpectedRqTimeout;
    const timeouts =
      overrides || isGrpc
        ? timeoutsOf(route, headers, { isGrpc, respectExpected, hasEnvoyHeaders: overrides })
        : route.timeouts;
    const hasAlternativeTimeout = overrides && headers.remove("x-envoy-upstream-rq-timeout-alt-response");
    const target = new AttemptContext(stream, factory.runtime, route, cluster, headers);
    target.retry = createRetryState(route.retryPolicy, headers, overrides, target);
    const exchange = new UpstreamExchange(stream, this.#context, target, this.#body, {
      timeouts,
      isGrpc,
      hasAlternativeTimeout,
      virtualCluster: this.#virtualCluster(route, headers),
      followsRedirect: (response) => this.#followsRedirect(route, response),
    });
    stream.info.attemptCount = 1;
    if (route.includeAttemptCountInRequest) headers.set("x-envoy-attempt-count", "1");
    exchange.setTimeoutHeaders(0);
    const host = cluster.chooseHost(target);
    if (host === undefined) {
      cluster.stats.cxNoneHealthy.inc();
      cluster.stats.countResponse(503);
      return stream.sendLocalReply(noHealthyUpstream);
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

  #virtualCluster(route: ForwardRoute, headers: HeaderMap) {
    const name = route.virtualCluster(headers);
    return name === undefined ? undefined : this.#context.virtualClusters.of(route.virtualHostName, name);
  }

  /** The request's headers now ask for another place: a new route, a new exchange, the same stream. */
  #followsRedirect(route: ForwardRoute, response: HeaderMap): boolean {
    const policy = route.internalRedirect;
    const stream = this.#stream;
    if (policy === undefined) return false;
    if (!followsInternalRedirect(policy, response, stream, this.#redirects, this.#context.stats)) return false;
    this.#redirects++;
    if (response.status === 303) this.#body.discard();
    stream.info.responseCodeDetails = "internal_redirect";
    stream.clearRouteCache();
    this.#forward(stream.route, stream.requestHeaders);
    return true;
  }
}
