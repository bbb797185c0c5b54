/** What the router and the TCP proxy see of the upstream side: clusters, hosts, pools. Implemented in this folder. */
import type { Connection, ConnectionHandler, SocketAddress } from "#lib/connection.ts";
import type { ResetReason, StreamDecoder, StreamEncoder, Protocol } from "../http/codec.ts";
import type { Fraction } from "../config-values.ts";
import type { HeaderMap } from "../http/header-map.ts";
import type { MetadataExchangeConfig } from "../network/metadata-exchange.ts";
import type { StatsScope, Counter, Gauge } from "../observability/stats.ts";
import type { DownstreamFacts } from "../tls/types.ts";

export type RoutingPriority = "default" | "high";

export interface Locality {
  readonly region: string;
  readonly zone: string;
  readonly subZone: string;
}

/** Namespace → struct, as `envoy.config.core.v3.Metadata.filter_metadata`. */
export type Metadata = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** One endpoint of a cluster. Its counters outlive configuration updates that keep the address. */
export interface Host {
  readonly address: SocketAddress;
  /** `ip:port`, made once. */
  readonly addressText: string;
  readonly hostname: string;
  weight: number;
  readonly locality: Locality;
  readonly priority: number;
  metadata: Metadata;
  readonly canary: boolean;
  /** Coarse health (L-01). */
  readonly health: "healthy" | "degraded" | "unhealthy";
  /** Raw counts for `/clusters` and for least-request. */
  readonly stats: HostStats;
  readonly outlier: HostOutlierSink;
  /** Only with active health checks: a response says that the host is not well (`x-envoy-immediate-health-check-fail`, L-58). */
  readonly failPassively?: (() => void) | undefined;
  /** Only where the balancer goes by the load that hosts report: takes the headers and trailers of responses. */
  readonly onLoadReport?: ((headers: HeaderMap) => void) | undefined;
}

export interface HostStats {
  cxActive: number;
  cxTotal: number;
  cxConnectFail: number;
  rqActive: number;
  /** Requests that wait for a connection to it. */
  rqPendingActive: number;
  rqError: number;
  rqSuccess: number;
  rqTimeout: number;
  rqTotal: number;
}

/** Passive health checking: told of every result (L-32, L-33). A no-op where the cluster has no outlier detection. */
export interface HostOutlierSink {
  putHttpStatus(status: number): void;
  putLocalOrigin(
    result: "connect-success" | "connect-failed" | "connect-timeout" | "reset" | "timeout" | "request-success",
  ): void;
}

/** What a load balancer may ask of the request. */
export interface LbContext {
  /** From the route's hash policy; undefined: random. */
  readonly hash?: bigint | undefined;
  /** `envoy.lb` metadata that the route asks for (subset load balancing). */
  readonly metadataMatch?: Readonly<Record<string, unknown>> | undefined;
  /** Destination restored from the connection (ORIGINAL_DST). */
  readonly originalDestination?: SocketAddress | undefined;
  /** A header of the request, which may name the destination (ORIGINAL_DST). */
  header?(name: string): string | undefined;
  /** Dynamic metadata of the request, for the same. */
  readonly dynamicMetadata?: ReadonlyMap<string, unknown> | undefined;
  /** `retry_host_predicate`: true to pick again. */
  shouldSelectAnotherHost?(host: Host): boolean;
  readonly hostSelectionRetryMaxAttempts?: number | undefined;
  /** The host that the request asks for, `ip:port` (L-28); strict: that one or none. */
  readonly overrideHost?: { readonly address: string; readonly isStrict: boolean } | undefined;
  /** `:authority`, for clusters whose host is the one that the request names. */
  readonly authority?: string | undefined;
  /** `retry_priority`: priorities already tried (previous_priorities). */
  readonly triedPriorities?: readonly number[] | undefined;
}

