/**
 * One request on its way upstream: route → cluster → host → attempt, again where the retry policy says so, and the answer
 * back. Read `decodeHeaders` first, then `#startAttempt`, then the `onUpstream…` methods in the order of a response.
 */
import type { Runtime, Timer } from "#lib/runtime.ts";
import { isGrpcContentType } from "../../../observability/grpc-status.ts";
import { createRetryState, hasEnvoyHeaders, type RetryContext, type RetryState } from "../../../router/retry-state.ts";
import { rewriteHost } from "../../../router/rewrite.ts";
import { setTimeoutHeaders, timeoutsOf, type Timeouts } from "../../../router/timeouts.ts";
import type { ForwardRoute, ResolvedRoute } from "../../../router/types.ts";
import { ResponseFlag } from "../../../stream-info.ts";
import type { Cluster, ClusterTrafficStats, Host, LbContext, PoolOptions, Resource } from "../../../upstream/types.ts";
import type { ResetReason } from "../../codec.ts";
import type { FilterStatus, FilterStream, HttpFilter, LocalReply } from "../../filter.ts";
import type { HeaderMap } from "../../header-map.ts";
import { BodyBuffer } from "./body-buffer.ts";
import { answerWithoutUpstream, strictCheckReply } from "./local-answers.ts";
import { followsInternalRedirect } from "./internal-redirect.ts";
import type { RouterContext } from "./router.ts";
import type { ShadowRequest } from "./shadow-request.ts";
import { startShadows } from "./shadows.ts";
import {
  flagOfReset,
  maintenanceMode,
  maxStreamDurationReply,
  noHealthyUpstream,
  resetDetails,
  resetReply,
  timeoutReply,
} from "./upstream-failure.ts";
import { UpstreamRequest } from "./upstream-request.ts";
import type { VirtualClusterStats } from "./virtual-cluster-stats.ts";

export class RouterFilter implements HttpFilter, LbContext, RetryContext {
  readonly stream: FilterStream;
  readonly runtime: Runtime;
  readonly body: BodyBuffer = new BodyBuffer();
  #route: ForwardRoute | undefined = undefined;
  #cluster: Cluster | undefined = undefined;
  #headers: HeaderMap | undefined = undefined;
  #timeouts: Timeouts = noTimeouts;
  #retry: RetryState | undefined = undefined;
  #attempt: UpstreamRequest | undefined = undefined;
  /** With hedging: slow attempts that may still answer. */
  #hedged: UpstreamRequest[] | undefined = undefined;
  #shadows: ShadowRequest[] | undefined = undefined;
  #attempts = 0;
  #isResponseStarted = false;
  #isGrpc = false;
  #hasAlternativeTimeout = false;
  #isReadDisabled = false;
  #redirects = 0;
  #virtualCluster: VirtualClusterStats | undefined = undefined;
  #hash: bigint | undefined = undefined;
  #isHashed = false;
  #cookies: string[] | undefined = undefined;
  #globalTimer: Timer | undefined = undefined;
  #durationTimer: Timer | undefined = undefined;
  #backOffTimer: Timer | undefined = undefined;
  readonly #context: RouterContext;

  constructor(stream: FilterStream, context: RouterContext) {
    this.stream = stream;
    this.runtime = context.factory.runtime;
    this.#context = context;
  }

  // The request, from downstream.

  decodeHeaders(headers: HeaderMap, endStream: boolean): FilterStatus {
    this.#context.stats.rqTotal.inc();
    this.#headers = headers;
    if (endStream) {
      this.body.isComplete = true;
      this.body.isHeadersOnly = true;
    }
    this.#forward(this.stream.route, headers);
    return "continue";
  }

