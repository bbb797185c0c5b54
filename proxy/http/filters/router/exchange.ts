/**
 * One request and its answer from a cluster: attempt after attempt until an answer is good enough, or time, retries or
 * hosts run out. Read `start`, then the `onUpstream…` methods in the order of a response.
 */
import type { Runtime, Timer } from "#lib/runtime.ts";
import type { RetryDecision, RetryState } from "../../../router/retry-state.ts";
import { rewriteHost } from "../../../router/rewrite.ts";
import { setTimeoutHeaders, type Timeouts } from "../../../router/timeouts.ts";
import { ResponseFlag } from "../../../stream-info.ts";
import type { Cluster, Host } from "../../../upstream/types.ts";
import type { ResetReason } from "../../codec.ts";
import type { FilterStream, LocalReply } from "../../filter.ts";
import type { HeaderMap } from "../../header-map.ts";
import type { AttemptContext } from "./attempt-context.ts";
import { Attempts } from "./attempts.ts";
import type { BodyBuffer } from "./body-buffer.ts";
import type { RouterContext } from "./router.ts";
import {
  clusterNotFound,
  flagOfReset,
  httpStatusOfGrpc,
  maxStreamDurationReply,
  noHealthyUpstream,
  resetDetails,
  resetReply,
  retryBufferExceeded,
  timeoutReply,
  withAttemptCount,
} from "./upstream-failure.ts";
import { UpstreamRequest } from "./upstream-request.ts";

/** What the router has decided before the first attempt. */
export interface ExchangePlan {
  readonly timeouts: Timeouts;
  readonly isGrpc: boolean;
  /** 204 in place of 504. */
  readonly hasAlternativeTimeout: boolean;
  /** What follows the response, an internal redirect; undefined: it goes downstream. */
  readonly followsRedirect: (headers: HeaderMap) => (() => void) | undefined;
}

export class UpstreamExchange {
  readonly stream: FilterStream;
  readonly runtime: Runtime;
  readonly body: BodyBuffer;
  readonly headers: HeaderMap;
  readonly #target: AttemptContext;
  readonly #plan: ExchangePlan;
  readonly #context: RouterContext;
  readonly #retry: RetryState | undefined;
  readonly #attempts = new Attempts();
  #count = 0;
  #isResponseStarted = false;
  /** Answered or given up: no clock may start any more. A pool may fail while the first attempt begins. */
  #isOver = false;
  /** Headers of the response, where the cluster wants to know of them. */
  #tracked: HeaderMap | undefined = undefined;
  #isReadDisabled = false;
  /** The body was more than may be kept. */
  #isRepeatAbandoned = false;
  #globalTimer: Timer | undefined = undefined;
  #durationTimer: Timer | undefined = undefined;
  #backOffTimer: Timer | undefined = undefined;

  constructor(
    stream: FilterStream,
    context: RouterContext,
    target: AttemptContext,
    body: BodyBuffer,
    plan: ExchangePlan,
  ) {
    this.stream = stream;
    this.runtime = context.factory.runtime;
    this.headers = target.headers;
    this.body = body;
    this.#context = context;
    this.#target = target;
    this.#retry = target.retry;
    this.#plan = plan;
  }

  /** The first attempt, to `host`. */
  start(host: Host): void {
    this.#count = 1;
    this.#startAttempt(host);
  }

  cancel(): void {
    this.#isOver = true;
    this.#cancelTimers();
    this.#retry?.close();
    this.#attempts.cancel();
  }