export interface Cluster {
  readonly name: string;
  /** Name in statistics and logs: alt_stat_name without its `;`, else `name`. */
  readonly observabilityName: string;
  readonly metadata: Metadata;
  readonly scope: StatsScope;
  readonly stats: ClusterTrafficStats;
  readonly connectTimeoutMs: number;
  /** Limits of the given priority; counts are process-wide. */
  resources(priority: RoutingPriority): ResourceManager;
  /** The host for one attempt; undefined: no healthy upstream. */
  chooseHost(context: LbContext): Host | undefined;
  /** The pool of a host for HTTP. Pools are kept per host, protocol, priority and ALPN override. */
  httpPool(host: Host, options: PoolOptions): HttpPool;
  /** A fresh connection for the TCP proxy; fails as `HttpPool` does. */
  tcpConnect(host: Host, options: PoolOptions, handler: ConnectionHandler): Connection | "overflow";
  /** Upstream protocol for a request that came in as `downstream` (explicit, or use_downstream_protocol). */
  upstreamProtocol(downstream: Protocol | undefined): "http1" | "http2" | "auto";
  /** `cluster.outlier_detection`'s split, `common_http_protocol_options` and the like that the router needs. */
  readonly httpOptions: UpstreamHttpOptions;
  readonly isMaintenance: boolean;
  /** Only of a dynamic forward proxy: the name of a request is resolved before a host is chosen. */
  readonly dynamicHosts?: DynamicHosts | undefined;
  /** Share of requests that is answered with 503 before a host is chosen (`drop_overloads`). */
  readonly dropOverload?: Fraction | undefined;
  /** Its transports tell the upstream of the downstream connection: `PoolOptions.downstream` is to be set. */
  readonly wantsDownstream?: boolean;
  /** `istio.metadata_exchange` of the cluster: the TCP proxy exchanges metadata before the first byte. */
  readonly metadataExchange?: MetadataExchangeConfig | undefined;
}

export interface UpstreamHttpOptions {
  readonly maxStreamDurationMs?: number | undefined;
  /** `x-envoy-upstream-…` handled by cluster; response headers limits. */
  readonly maxResponseHeadersKb: number | undefined;
  readonly maxResponseHeadersCount: number;
  /** The server name of the TLS handshake is the request's `:authority`: `PoolOptions.serverNameOverride`. */
  readonly autoSni: boolean;
  /** Header that gives the server name in place of `:authority`; "" or absent: none. */
  readonly autoSniHeader?: string;
  /** Responses that outlier detection counts as errors, in place of 5xx (L-43). */
  readonly isErrorResponse?: ((headers: HeaderMap) => boolean) | undefined;
  /** The peer's certificate must be for that name: `PoolOptions.subjectAltNamesOverride`. */
  readonly autoSanValidation: boolean;
}

/** Handles resolved once for `cluster.<name>.`; the router and the pools increment them. */
export interface ClusterTrafficStats {
  readonly rqTotal: Counter;
  readonly rqActive: Gauge;
  readonly rqCompleted: Counter;
  /**
   * `upstream_rq_<code>` and `upstream_rq_<n>xx`; again below `internal.` or `external.`, and below `canary.`. Where the
   * status is hidden, only those below hear of it.
   */
  countResponse(status: number, isInternal?: boolean, isCanary?: boolean, isHidden?: boolean): void;
  readonly rqTimeout: Counter;
  readonly rqPerTryTimeout: Counter;
  readonly rqRetry: Counter;
  readonly rqRetrySuccess: Counter;
  readonly rqRetryOverflow: Counter;
  readonly rqRetryLimitExceeded: Counter;
  readonly rqRetryBackoffExponential: Counter;
  readonly rqRetryBackoffRatelimited: Counter;
  readonly rqCancelled: Counter;
  readonly rqRxReset: Counter;
  readonly rqTxReset: Counter;
  readonly rqMaintenanceMode: Counter;
  readonly retryOrShadowAbandoned: Counter;
  readonly rqPerTryIdleTimeout: Counter;
  readonly rqMaxDurationReached: Counter;
  readonly cxNoneHealthy: Counter;
  readonly internalRedirectSucceeded: Counter;
  readonly internalRedirectFailed: Counter;
  readonly cxConnectAttemptsExceeded: Counter;
  /** `upstream_rq_time`, ms. */
  recordTime(ms: number): void;
  /** Only where the cluster asks for it (`track_cluster_stats`). */
  readonly tracked?: TrackedStats | undefined;
}

