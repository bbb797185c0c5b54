/**
 * One request and its response, from the codec through the filters and back: the only place that knows all of a stream.
 * It puts the request right, finds its route, runs the filters, watches the clocks, and tells the statistics and logs.
 */
import type { SocketAddress } from "#lib/connection.ts";
import type { Timer } from "#lib/runtime.ts";
import { copyFilterState } from "../filter-state.ts";
import type { AccessLogType } from "../observability/access-log/types.ts";
import type { MatchContext, ForwardRoute, ResolvedRoute } from "../router/types.ts";
import type { RuntimeSnapshot } from "../runtime-layers.ts";
import { ResponseFlag, StreamInfo } from "../stream-info.ts";
import type { AccessLogMoments } from "./connection-manager-config.ts";
import type { CodecError, ResetReason, StreamDecoder, StreamEncoder } from "./codec.ts";
import type { ConnectionManager } from "./connection-manager.ts";
import { decorateRequest, decorateResponse } from "./decorator.ts";
import type { FilterStream, HttpFilter, InternalRedirects, LocalReply } from "./filter.ts";
import { FilterChain, type FilterChainEnds } from "./filter-chain.ts";
import { setForwardedClientCert } from "./forwarded-client-cert.ts";
import { HeaderMap } from "./header-map.ts";
import { reasonPhrase } from "./http1/write-head.ts";
import { localReplyMessage } from "./local-reply.ts";
import { checkPath } from "./path-check.ts";
import { normalizeHost } from "./path-normalization.ts";
import { sanitizeRequest } from "./request-headers.ts";
import type { ServerConnection } from "./server-connection.ts";
import { StreamTimers, type StreamTimeout, type StreamTimerOwner } from "./stream-timers.ts";
import { decideTrace } from "./trace-decision.ts";
import type { Span } from "./tracing.ts";

export class ActiveStream implements StreamDecoder, FilterStream, FilterChainEnds, MatchContext, StreamTimerOwner {
  readonly info: StreamInfo = new StreamInfo();
  requestHeaders: HeaderMap = new HeaderMap();
  responseHeaders: HeaderMap | undefined = undefined;
  responseTrailers: HeaderMap | undefined = undefined;
  upstreamAlpnOverride: readonly string[] | undefined = undefined;
  isAnsweredAsGrpc: boolean | undefined = undefined;
  upstreamOverrideHost: FilterStream["upstreamOverrideHost"] = undefined;
  tracing: Span | undefined = undefined;
  isRequestComplete = false;
  /** The response's headers have gone to the codec. */
  #isResponseStarted = false;
  /** What the upstream still says is of no interest. */
  #isAnsweredLocally = false;
  #isOver = false;
  #isRouteResolved = false;
  #route: ResolvedRoute | undefined = undefined;
  #chain: FilterChain | undefined = undefined;
  #random: bigint | undefined = undefined;
  #isUpgrade = false;
  #isTunnel = false;
  /** Counted as an upgrade, whatever becomes of it. */
  #isUpgraded = false;
  #bufferLimitBytes: number | undefined = undefined;
  /** What a filter passed on by itself was more than the downstream takes now. */
  #isDownstreamSlow = false;
  #isResponseHeldBack = false;
  readonly #timers: StreamTimers;
  readonly #connection: ServerConnection;
  readonly #manager: ConnectionManager;
  readonly #encoder: StreamEncoder;

  redirects: InternalRedirects | undefined = undefined;

  /** While it is being logged; whoever formats at another time writes no log. */
  accessLogType: AccessLogType | undefined = undefined;