  decodeData(chunk: Buffer, endStream: boolean): FilterStatus {
    const attempt = this.#attempt;
    if (endStream) this.body.isComplete = true;
    if (this.#mayRetry || attempt?.encoder === undefined) this.#keep(chunk);
    attempt?.sendData(chunk, endStream);
    if (this.#hedged !== undefined) for (const slow of this.#hedged) slow.sendData(chunk, endStream);
    if (this.#shadows !== undefined) for (const shadow of this.#shadows) shadow.sendData(chunk, endStream);
    if (endStream) this.#onRequestComplete();
    return "continue";
  }

  decodeTrailers(trailers: HeaderMap): FilterStatus {
    this.body.isComplete = true;
    this.body.addTrailers(trailers);
    this.#attempt?.sendTrailers(trailers);
    if (this.#shadows !== undefined) for (const shadow of this.#shadows) shadow.sendTrailers(trailers);
    this.#onRequestComplete();
    return "continue";
  }

  onDownstreamWritable(): void {
    this.#attempt?.encoder?.setReadDisabled(false);
  }

  onDestroy(): void {
    this.#globalTimer?.cancel();
    this.#durationTimer?.cancel();
    this.#backOffTimer?.cancel();
    this.#retry?.close();
    this.#attempt?.cancel();
    if (this.#hedged !== undefined) for (const slow of this.#hedged) slow.cancel();
    if (this.#shadows !== undefined && !this.body.isComplete) for (const shadow of this.#shadows) shadow.cancel();
  }

  /** Route, cluster, timeouts, retry policy, final headers, first attempt. */
  #forward(route: ResolvedRoute | undefined, headers: HeaderMap): void {
    const { stream } = this;
    const { config, stats, factory } = this.#context;
    if (route?.kind !== "forward") return answerWithoutUpstream(route, stream, headers, stats);
    const cluster = factory.clusters.get(route.clusterName);
    if (cluster === undefined) {
      stats.noCluster.inc();
      return this.#fail({
        status: route.clusterNotFoundStatus,
        details: "cluster_not_found",
        flag: ResponseFlag.NoClusterFound,
      });
    }
    const overrides = hasEnvoyHeaders(headers);
    if (overrides && config.strictCheckHeaders.length > 0) {
      const refusal = strictCheckReply(headers, config.strictCheckHeaders);
      if (refusal !== undefined) return this.#fail(refusal);
    }
    stream.info.cluster = cluster;
    const virtualCluster = route.virtualCluster(headers);
    if (virtualCluster !== undefined)
      this.#virtualCluster = this.#context.virtualClusters.of(route.virtualHostName, virtualCluster);
    this.#route = route;
    this.#cluster = cluster;
    if (cluster.isMaintenance) {
      cluster.stats.rqMaintenanceMode.inc();
      cluster.stats.countResponse(503);
      return this.#fail(maintenanceMode(config.suppressEnvoyHeaders));
    }
    this.#isGrpc = isGrpcContentType(headers.get("content-type"));
    this.#timeouts =
      overrides || this.#isGrpc
        ? timeoutsOf(route, headers, {
            isGrpc: this.#isGrpc,
            respectExpected: config.respectExpectedRqTimeout,
            hasEnvoyHeaders: overrides,
          })
        : route.timeouts;
    if (overrides) this.#hasAlternativeTimeout = headers.remove("x-envoy-upstream-rq-timeout-alt-response");
    this.#attempts = 1;
    stream.info.attemptCount = 1;
    if (route.includeAttemptCountInRequest) headers.set("x-envoy-attempt-count", "1");
    this.#setTimeoutHeaders(route, headers, 0);
    this.#retry = createRetryState(route.retryPolicy, headers, overrides, this);
    const host = cluster.chooseHost(this);
    if (host === undefined) return this.#noHealthyUpstream(cluster);
    route.finalizeRequest(headers, stream, config.suppressEnvoyHeaders);
    stream.tracing?.inject(headers);
    if (route.mirrors.length > 0)
      this.#shadows = startShadows(
        route,
        headers,
        stream,
        this.#context,
        this.#timeouts.globalMs,
        this.body.isComplete,
      );
    this.#startAttempt(cluster, host, route);
    // An upgrade has no end to wait for: its handshake is timed from here.
    if (this.body.isComplete || headers.has("upgrade")) this.#onRequestComplete();
  }

  #startAttempt(cluster: Cluster, host: Host, route: ForwardRoute): void {
    const attempt = new UpstreamRequest(this, cluster, host);
    this.#attempt = attempt;
    this.#retry?.onHostAttempted(host);
    if (route.autoHostRewrite && host.hostname !== "" && this.#headers !== undefined)
      rewriteHost(this.#headers, host.hostname, !this.#context.config.suppressEnvoyHeaders, route.appendXForwardedHost);
    attempt.start(this.#poolOptions(cluster, route));
  }

  #poolOptions(cluster: Cluster, route: ForwardRoute): PoolOptions {
    const { stream } = this;
    const { autoSni, autoSanValidation } = cluster.httpOptions;
    const options = {
      priority: route.priority,
      protocol: cluster.upstreamProtocol(stream.info.protocol),
      alpnOverride: stream.upstreamAlpnOverride,
    };
    if (!autoSni) return options;
    const name = hostOnly(stream.requestHeaders.authority);
    return { ...options, serverNameOverride: name, subjectAltNamesOverride: autoSanValidation ? [name] : undefined };
  }

  /** The headers of an attempt; they are the stream's own, put right for it. */
  headersFor(_attempt: UpstreamRequest): HeaderMap {
    return this.#headers as HeaderMap;
  }

  #setTimeoutHeaders(route: ForwardRoute, headers: HeaderMap, elapsedMs: number): void {
    setTimeoutHeaders(route, headers, this.#timeouts, {
      isGrpc: this.#isGrpc,
      hedgesPerTry: route.hedgePolicy?.hedgeOnPerTryTimeout ?? false,
      writeExpected: !this.#context.config.suppressEnvoyHeaders,
      elapsedMs,
    });
  }

  /** The clocks run from the end of the request. */
  #onRequestComplete(): void {
    const { globalMs, perTryMs, perTryIdleMs } = this.#timeouts;
    const { wheel } = this.runtime.clock;
    if (globalMs > 0) this.#globalTimer = wheel.schedule(globalMs, () => this.#onGlobalTimeout());
    const maxMs =
      this.#route?.maxStreamDuration === undefined ? this.#cluster?.httpOptions.maxStreamDurationMs : undefined;
    if (maxMs !== undefined && maxMs > 0)
      this.#durationTimer = wheel.schedule(maxMs, () => this.#onMaxStreamDuration());
    if (perTryMs > 0 || perTryIdleMs > 0) this.#attempt?.armTimers(perTryMs, perTryIdleMs);
  }

