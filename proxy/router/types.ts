/** A RouteConfiguration as the router sees it: checked and compiled once, immutable, matched per request. */
import type { HeaderMap } from "../http/header-map.ts";
import type { BodyFormat } from "../http/local-reply-config.ts";
import type { RuntimeSnapshot } from "../runtime-layers.ts";
import type { StreamInfo } from "../stream-info.ts";
import type { RoutingPriority } from "../upstream/types.ts";
import type { RouteRateLimits } from "./rate-limit-policy.ts";
import type { RouteTracing } from "./route-tracing.ts";
import type { Timeouts } from "./timeouts.ts";

/** What `perFilter` gives where `typed_per_filter_config` switches a filter off (`FilterConfig.disabled`). */
export const disabledFilter: { readonly kind: "disabled" } = Object.freeze({ kind: "disabled" });

/** Stands for `FilterConfig.config: {}`: the filter takes part, with the configuration of a less specific level or its own. */
export const enabledFilter: { readonly kind: "enabled" } = Object.freeze({ kind: "enabled" });

export interface RouteTable {
  readonly name: string;
  /** First virtual host by domain, then its first matching route (R-01 … R-27); undefined: 404. */
  match(headers: HeaderMap, context: MatchContext): ResolvedRoute | undefined;
  readonly maxDirectResponseBodyBytes: number;
  /** Names of every cluster that a route may choose; for `validate_clusters`. */
  readonly clusterNames: readonly string[];
  /** Removed by the connection manager from requests that are not internal. */
  readonly internalOnlyHeaders: readonly string[];
}

export interface MatchContext {
  /** For weighted clusters and runtime fractions. */
  readonly streamRandom: bigint;
  readonly info: StreamInfo;
  /** Absent: the defaults of the messages are in force. */
  readonly runtimeSnapshot?: RuntimeSnapshot | undefined;
}

/** Header operations of one level, in the order in which they are evaluated (R-31 … R-33). */
export interface HeaderMutations {
  apply(headers: HeaderMap, context: HeaderFormatContext): void;
}

export interface HeaderFormatContext {
  readonly info: StreamInfo;
  readonly requestHeaders: HeaderMap;
  readonly responseHeaders?: HeaderMap | undefined;
}

/** `upgrade_configs[].connect_config`. */
export interface ConnectConfig {
  /** POST is a tunnel as well. */
  readonly allowsPost: boolean;
  /** A PROXY header goes first. */
  readonly proxyProtocol: 1 | 2 | undefined;
}

interface RouteBase {
  readonly name: string;
  readonly virtualHostName: string;
  /** `filter_metadata` of the route (`istio.config` names the VirtualService). */
  readonly metadata: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /**
   * `typed_per_filter_config` of the most specific level that has one for this filter (weighted cluster, route, virtual
   * host, route configuration): the parsed value, `disabledFilter`, or undefined.
   */
  perFilter(filterName: string): unknown;
  /** The parsed values of all levels that have one, the most specific first. */
  perFilterLevels(filterName: string): readonly unknown[];
  /** The most specific level that says anything of the filter has it take part: what a filter that is `disabled` needs. */
  isFilterEnabled(filterName: string): boolean;
  /** Mutations for the response, all levels, composed in order; undefined when there are none. */
  readonly responseMutations: HeaderMutations | undefined;
  readonly decoratorOperation: string | undefined;
  /** `decorator.propagate`; true when absent. */
  readonly decoratorPropagate: boolean;
  /** In place of what the connection manager says; undefined: it decides. */
  readonly tracing: RouteTracing | undefined;
  readonly requestMutations: HeaderMutations | undefined;
}

export type ResolvedRoute = ForwardRoute | RedirectRoute | DirectResponseRoute;

export interface RedirectRoute extends RouteBase {
  readonly kind: "redirect";
  readonly status: number;
  /** Before `location`: the request's own path is rewritten, as its access log then shows. */
  rewritePath(headers: HeaderMap, context: HeaderFormatContext, suppressEnvoyHeaders: boolean): void;
  location(headers: HeaderMap, context: HeaderFormatContext): string;
}

export interface DirectResponseRoute extends RouteBase {
  readonly kind: "direct-response";
  readonly status: number;
  /** One byte a character (UTF-8 bytes). */
  readonly body: string;
  /** Writes the body anew for each request; undefined: it is `body`. */
  readonly bodyFormat: BodyFormat | undefined;
}