/** Statistics of finished requests that cost something to gather. */
export interface TrackedStats {
  onExchange(exchange: FinishedExchange): void;
}

/** A request with its whole answer. */
export interface FinishedExchange {
  readonly requestHeaders: HeaderMap;
  readonly responseHeaders: HeaderMap;
  /** Of bodies. */
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** Since the request was complete. */
  readonly elapsedMs: number;
  /** 0: no timeout. */
  readonly globalMs: number;
  readonly tryElapsedMs: number;
  /** 0: no timeout. */
  readonly perTryMs: number;
}

/** Admission (L-45 … L-50): `canCreate` at the moment of the attempt, then `inc`, and `dec` when done. */
export interface ResourceManager {
  readonly connections: Resource;
  readonly pendingRequests: Resource;
  readonly requests: Resource;
  /** max_retries or the retry budget. */
  readonly retries: Resource;
}

export interface Resource {
  canCreate(): boolean;
  inc(): void;
  dec(): void;
  readonly count: number;
  readonly max: number;
}

export interface PoolOptions {
  readonly priority: RoutingPriority;
  readonly protocol: "http1" | "http2" | "auto";
  /** Replaces the ALPN list of the transport socket (the `istio.alpn` filter). */
  readonly alpnOverride?: readonly string[] | undefined;
  /** Keys further state that must not be shared. */
  readonly serverNameOverride?: string | undefined;
  /** DNS names one of which the peer's certificate must have, in place of what the transport socket asks. */
  readonly subjectAltNamesOverride?: readonly string[] | undefined;
  /** Whose connection it is, where the cluster `wantsDownstream`. */
  readonly downstream?: DownstreamFacts | undefined;
}

export interface HttpPool {
  /**
   * Asks for a stream. Either callback may come before the call returns. The pool counts `upstream_rq_pending_*`,
   * `upstream_rq_total`, `upstream_rq_active`, `upstream_cx_*`, the host's `rqTotal`, `rqActive` and `cx*`, and the
   * resources but for `retries`; the router counts requests' outcomes (`rqSuccess`, `rqError`, `rqTimeout` of the host) and tells
   * the host's `outlier`, of failed connections too.
   */
  newStream(decoder: StreamDecoder, callbacks: PoolCallbacks): PoolRequest | undefined;
}

/** A request that still waits for a connection. */
export interface PoolRequest {
  cancel(): void;
}

export type PoolFailureReason = Extract<
  ResetReason,
  "overflow" | "local connection failure" | "remote connection failure" | "connection timeout"
>;

export interface PoolCallbacks {
  onPoolReady(encoder: StreamEncoder, host: Host, connection: Connection, protocol: Protocol): void;
  onPoolFailure(reason: PoolFailureReason, transportFailureReason: string, host: Host | undefined): void;
}

/** Hosts that are found by the name that a request asks for. */
export interface DynamicHosts {
  /**
   * Resolves `name[:port]`. At once: it is there, it can't be resolved, there are too many names, or too many requests wait;
   * else `onDone` follows, unless it is cancelled.
   */
  prepare(
    authority: string,
    onDone: (isThere: boolean) => void,
  ): "ready" | "failed" | "overflow" | "pending-overflow" | { cancel(): void };
}

export interface ClusterManager {
  get(name: string): Cluster | undefined;
}