  // The body, kept for a connection that is not there yet or for another attempt.

  get #mayRetry(): boolean {
    return this.#retry !== undefined && !this.#isResponseStarted && this.#retry.isEnabled && !this.body.isIncomplete;
  }

  #keep(chunk: Buffer): void {
    this.body.add(chunk);
    const limit = Math.min(
      this.#route?.perRequestBufferLimitBytes ?? Number.POSITIVE_INFINITY,
      this.stream.bufferLimitBytes,
    );
    if (this.body.bytes <= limit) return;
    if (this.#attempt === undefined) {
      // A retry is already decided on: there is no going back to the attempt that failed.
      this.#fail({
        status: 507,
        body: "exceeded request buffer limit while retrying upstream",
        details: "request_payload_exceeded_retry_buffer_limit",
      });
    } else if (this.#attempt.encoder === undefined) {
      this.#setReadDisabled(true);
    } else if (this.#mayRetry) {
      this.#cluster?.stats.retryOrShadowAbandoned.inc();
      this.body.drop();
    }
  }

  onUpstreamFull(): void {
    this.#setReadDisabled(true);
  }

  onUpstreamWritable(): void {
    this.#setReadDisabled(false);
  }

  #setReadDisabled(disabled: boolean): void {
    if (this.#isReadDisabled === disabled) return;
    this.#isReadDisabled = disabled;
    this.stream.setReadDisabled(disabled);
  }

  /** The attempt has its connection, and has sent what was kept. */
  onAttemptStarted(): void {
    this.#setReadDisabled(false);
    if (!this.#mayRetry) this.body.drop();
  }

  // The response, from an attempt.

  onUpstreamHeaders(attempt: UpstreamRequest, headers: HeaderMap, endStream: boolean, now: number): void {
    const { stream, body } = this;
    const { info } = stream;
    const status = headers.status;
    info.upstreamFirstRx = now;
    if (endStream) info.upstreamLastRx = now;
    attempt.host.outlier.putHttpStatus(this.#isGrpc && status === 200 ? httpFromGrpc(headers) : status);
    attempt.cluster.stats.countResponse(status);
    if (status >= 500) attempt.host.stats.rqError++;
    else attempt.host.stats.rqSuccess++;
    if (this.#retry !== undefined && !this.#isResponseStarted) {
      const decision = body.isIncomplete ? "no" : this.#retry.shouldRetryHeaders(headers);
      if (decision === "yes") {
        this.#dropAttempt(attempt, endStream);
        return this.#retryLater();
      }
      if (decision === "no-overflow") info.setFlag(ResponseFlag.UpstreamOverflow);
      else if (decision === "no-limit-exceeded") info.setFlag(ResponseFlag.UpstreamRetryLimitExceeded);
    }
    const route = this.#route;
    if (route === undefined) return;
    if (
      route.internalRedirect !== undefined &&
      status >= 300 &&
      status < 400 &&
      this.#redirect(attempt, headers, endStream)
    )
      return;
    this.#keepOnly(attempt);
    this.#virtualCluster?.countResponse(status);
    this.#isResponseStarted = true;
    body.drop();
    info.responseCodeDetails = "via_upstream";
    if (!this.#context.config.suppressEnvoyHeaders) this.#addEnvoyHeaders(headers, route, now);
    route.responseMutations?.apply(headers, {
      info,
      requestHeaders: stream.requestHeaders,
      responseHeaders: headers,
    });
    if (this.#cookies !== undefined) for (const cookie of this.#cookies) headers.add("set-cookie", cookie);
    if (status === 101) this.#globalTimer?.cancel();
    if (endStream) this.#onResponseEnd(attempt, now);
    stream.encodeHeaders(headers, endStream);
  }

  onUpstreamData(attempt: UpstreamRequest, chunk: Buffer, endStream: boolean): void {
    if (endStream) this.#onResponseEnd(attempt, this.runtime.clock.monotonic());
    const isWritable = this.stream.encodeData(chunk, endStream);
    if (!isWritable && !endStream) attempt.encoder?.setReadDisabled(true);
  }

  onUpstreamTrailers(attempt: UpstreamRequest, trailers: HeaderMap): void {
    this.#onResponseEnd(attempt, this.runtime.clock.monotonic());
    this.stream.encodeTrailers(trailers);
  }

  onUpstreamReset(attempt: UpstreamRequest, reason: ResetReason, failure: string): void {
    const { stream } = this;
    const { info } = stream;
    if (this.#dropHedged(attempt)) return;
    if (attempt !== this.#attempt) return;
    const { cluster, host } = attempt;
    if (this.#isResponseStarted) {
      info.setFlag(flagOfReset(reason));
      this.#context.stats.rqResetAfterDownstreamResponseStarted.inc();
      this.#attempt = undefined;
      return stream.resetStream(resetDetails("after", reason, failure));
    }
    this.#attempt = undefined;
    // The attempt has told the host's outlier detection already.
    if (reason !== "overflow") host.stats.rqError++;
    if (this.#retry !== undefined && !this.body.isIncomplete) {
      const decision = this.#retry.shouldRetryReset(reason, attempt.isRequestStarted);
      if (decision === "yes") {
        if (reason !== "overflow") cluster.stats.countResponse(503);
        return this.#retryLater();
      }
      if (decision === "no-overflow") info.setFlag(ResponseFlag.UpstreamOverflow);
      else if (decision === "no-limit-exceeded") info.setFlag(ResponseFlag.UpstreamRetryLimitExceeded);
    }
    if (this.#hedged !== undefined && this.#hedged.length > 0) return; // another attempt may still answer
    const reply = resetReply(reason, failure, this.#attempts > 1, this.#context.config.suppressEnvoyHeaders);
    cluster.stats.countResponse(reply.status);
    this.#fail(reply);
  }

  #addEnvoyHeaders(headers: HeaderMap, route: ForwardRoute, now: number): void {
    const { stream } = this;
    if (this.body.isComplete)
      headers.set("x-envoy-upstream-service-time", String(Math.floor(now - stream.info.requestEnd)));
    if (route.includeAttemptCountInResponse) headers.set("x-envoy-attempt-count", String(this.#attempts));
  }

  #onResponseEnd(attempt: UpstreamRequest, now: number): void {
    const { info } = this.stream;
    info.upstreamLastRx = now;
    if (info.requestEnd > 0) {
      const ms = Math.floor(now - info.requestEnd);
      attempt.cluster.stats.recordTime(ms);
      this.#virtualCluster?.recordTime(ms);
    }
    if (this.#attempt === attempt) this.#attempt = undefined;
    if (!this.body.isComplete) attempt.encoder?.reset("local reset"); // an early answer: nobody reads the rest
  }

  // Attempts after the first.

  #retryLater(): void {
    this.#virtualCluster?.countRetry();
    this.#backOffTimer = this.runtime.clock.wheel.schedule(this.#retry?.backOffMs ?? 0, () => this.#retryNow());
  }

  #retryNow(): void {
    const { stream } = this;
    const route = this.#route;
    const headers = this.#headers;
    const cluster = this.#cluster === undefined ? undefined : this.#context.factory.clusters.get(this.#cluster.name);
    if (route === undefined || headers === undefined) return;
    this.#attempts++;
    stream.info.attemptCount = this.#attempts;
    if (cluster === undefined)
      return this.#fail({ status: 503, details: "cluster_not_found", flag: ResponseFlag.NoClusterFound });
    const host = cluster.chooseHost(this);
    if (host === undefined) return this.#noHealthyUpstream(cluster);
    this.#cluster = cluster;
    if (route.includeAttemptCountInRequest) headers.set("x-envoy-attempt-count", String(this.#attempts));
    const { requestEnd } = stream.info;
    this.#setTimeoutHeaders(route, headers, requestEnd > 0 ? this.runtime.clock.monotonic() - requestEnd : 0);
    this.#startAttempt(cluster, host, route);
    const { perTryMs, perTryIdleMs } = this.#timeouts;
    if (this.body.isComplete && (perTryMs > 0 || perTryIdleMs > 0)) this.#attempt?.armTimers(perTryMs, perTryIdleMs);
  }

  #dropAttempt(attempt: UpstreamRequest, isOver: boolean): void {
    if (this.#attempt === attempt) this.#attempt = undefined;
    else this.#dropHedged(attempt);
    if (!isOver || !this.body.isComplete) attempt.cancel();
  }

  /** True: it was one of several, and the others go on. */
  #dropHedged(attempt: UpstreamRequest): boolean {
    const index = this.#hedged?.indexOf(attempt) ?? -1;
    if (index < 0) return false;
    this.#hedged?.splice(index, 1);
    return this.#attempt !== undefined || (this.#hedged?.length ?? 0) > 0;
  }

  /** The first good answer wins. */
  #keepOnly(winner: UpstreamRequest): void {
    if (this.#hedged === undefined) return;
    for (const other of [this.#attempt, ...this.#hedged]) if (other !== winner) other?.cancel();
    this.#hedged = undefined;
    this.#attempt = winner;
  }

  #redirect(attempt: UpstreamRequest, headers: HeaderMap, endStream: boolean): boolean {
    const policy = this.#route?.internalRedirect;
    const { stream } = this;
    if (policy === undefined || !this.body.isComplete || this.body.isIncomplete) return false;
    if (!followsInternalRedirect(policy, headers, stream, this.#redirects, this.#context.stats)) return false;
    this.#redirects++;
    if (headers.status === 303) this.body.discard();
    this.#dropAttempt(attempt, endStream);
    this.#retry?.close();
    this.#globalTimer?.cancel();
    stream.clearRouteCache();
    stream.info.responseCodeDetails = "internal_redirect";
    this.#forward(stream.route, stream.requestHeaders);
    return true;
  }

  // Time.

  #onGlobalTimeout(): void {
    const { stream } = this;
    const cluster = this.#cluster;
    cluster?.stats.rqTimeout.inc();
    this.#virtualCluster?.countTimeout();
    for (const attempt of [this.#attempt, ...(this.#hedged ?? [])]) {
      if (attempt === undefined) continue;
      if (!attempt.isResponseStarted) {
        attempt.host.stats.rqTimeout++;
        attempt.host.stats.rqError++;
        attempt.host.outlier.putLocalOrigin("timeout");
      }
      attempt.cancel();
    }
    const reply = timeoutReply("response_timeout", this.#hasAlternativeTimeout);
    if (this.#isResponseStarted) {
      stream.info.setFlag(ResponseFlag.UpstreamRequestTimeout);
      return stream.resetStream(reply.details);
    }
    cluster?.stats.countResponse(reply.status);
    this.#fail(reply);
  }

  onPerTryTimeout(attempt: UpstreamRequest, isIdle: boolean): void {
    const cluster = this.#cluster;
    if (cluster === undefined) return;
    if (isIdle) cluster.stats.rqPerTryIdleTimeout.inc();
    else cluster.stats.rqPerTryTimeout.inc();
    attempt.host.stats.rqTimeout++;
    attempt.host.outlier.putLocalOrigin("timeout");
    if (this.#isResponseStarted) {
      this.stream.info.setFlag(ResponseFlag.UpstreamRequestTimeout);
      attempt.cancel();
      return this.stream.resetStream(isIdle ? "upstream_per_try_idle_timeout" : "upstream_per_try_timeout");
    }
    const hedges = !isIdle && this.#route?.hedgePolicy?.hedgeOnPerTryTimeout === true;
    if (hedges) return this.#hedge(attempt);
    attempt.host.stats.rqError++;
    this.#dropAttempt(attempt, false);
    const decision =
      this.#retry === undefined || this.body.isIncomplete ? "no" : this.#retry.shouldRetryPerTryTimeout();
    if (decision === "yes") return this.#retryLater();
    if (decision === "no-overflow") this.stream.info.setFlag(ResponseFlag.UpstreamOverflow);
    else if (decision === "no-limit-exceeded") this.stream.info.setFlag(ResponseFlag.UpstreamRetryLimitExceeded);
    const reply = timeoutReply(
      isIdle ? "upstream_per_try_idle_timeout" : "upstream_per_try_timeout",
      this.#hasAlternativeTimeout,
    );
    cluster.stats.countResponse(reply.status);
    this.#fail(reply);
  }

  /** The slow attempt goes on; another starts beside it. */
  #hedge(attempt: UpstreamRequest): void {
    const decision =
      this.#retry === undefined || this.body.isIncomplete ? "no" : this.#retry.shouldHedgePerTryTimeout();
    if (decision !== "yes") return;
    (this.#hedged ??= []).push(attempt);
    if (this.#attempt === attempt) this.#attempt = undefined;
    this.#retryLater();
  }

  #onMaxStreamDuration(): void {
    const { stream } = this;
    this.#cluster?.stats.rqMaxDurationReached.inc();
    this.#attempt?.cancel();
    if (this.#isResponseStarted) {
      stream.info.setFlag(ResponseFlag.UpstreamMaxStreamDurationReached);
      return stream.resetStream(maxStreamDurationReply.details);
    }
    this.#fail(maxStreamDurationReply);
  }

  #noHealthyUpstream(cluster: Cluster): void {
    cluster.stats.cxNoneHealthy.inc();
    cluster.stats.countResponse(503);
    this.#fail(noHealthyUpstream);
  }

  #fail(reply: LocalReply): void {
    this.stream.sendLocalReply(reply);
  }

  // LbContext: what the load balancer may ask.

  get hash(): bigint | undefined {
    if (!this.#isHashed) {
      this.#isHashed = true;
      const route = this.#route;
      if (route?.hasHashPolicy === true && this.#headers !== undefined) {
        const cookies: string[] = [];
        this.#hash = route.hash(this.#headers, this.stream.info, cookies);
        if (cookies.length > 0) this.#cookies = cookies;
      }
    }
    return this.#hash;
  }

  get metadataMatch(): Readonly<Record<string, unknown>> | undefined {
    return this.#route?.metadataMatch;
  }

  get originalDestination(): LbContext["originalDestination"] {
    return this.stream.originalDestination;
  }

  get originalDstHost(): string | undefined {
    return this.#headers?.get("x-envoy-original-dst-host");
  }

  shouldSelectAnotherHost(host: Host): boolean {
    return this.#retry?.shouldSelectAnotherHost(host) ?? false;
  }

  get hostSelectionRetryMaxAttempts(): number {
    return this.#retry?.hostSelectionMaxAttempts ?? 1;
  }

  get triedPriorities(): readonly number[] | undefined {
    return this.#retry?.triedPriorities;
  }

  // RetryContext: what the retry decisions may ask.

  get retries(): Resource {
    return (this.#cluster as Cluster).resources(this.#route?.priority ?? "default").retries;
  }

  get stats(): ClusterTrafficStats {
    return (this.#cluster as Cluster).stats;
  }

  random(): number {
    return this.runtime.random.uint32();
  }

  now(): number {
    return this.runtime.clock.now();
  }
}

const noTimeouts: Timeouts = { globalMs: 0, perTryMs: 0, perTryIdleMs: 0 };

/** A server name has no port. */
function hostOnly(authority: string): string {
  const colon = authority.lastIndexOf(":");
  return colon > 0 && !authority.endsWith("]") ? authority.slice(0, colon) : authority;
}

/** Outlier detection counts a failed gRPC call as the HTTP status that it stands for. */
function httpFromGrpc(headers: HeaderMap): number {
  switch (headers.get("grpc-status")) {
    case undefined:
    case "0":
      return 200;
    case "14":
      return 503;
    case "4":
      return 504;
    case "13":
      return 500;
    default:
      return 200;
  }
}