  #startAttempt(host: Host): void {
    const { cluster, route } = this.#target;
    const attempt = new UpstreamRequest(this, cluster, host);
    this.#attempts.current = attempt;
    this.#retry?.onHostAttempted(host);
    if (route.autoHostRewrite && host.hostname !== "")
      rewriteHost(this.headers, host.hostname, !this.#context.config.suppressEnvoyHeaders, route.appendXForwardedHost);
    attempt.start(this.#target.pool(host));
  }

  // The request, as it comes.

  sendData(chunk: Buffer, endStream: boolean): void {
    if (this.#mayRepeat || this.#attempts.current?.encoder === undefined) this.#keep(chunk);
    this.#attempts.sendData(chunk, endStream);
  }

  sendTrailers(trailers: HeaderMap): void {
    this.#attempts.sendTrailers(trailers);
  }

  /** The clocks run from the end of the request. */
  onRequestComplete(): void {
    if (this.#isOver) return;
    const { globalMs } = this.#plan.timeouts;
    const { wheel } = this.runtime.clock;
    if (globalMs > 0) this.#globalTimer = wheel.schedule(globalMs, () => this.#onGlobalTimeout());
    const { route, cluster } = this.#target;
    const maxMs = route.maxStreamDuration === undefined ? (cluster.httpOptions.maxStreamDurationMs ?? 0) : 0;
    if (maxMs > 0) this.#durationTimer = wheel.schedule(maxMs, () => this.#onMaxStreamDuration());
    this.#armAttempt();
  }

  #armAttempt(): void {
    if (this.#isOver) return;
    const { perTryMs, perTryIdleMs } = this.#plan.timeouts;
    if (perTryMs > 0 || perTryIdleMs > 0) this.#attempts.current?.armTimers(perTryMs, perTryIdleMs);
  }

  /** What was sent of the body is no longer there to be sent again. */
  get #isWithoutBody(): boolean {
    return this.#isRepeatAbandoned || this.body.isIncomplete;
  }

  /** The body may be needed again: for a retry, or for an internal redirect. */
  get #mayRepeat(): boolean {
    if (this.#isResponseStarted || this.#isWithoutBody) return false;
    return this.#retry?.isEnabled === true || this.#target.route.internalRedirect !== undefined;
  }

  /** For a connection that is not there yet, or for another attempt. */
  #keep(chunk: Buffer): void {
    const { body, stream } = this;
    const { route, cluster } = this.#target;
    body.add(chunk);
    if (body.bytes <= Math.min(route.perRequestBufferLimitBytes ?? stream.bufferLimitBytes, stream.bufferLimitBytes))
      return;
    const attempt = this.#attempts.current;
    if (attempt === undefined) return this.#answer(retryBufferExceeded);
    if (this.#mayRepeat) {
      cluster.stats.retryOrShadowAbandoned.inc();
      this.#isRepeatAbandoned = true;
    }
    if (attempt.encoder !== undefined) body.drop();
    else if (body.bytes > stream.bufferLimitBytes) this.#setReadDisabled(true);
  }

  /** The attempt has its connection, and has sent what was kept. */
  onAttemptStarted(): void {
    for (const stats of this.#target.requestStats) stats.rqTotal.inc();
    this.#setReadDisabled(false);
    if (!this.#mayRepeat) this.body.drop();
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

  onDownstreamWritable(): void {
    this.#attempts.current?.encoder?.setReadDisabled(false);
  }

  // The response, from an attempt.

  onUpstreamInformational(attempt: UpstreamRequest, headers: HeaderMap): void {
    this.#target.countResponse(attempt.cluster, headers.status);
    this.stream.encodeInformational(headers);
  }

  onUpstreamHeaders(attempt: UpstreamRequest, headers: HeaderMap, endStream: boolean, now: number): void {
    const { stream, body } = this;
    const { info } = stream;
    const { status } = headers;
    info.upstreamFirstRx = now;
    if (attempt.cluster.stats.tracked !== undefined) this.#tracked = headers;
    if (endStream) info.upstreamLastRx = now;
    if (attempt.host.failPassively !== undefined && headers.has("x-envoy-immediate-health-check-fail"))
      attempt.host.failPassively();
    attempt.host.onLoadReport?.(headers);
    attempt.host.outlier.putHttpStatus(this.#outlierStatus(attempt.cluster, headers));
    if (status >= 500) attempt.host.stats.rqError++;
    else attempt.host.stats.rqSuccess++;
    const isCanary = attempt.host.canary || headers.get("x-envoy-upstream-canary") === "true";
    if (this.#retry !== undefined && !this.#isResponseStarted) {
      const decision = this.#isWithoutBody ? "no" : this.#retry.shouldRetryHeaders(headers);
      if (decision === "yes") {
        this.#dropAttempt(attempt, endStream);
        return this.#retryLater();
      }
      this.#flagRefusedRetry(decision);
    }
    const isRedirect = status >= 300 && status < 400 && this.#target.route.internalRedirect !== undefined;
    const recreate = isRedirect ? this.#plan.followsRedirect(headers) : undefined;
    if (recreate !== undefined) {
      this.#dropAttempt(attempt, endStream);
      this.cancel();
      return recreate();
    }
    this.#attempts.keepOnly(attempt);
    this.#target.countResponse(attempt.cluster, status, isCanary);
    this.#isResponseStarted = true;
    body.drop();
    info.responseCodeDetails = "via_upstream";
    info.responseCode = status;
    this.#finishHeaders(headers, now);
    if (status === 101 || (this.headers.method === "CONNECT" && status < 300)) this.#globalTimer?.cancel();
    if (endStream) this.#onResponseEnd(attempt, now);
    stream.encodeHeaders(headers, endStream);
  }

  /** What outlier detection hears: the status, or the cluster's own judgement of errors (L-43). */
  #outlierStatus({ httpOptions }: Cluster, headers: HeaderMap): number {
    const { status } = headers;
    if (httpOptions.isErrorResponse !== undefined) return httpOptions.isErrorResponse(headers) ? 500 : 200;
    return this.#plan.isGrpc && status === 200 ? httpStatusOfGrpc(headers) : status;
  }

  /** What the router adds to a response, and the route's mutations. */
  #finishHeaders(headers: HeaderMap, now: number): void {
    const { route, cookies } = this.#target;
    const { info, requestHeaders } = this.stream;
    if (this.body.isComplete && !this.#context.config.suppressEnvoyHeaders)
      headers.set("x-envoy-upstream-service-time", String(Math.floor(now - info.requestEnd)));
    if (route.includeAttemptCountInResponse) headers.set("x-envoy-attempt-count", String(this.#count));
    route.responseMutations?.apply(headers, { info, requestHeaders, responseHeaders: headers });
    if (cookies !== undefined) for (const cookie of cookies) headers.add("set-cookie", cookie);
  }

  onUpstreamData(attempt: UpstreamRequest, chunk: Buffer, endStream: boolean): void {
    if (endStream) this.#onResponseEnd(attempt, this.runtime.clock.monotonic());
    const isWritable = this.stream.encodeData(chunk, endStream);
    if (!isWritable && !endStream) attempt.encoder?.setReadDisabled(true);
  }

  onUpstreamTrailers(attempt: UpstreamRequest, trailers: HeaderMap): void {
    attempt.host.onLoadReport?.(trailers);
    this.#onResponseEnd(attempt, this.runtime.clock.monotonic());
    this.stream.encodeTrailers(trailers);
  }

  #onResponseEnd(attempt: UpstreamRequest, now: number): void {
    const { info } = this.stream;
    info.upstreamLastRx = now;
    if (info.requestEnd > 0 && this.#context.config.countsResponses) {
      const ms = Math.floor(now - info.requestEnd);
      attempt.cluster.stats.recordTime(ms);
      for (const stats of this.#target.requestStats) stats.recordTime(ms);
      if (this.#tracked !== undefined) this.#track(attempt, this.#tracked, ms, now);
    }
    this.#attempts.forget(attempt);
    if (!this.body.isComplete) attempt.encoder?.reset("local reset"); // an early answer: nobody reads the rest
  }

  /** `track_cluster_stats`. */
  #track({ cluster }: UpstreamRequest, responseHeaders: HeaderMap, elapsedMs: number, now: number): void {
    const { info } = this.stream;
    const { globalMs, perTryMs } = this.#plan.timeouts;
    cluster.stats.tracked?.onExchange({
      requestHeaders: this.headers,
      responseHeaders,
      requestBytes: info.bytesReceived,
      responseBytes: info.bytesSent,
      elapsedMs,
      globalMs,
      tryElapsedMs: Math.floor(now - info.upstreamFirstTx),
      perTryMs,
    });
  }

  onUpstreamReset(attempt: UpstreamRequest, reason: ResetReason, failure: string): void {
    const { stream } = this;
    if (this.#attempts.forget(attempt)) return; // another may still answer
    const { cluster, host } = attempt;
    if (this.#isResponseStarted) {
      stream.info.setFlag(flagOfReset(reason));
      this.#context.stats.rqResetAfterDownstreamResponseStarted.inc();
      return stream.resetStream(resetDetails("after", reason, failure));
    }
    // The attempt has told the host's outlier detection already.
    if (reason !== "overflow") host.stats.rqError++;
    if (this.#retry !== undefined && !this.#isWithoutBody) {
      const decision = this.#retry.shouldRetryReset(reason, attempt.isRequestStarted);
      if (decision === "yes") {
        return this.#retryLater();
      }
      this.#flagRefusedRetry(decision);
    }
    if (this.#attempts.hasSlow) return;
    const reply = resetReply(reason, failure, this.#count > 1, this.#context.config.suppressEnvoyHeaders);
    this.#target.countResponse(cluster, reply.status);
    this.#answer(reply);
  }

  /** An answer in the upstream's place. */
  #answer(reply: LocalReply): void {
    this.stream.sendLocalReply(withAttemptCount(reply, this.#target.route, this.#count));
  }

  // Attempts after the first.

  #flagRefusedRetry(decision: RetryDecision): void {
    if (decision === "no-overflow") this.stream.info.setFlag(ResponseFlag.UpstreamOverflow);
    else if (decision === "no-limit-exceeded") this.stream.info.setFlag(ResponseFlag.UpstreamRetryLimitExceeded);
  }

  #retryLater(afterTimeout = false): void {
    if (this.#target.route.includeIsTimeoutRetryHeader)
      this.headers.set("x-envoy-is-timeout-retry", String(afterTimeout));
    this.#backOffTimer = this.runtime.clock.wheel.schedule(this.#retry?.backOffMs ?? 0, () => this.#retryNow());
  }

  #retryNow(): void {
    const { stream, headers } = this;
    const target = this.#target;
    const cluster = this.#context.factory.clusters.get(target.cluster.name);
    this.#count++;
    stream.info.attemptCount = this.#count;
    if (cluster === undefined) return this.#answer(clusterNotFound(503));
    target.cluster = cluster;
    const host = cluster.chooseHost(target);
    if (host === undefined) {
      cluster.stats.cxNoneHealthy.inc();
      target.countResponse(cluster, 503);
      return this.#answer(noHealthyUpstream);
    }
    const { requestEnd } = stream.info;
    if (target.route.includeAttemptCountInRequest) headers.set("x-envoy-attempt-count", String(this.#count));
    this.setTimeoutHeaders(requestEnd > 0 ? this.runtime.clock.monotonic() - requestEnd : 0);
    this.#startAttempt(host);
    if (this.body.isComplete) this.#armAttempt();
  }

  /** Tells the next hop how much time it has. */
  setTimeoutHeaders(elapsedMs: number): void {
    const { route } = this.#target;
    setTimeoutHeaders(route, this.headers, this.#plan.timeouts, {
      isGrpc: this.#plan.isGrpc,
      hedgesPerTry: route.hedgePolicy?.hedgeOnPerTryTimeout ?? false,
      writeExpected: !this.#context.config.suppressEnvoyHeaders,
      elapsedMs,
    });
  }

  #dropAttempt(attempt: UpstreamRequest, isOver: boolean): void {
    this.#attempts.forget(attempt);
    if (!isOver || !this.body.isComplete) attempt.cancel();
  }

  // Time.

  #cancelTimers(): void {
    this.#globalTimer?.cancel();
    this.#durationTimer?.cancel();
    this.#backOffTimer?.cancel();
  }

  #onGlobalTimeout(): void {
    const { stream } = this;
    const { cluster } = this.#target;
    cluster.stats.rqTimeout.inc();
    for (const stats of this.#target.requestStats) stats.rqTimeout.inc();
    for (const attempt of this.#attempts.all()) {
      if (!attempt.isResponseStarted) {
        attempt.host.stats.rqTimeout++;
        attempt.host.stats.rqError++;
        attempt.host.outlier.putLocalOrigin("timeout");
      }
      attempt.cancel();
    }
    const reply = timeoutReply("response_timeout", this.#plan.hasAlternativeTimeout);
    if (this.#isResponseStarted) {
      stream.info.setFlag(ResponseFlag.UpstreamRequestTimeout);
      return stream.resetStream(reply.details);
    }
    this.#target.countResponse(cluster, reply.status);
    this.#answer(reply);
  }

  onPerTryTimeout(attempt: UpstreamRequest, isIdle: boolean): void {
    const { stream } = this;
    const { cluster, route } = this.#target;
    const details = isIdle ? "upstream_per_try_idle_timeout" : "upstream_per_try_timeout";
    attempt.host.stats.rqTimeout++;
    attempt.host.outlier.putLocalOrigin("timeout");
    const count = (): void => (isIdle ? cluster.stats.rqPerTryIdleTimeout : cluster.stats.rqPerTryTimeout).inc();
    if (this.#isResponseStarted) {
      count();
      stream.info.setFlag(ResponseFlag.UpstreamRequestTimeout);
      attempt.cancel();
      return stream.resetStream(details);
    }
    const retry = this.#isWithoutBody ? undefined : this.#retry;
    if (!isIdle && route.hedgePolicy?.hedgeOnPerTryTimeout === true) {
      // The slow attempt goes on; another starts beside it.
      if (retry?.shouldHedgePerTryTimeout() !== "yes") return;
      this.#attempts.setAside(attempt);
      return this.#retryLater(true);
    }
    count();
    attempt.host.stats.rqError++;
    this.#dropAttempt(attempt, false);
    const decision = retry?.shouldRetryPerTryTimeout() ?? "no";
    if (decision === "yes") return this.#retryLater(true);
    this.#flagRefusedRetry(decision);
    const reply = timeoutReply(details, this.#plan.hasAlternativeTimeout);
    this.#target.countResponse(cluster, reply.status);
    this.#answer(reply);
  }

  #onMaxStreamDuration(): void {
    const { stream } = this;
    this.#target.cluster.stats.rqMaxDurationReached.inc();
    this.#attempts.cancel();
    if (!this.#isResponseStarted) return this.#answer(maxStreamDurationReply);
    stream.info.setFlag(ResponseFlag.UpstreamMaxStreamDurationReached);
    stream.resetStream(maxStreamDurationReply.details);
  }
}