export interface ForwardRoute extends RouteBase {
  readonly kind: "forward";
  /** The cluster chosen for this request (weights and headers are already evaluated); "" when a header named none. */
  readonly clusterName: string;
  readonly clusterNotFoundStatus: 503 | 404 | 500;
  /** Finalises the request for upstream: mutations, host rewrite, path rewrite, keeping `x-envoy-original-*`. */
  finalizeRequest(headers: HeaderMap, context: HeaderFormatContext, suppressEnvoyHeaders: boolean): void;
  /** The router sets `:authority` to the chosen host's name with `rewriteHost` (rewrite.ts). */
  readonly autoHostRewrite: boolean;
  readonly appendXForwardedHost: boolean;
  /** ms; 0: none. Absent in the configuration is 15000; 0 where `max_stream_duration` is set, which takes its place. */
  readonly timeoutMs: number;
  /** What `timeoutsOf` (timeouts.ts) gives when no header overrides it. */
  readonly timeouts: Timeouts;
  /** Deprecated `max_grpc_timeout` and `grpc_timeout_offset`, read by `timeoutsOf`. */
  readonly maxGrpcTimeoutMs: number | undefined;
  readonly grpcTimeoutOffsetMs: number | undefined;
  readonly idleTimeoutMs: number | undefined;
  readonly maxStreamDuration: MaxStreamDuration | undefined;
  readonly retryPolicy: RetryPolicy | undefined;
  readonly hedgePolicy: HedgePolicy | undefined;
  readonly mirrors: readonly MirrorPolicy[];
  /** R-101; undefined: no policy yields a hash. May add a set-cookie to `responseCookies`. */
  hash(headers: HeaderMap, info: StreamInfo, responseCookies: string[]): bigint | undefined;
  readonly hasHashPolicy: boolean;
  readonly metadataMatch: Readonly<Record<string, unknown>> | undefined;
  readonly priority: RoutingPriority;
  readonly upgrades: ReadonlyMap<string, boolean>;
  /** CONNECT ends here: the bytes in it go to the cluster as they are. */
  readonly connectConfig: ConnectConfig | undefined;
  readonly includeAttemptCountInRequest: boolean;
  readonly includeAttemptCountInResponse: boolean;
  /** A retry says by `x-envoy-is-timeout-retry` whether a timeout was its reason. */
  readonly includeIsTimeoutRetryHeader: boolean;
  readonly internalRedirect: InternalRedirectPolicy | undefined;
  /** `per_request_buffer_limit_bytes` of the route, else of its virtual host: caps what is kept for a retry. */
  readonly perRequestBufferLimitBytes: number | undefined;
  /** Undefined: neither the route nor its virtual host has any. */
  readonly rateLimits: RouteRateLimits | undefined;
  /** Statistics of the route are kept as `vhost.<virtual host>.route.<stat_prefix>.`; "": none are. */
  readonly statPrefix: string;
  /** Name of the first virtual cluster that matches, `other` where none does; undefined: the virtual host has none. */
  virtualCluster(headers: HeaderMap): string | undefined;
}

export interface MaxStreamDuration {
  readonly maxStreamDurationMs: number | undefined;
  readonly grpcTimeoutHeaderMaxMs: number | undefined;
  readonly grpcTimeoutHeaderOffsetMs: number | undefined;
}

export interface RetryPolicy {
  /** Bits of `RetryOn` (retry-policy.ts). */
  readonly retryOn: number;
  readonly numRetries: number;
  readonly perTryTimeoutMs: number;
  readonly perTryIdleTimeoutMs: number;
  readonly retriableStatusCodes: readonly number[];
  readonly retriableHeaders: readonly HeaderPredicate[];
  readonly retriableRequestHeaders: readonly HeaderPredicate[];
  readonly baseIntervalMs: number;
  readonly maxIntervalMs: number;
  readonly rateLimited: RateLimitedBackOff | undefined;
  readonly previousHosts: boolean;
  readonly omitCanaryHosts: boolean;
  /** `envoy.lb` metadata of hosts that are not to be tried again; one entry a predicate. */
  readonly omitHostMetadata: readonly Readonly<Record<string, unknown>>[];
  readonly previousPriorities: number | undefined;
  readonly hostSelectionRetryMaxAttempts: number;
}

export type HeaderPredicate = (headers: HeaderMap) => boolean;

export interface RateLimitedBackOff {
  readonly maxIntervalMs: number;
  readonly resetHeaders: readonly { readonly name: string; readonly format: "seconds" | "unix-timestamp" }[];
}

export interface HedgePolicy {
  readonly hedgeOnPerTryTimeout: boolean;
}

export interface MirrorPolicy {
  readonly clusterName: string;
  readonly clusterHeader: string;
  /** True when this request is to be mirrored. */
  shouldMirror(random: bigint, snapshot: RuntimeSnapshot | undefined): boolean;
  readonly disableShadowHostSuffix: boolean;
  /** Of the copy alone, after everything that the request itself went through. */
  readonly mutations: HeaderMutations | undefined;
  /** The copy's host; "" leaves it alone. */
  readonly hostRewrite: string;
  readonly traceSampled: boolean | undefined;
}

export interface InternalRedirectPolicy {
  readonly maxInternalRedirects: number;
  readonly statusCodes: ReadonlySet<number>;
  readonly allowCrossSchemeRedirect: boolean;
  readonly responseHeadersToCopy: readonly string[];
  /** All must accept where it leads. */
  readonly predicates: readonly RedirectPredicate[];
}

export type RedirectPredicate = (hop: RedirectHop) => boolean;

/** One internal redirect: names of routes, schemes, and where redirects of this request have led before. */
export interface RedirectHop {
  readonly from: string;
  readonly to: string;
  readonly wasHttps: boolean;
  readonly isHttps: boolean;
  readonly visited: ReadonlyMap<string, ReadonlySet<string>>;
}