  constructor(connection: ServerConnection, encoder: StreamEncoder) {
    const { manager } = connection;
    const { clock } = manager.runtime;
    const info = this.info;
    this.#timers = new StreamTimers(clock, this);
    this.#connection = connection;
    this.#manager = manager;
    this.#encoder = encoder;
    info.startTimeMs = clock.now();
    info.start = clock.monotonic();
    info.connection = connection.downstream.connection;
    info.downstreamLocalAddress = connection.downstream.originalDestination;
    info.filterChainName = connection.downstream.filterChainName;
    info.requestedServerName = connection.downstream.requestedServerName;
    const { filterState, dynamicMetadata } = connection.downstream;
    if (filterState.size > 0) info.filterState = copyFilterState(filterState);
    if (dynamicMetadata.size > 0) info.dynamicMetadata = new Map(dynamicMetadata);
    manager.stats.rqTotal.inc();
    manager.stats.rqActive.inc();
  }

  // The request, from the codec.

  onHeaders(headers: HeaderMap, endStream: boolean): void {
    const { config } = this.#manager;
    this.requestHeaders = headers;
    this.info.protocol = this.#connection.protocolOf(this.#encoder);
    this.info.requestHeaderBytes = headers.byteSize;
    if (endStream) {
      this.isRequestComplete = true;
      this.info.requestEnd = this.info.start; // it came at once
    }
    if (headers.authority === "") return this.#refuse(400, "missing_host_header");
    if (headers.method !== "CONNECT" || headers.protocol !== "") {
      const refusal = checkPath(headers, config.normalization, this.#manager.stats);
      if (refusal !== undefined) return this.sendLocalReply(refusal);
    }
    headers.authority = normalizeHost(headers.authority, config.normalization, this.#connection.localPort);
    if (this.redirects === undefined) {
      config.earlyMutations?.apply(headers, { info: this.info, requestHeaders: headers });
      this.#sanitize(headers);
    }
    if (this.#isOver) return;
    const { route } = this;
    this.#timers.arm(config.timeouts, this.forwardRoute, headers, this.isRequestComplete, this.info.start);
    if (this.#manager.isWaitingForRoutes) {
      this.sendLocalReply({ status: 404, details: "route_configuration_not_found", flag: ResponseFlag.NoRouteFound });
      return;
    }
    const upgrade = this.#isUpgrade || headers.method === "CONNECT" ? upgradeTypeOf(headers) : undefined;
    if (upgrade !== undefined && route !== undefined && !this.#isUpgradeAllowed(upgrade, route)) return;
    if (upgrade !== undefined) this.#connection.countUpgrade();
    this.#isUpgraded = upgrade !== undefined;
    if (config.accessLogMoments !== undefined) this.#logAtMoments(config.accessLogMoments);
    if (this.#manager.tracing !== undefined) this.#startTrace(headers, route);
    const chain = new FilterChain(this.#manager.chainOf(upgrade), this, this);
    this.#chain = chain;
    chain.decodeHeaders(headers, endStream);
  }

  recreate(responseStatus: number, body: Buffer | undefined, redirects: InternalRedirects): void {
    const { info } = this;
    info.responseCode = responseStatus;
    info.responseCodeDetails = "internal_redirect";
    const next = this.#connection.recreateStream(this.#encoder);
    next.#takeOver(info, redirects);
    this.#finish();
    next.onHeaders(this.requestHeaders, body === undefined);
    if (body !== undefined) next.onData(body, true);
  }

  #takeOver(from: StreamInfo, redirects: InternalRedirects): void {
    this.redirects = redirects;
    const { info } = this;
    info.startTimeMs = from.startTimeMs;
    info.start = from.start;
    info.downstreamRemoteAddress = from.downstreamRemoteAddress;
    info.bytesReceived = from.bytesReceived;
  }

  onData(chunk: Buffer, endStream: boolean): void {
    if (this.#isOver) return;
    this.info.bytesReceived += chunk.length;
    this.#timers.touch();
    if (endStream) this.#onRequestComplete();
    this.#chain?.decodeData(chunk, endStream);
  }

  onTrailers(trailers: HeaderMap): void {
    if (this.#isOver) return;
    this.#timers.touch();
    this.#onRequestComplete();
    this.#chain?.decodeTrailers(trailers);
  }

  onWritable(): void {
    this.#isDownstreamSlow = false;
    if (!this.#isResponseHeldBack) this.#chain?.onDownstreamWritable();
  }

  /** The client went away, or reset the stream. */
  onReset(reason: ResetReason, details: string): void {
    if (this.#isOver) return;
    const { info } = this;
    this.#manager.stats.rqRxReset.inc();
    info.protocol ??= this.#connection.protocolOf(this.#encoder);
    if (reason === "connection termination") {
      info.setFlag(ResponseFlag.DownstreamConnectionTermination);
      info.responseCodeDetails = details === "" ? "downstream_remote_disconnect" : details;
    } else {
      info.setFlag(
        reason === "protocol error" && details !== "http2.unexpected_underscore"
          ? ResponseFlag.DownstreamProtocolError
          : ResponseFlag.DownstreamRemoteReset,
      );
      info.responseCodeDetails = details;
    }
    this.#finish();
  }

  /** What arrived broke the protocol. Without headers so far, this stream was made for the answer. */
  onCodecError(error: CodecError): void {
    if (this.#isOver) return;
    const { stats } = this.#manager;
    stats.rqResponseBeforeRqComplete.inc();
    stats.rqRxReset.inc();
    this.isRequestComplete = true; // nothing of it will be read any more
    this.info.protocol = this.#connection.protocolOf(this.#encoder);
    this.sendLocalReply({
      status: error.status,
      body: error.status === 408 ? "request header timeout" : reasonPhrase(error.status),
      details: error.details,
      ...(error.status === 408 ? {} : { flag: ResponseFlag.DownstreamProtocolError }),
    });
  }

  #sanitize(headers: HeaderMap): void {
    const manager = this.#manager;
    const { connection } = this.#connection.downstream;
    this.#isUpgrade = headers.protocol !== "" || headers.has("upgrade");
    const traits = sanitizeRequest(headers, this.info, connection, manager.sanitizer, this.#isUpgrade);
    if (traits.refusal !== undefined) {
      manager.stats.rqRejectedViaIpDetection.inc();
      return this.#refuse(traits.refusal, "rejecting_because_detection_failed");
    }
    if (traits.hasForwardedClientCert || connection.tls !== undefined)
      setForwardedClientCert(headers, traits.hasForwardedClientCert, connection, manager.config.clientCertificate);
    if (traits.expectsContinue && !manager.config.proxy100Continue) {
      headers.remove("expect");
      const answer = new HeaderMap();
      answer.status = 100;
      this.#encoder.sendInformational(answer);
    }
    this.#isForceTraced = traits.isForceTraced;
    const internalOnly = manager.routes?.internalOnlyHeaders;
    if (!traits.isInternal && internalOnly !== undefined) for (const name of internalOnly) headers.remove(name);
  }

  #isForceTraced = false;
  #logTimer: Timer | undefined = undefined;
  /** The operation that the response is to name. */
  #decoration: string | undefined = undefined;

  #isUpgradeAllowed(type: string, route: ResolvedRoute): boolean {
    const own = route.kind === "forward" ? route.upgrades.get(type) : undefined;
    if (own ?? this.#manager.config.upgrades.get(type)?.isEnabled ?? false) return true;
    this.#manager.stats.rqWsOnNonWsRoute.inc();
    this.#refuse(403, "upgrade_failed");
    return false;
  }

  #startTrace(headers: HeaderMap, route: ResolvedRoute | undefined): void {
    const manager = this.#manager;
    const { tracing, stats, config, runtime } = manager;
    if (tracing === undefined) return;
    const random = (): number => runtime.random.float();
    const isForced = this.#isForceTraced;
    const reason = decideTrace(headers, tracing, config.forwarding, isForced, stats.tracing, random, route?.tracing);
    this.info.isTraced = reason !== "none";
    this.tracing = manager.tracer?.startSpan(headers, this.info, route, reason);
    if (this.tracing !== undefined) this.info.traceId = this.tracing.traceId;
    this.#decoration = decorateRequest(headers, route, tracing, manager.isEgress);
  }

  #onRequestComplete(): void {
    this.isRequestComplete = true;
    this.info.requestEnd = this.#manager.runtime.clock.monotonic();
    this.#timers.onRequestComplete();
  }

  /** `access_log_options`: at its beginning, and again and again. */
  #logAtMoments({ onNewRequest, everyMs }: AccessLogMoments): void {
    if (onNewRequest) this.#log("DownstreamStart");
    if (everyMs === 0) return;
    const { wheel } = this.#manager.runtime.clock;
    const tick = (): void => {
      this.#log("DownstreamPeriodic");
      this.#logTimer = wheel.schedule(everyMs, tick);
    };
    this.#logTimer = wheel.schedule(everyMs, tick);
  }

  #log(type: AccessLogType): void {
    this.accessLogType = type;
    this.#manager.accessLog?.log(this);
    this.accessLogType = undefined;
  }

  #refuse(status: number, details: string): void {
    this.sendLocalReply({ status, details });
  }

  // What filters ask.

  get route(): ResolvedRoute | undefined {
    if (!this.#isRouteResolved) {
      this.#isRouteResolved = true;
      const route = this.#manager.routes?.match(this.requestHeaders, this);
      this.#route = route;
      this.info.routeName = route?.name ?? "";
      this.info.virtualHostName = route?.virtualHostName ?? "";
      this.info.cluster = route?.kind === "forward" ? this.#manager.clusters.get(route.clusterName) : undefined;
    }
    return this.#route;
  }

  get forwardRoute(): ForwardRoute | undefined {
    const route = this.route;
    return route?.kind === "forward" ? route : undefined;
  }

  clearRouteCache(): void {
    this.#isRouteResolved = false;
    this.#route = undefined;
  }

  routeConfig<T>(filterName: string): T | undefined {
    return this.route?.perFilter(filterName) as T | undefined;
  }

  routeConfigs<T>(filterName: string): readonly T[] {
    return (this.route?.perFilterLevels(filterName) ?? []) as readonly T[];
  }

  get streamRandom(): bigint {
    return (this.#random ??= this.#manager.runtime.random.uint64());
  }

  get runtimeSnapshot(): RuntimeSnapshot | undefined {
    return this.#manager.runtimeSnapshot;
  }

  get isMutualTls(): boolean {
    return this.#connection.downstream.connection.tls?.peer?.verified === true;
  }

  get originalDestination(): SocketAddress {
    return this.#connection.downstream.originalDestination;
  }

  get bufferLimitBytes(): number {
    return this.#bufferLimitBytes ?? this.#manager.bufferLimitBytes;
  }

  setDecoderBufferLimit(bytes: number): void {
    this.#bufferLimitBytes = bytes;
  }

  passDecodedData(from: HttpFilter, chunk: Buffer, endStream: boolean): void {
    if (!this.#isOver) this.#chain?.passDecodedData(from, chunk, endStream);
  }

  passDecodedTrailers(from: HttpFilter, trailers: HeaderMap): void {
    if (!this.#isOver) this.#chain?.passDecodedTrailers(from, trailers);
  }

  passEncodedData(from: HttpFilter, chunk: Buffer, endStream: boolean): void {
    if (!this.#isOver && this.#chain?.passEncodedData(from, chunk, endStream) === false) this.#isDownstreamSlow = true;
  }

  passEncodedTrailers(from: HttpFilter, trailers: HeaderMap): void {
    if (!this.#isOver) this.#chain?.passEncodedTrailers(from, trailers);
  }

  setResponseHeldBack(isHeldBack: boolean): void {
    if (this.#isResponseHeldBack === isHeldBack) return;
    this.#isResponseHeldBack = isHeldBack;
    if (!isHeldBack && !this.#isDownstreamSlow) this.#chain?.onDownstreamWritable();
  }

  continueDecoding(): void {
    if (!this.#isOver) this.#chain?.continueDecoding();
  }

  continueEncoding(): void {
    if (!this.#isOver) this.#chain?.continueEncoding();
  }

  setReadDisabled(disabled: boolean): void {
    if (this.#isOver || this.isRequestComplete) return;
    if (disabled) this.#manager.stats.flowControlPaused.inc();
    else this.#manager.stats.flowControlResumed.inc();
    this.#encoder.setReadDisabled(disabled);
  }

  onBufferOverflow(direction: "decode" | "encode"): void {
    if (direction === "decode") {
      // As Envoy's HTTP/1 codec, which tells of the end of a body after its last bytes: the request was not complete.
      if (this.info.protocol !== "HTTP/2") this.isRequestComplete = false;
      this.#manager.stats.rqTooLarge.inc();
      this.sendLocalReply({ status: 413, body: "Payload Too Large", details: "request_payload_too_large" });
    } else {
      this.#manager.stats.rsTooLarge.inc();
      this.sendLocalReply({ status: 500, body: "Internal Server Error", details: "response_payload_too_large" });
    }
  }

  // The response, through the filters to the codec.

  /** What the route adds to responses, it adds to ours too, whoever makes them. */
  #withRouteHeaders(reply: LocalReply): LocalReply {
    const mutations = this.route?.responseMutations;
    if (mutations === undefined) return reply;
    const headers = HeaderMap.of(reply.headers ?? []);
    mutations.apply(headers, { info: this.info, requestHeaders: this.requestHeaders, responseHeaders: headers });
    return { ...reply, headers: headers.names.map((name, at) => [name, headers.values[at] ?? ""] as const) };
  }

  sendLocalReply(reply: LocalReply): void {
    if (this.#isOver) return;
    const { info } = this;
    if (reply.flag !== undefined) info.setFlag(reply.flag);
    info.responseCodeDetails = reply.details.replaceAll(/\s/g, "_");
    if (this.#isResponseStarted) return this.#giveUp();
    this.#chain?.abortDecoding();
    this.#isAnsweredLocally = true;
    // Where the request would have gone is known all the same: statistics and logs ask for it.
    if (info.cluster === undefined && this.#chain !== undefined && this.forwardRoute !== undefined)
      info.cluster = this.#manager.clusters.get(this.forwardRoute.clusterName);
    const routed = this.#withRouteHeaders(reply);
    info.responseCode = reply.status;
    const { headers, body } = localReplyMessage(
      routed,
      this.requestHeaders,
      this,
      this.#manager.localReplies,
      this.isAnsweredAsGrpc,
    );
    // A message that was malformed in one way may be so in another: what follows it is not read (as in Envoy).
    if (reply.status === 400) this.#connection.drainHttp1();
    this.responseHeaders = headers;
    const sentBody = this.requestHeaders.method === "HEAD" ? "" : body;
    if (this.#chain !== undefined) this.#chain.encodeLocalReply(headers, sentBody);
    else {
      this.onEncodedHeaders(headers, sentBody === "");
      if (sentBody !== "") this.onEncodedData(sentBody, true);
    }
  }

  encodeHeaders(headers: HeaderMap, endStream: boolean): void {
    if (this.#isOver || this.#isAnsweredLocally) return;
    this.responseHeaders = headers;
    this.info.responseCode = headers.status; // filters may ask for it
    this.#timers.touch();
    this.#chain?.encodeHeaders(headers, endStream);
  }

  encodeData(chunk: Buffer | string, endStream: boolean): boolean {
    if (this.#isOver || this.#isAnsweredLocally) return true;
    this.#timers.touch();
    const isWritable = this.#chain?.encodeData(chunk, endStream) ?? true;
    return isWritable && !this.#isDownstreamSlow && !this.#isResponseHeldBack;
  }

  encodeTrailers(trailers: HeaderMap): void {
    if (this.#isOver || this.#isAnsweredLocally) return;
    this.responseTrailers = trailers;
    this.#chain?.encodeTrailers(trailers);
  }

  encodeInformational(headers: HeaderMap): void {
    if (this.#isOver || this.#isResponseStarted || !this.#manager.config.proxy100Continue) return;
    this.#manager.countInformational();
    this.#encoder.sendInformational(headers);
  }

  resetStream(details: string): void {
    if (this.#isOver) return;
    this.info.responseCodeDetails = details.replaceAll(/\s/g, "_");
    this.#giveUp();
  }

  onEncodedHeaders(headers: HeaderMap, endStream: boolean): void {
    const { info } = this;
    const manager = this.#manager;
    this.#isResponseStarted = true;
    info.responseCode = headers.status;
    manager.finishResponseHeaders(headers, this.requestHeaders, this.#isForceTraced);
    if (manager.tracing !== undefined)
      decorateResponse(headers, this.#decoration, this.#route, manager.tracing, manager.isEgress, this.tracing);
    if (!this.isRequestComplete) manager.stats.rqResponseBeforeRqComplete.inc();
    this.#isTunnel = headers.status === 101 || (this.requestHeaders.method === "CONNECT" && headers.status < 300);
    if (!this.#isTunnel) this.#connection.drainIfAsked(this.isRequestComplete);
    info.responseFirstTx = manager.runtime.clock.monotonic();
    info.responseHeaderBytes = headers.byteSize;
    if (this.#isTunnel && manager.config.accessLogMoments?.onTunnel === true)
      this.#log("DownstreamTunnelSuccessfullyEstablished");
    this.#encoder.sendHeaders(headers, endStream);
    if (endStream) this.#finish();
  }

  onEncodedData(chunk: Buffer | string, endStream: boolean): boolean {
    this.info.bytesSent += chunk.length;
    const isWritable = this.#encoder.sendData(chunk, endStream);
    if (endStream) this.#finish();
    return isWritable;
  }

  onEncodedTrailers(trailers: HeaderMap): void {
    this.#encoder.sendTrailers(trailers);
    this.#finish();
  }

  /** After the response has begun there is nothing better than to break it off. */
  #giveUp(): void {
    this.#manager.stats.rqTxReset.inc();
    this.#encoder.reset("local reset");
    this.#finish();
  }

  onTimeout(which: StreamTimeout): void {
    const { stats } = this.#manager;
    const status = this.isRequestComplete ? 504 : 408;
    if (which === "idle") {
      stats.rqIdleTimeout.inc();
      const flag = ResponseFlag.StreamIdleTimeout;
      this.sendLocalReply({ status, body: "stream timeout", details: "stream_idle_timeout", flag });
    } else if (which === "request") {
      stats.rqTimeout.inc();
      this.sendLocalReply({ status: 408, body: "request timeout", details: "request_overall_timeout" });
    } else {
      stats.rqMaxDurationReached.inc();
      const body = "downstream duration timeout";
      this.sendLocalReply({ status, body, details: "max_duration_timeout", grpcStatus: 4 });
    }
  }

  // The end.

  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const { info } = this;
    const manager = this.#manager;
    this.#timers.cancel();
    info.end = manager.runtime.clock.monotonic();
    manager.countResponse(info);
    if (this.#isUpgraded) manager.stats.cxUpgradesActive.dec();
    const chain = this.#chain;
    chain?.complete();
    this.#logTimer?.cancel();
    this.#log("DownstreamEnd");
    this.tracing?.finish(this);
    chain?.destroy();
    this.#connection.onStreamEnd(this, this.#isTunnel);
  }
}

/** Lower case; `connect` for a plain CONNECT. */
function upgradeTypeOf(headers: HeaderMap): string {
  const upgrade = headers.protocol === "" ? headers.get("upgrade") : headers.protocol;
  return (upgrade ?? headers.method).toLowerCase();
}
