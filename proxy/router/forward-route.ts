/** A route that forwards: one immutable object for each cluster that it may choose, made when the configuration arrives. */
import type { HeaderMap } from "../http/header-map.ts";
import type { StreamInfo } from "../stream-info.ts";
import type { RoutingPriority } from "../upstream/types.ts";
import { rewriteHost, rewritePath, type HostRewrite, type PathRewrite } from "./rewrite.ts";
import type { HashPolicy } from "./hash-policy.ts";
import type { RouteRateLimits } from "./rate-limit-policy.ts";
import type { RouteFilterConfigs } from "./route-level.ts";
import type { RouteTracing } from "./route-tracing.ts";
import type { Timeouts } from "./timeouts.ts";
import type {
  ForwardRoute,
  HeaderFormatContext,
  HeaderMutations,
  HedgePolicy,
  InternalRedirectPolicy,
  MaxStreamDuration,
  MirrorPolicy,
  RetryPolicy,
} from "./types.ts";

/** Everything that a forwarding route is made of. */
export interface ForwardRouteParts {
  readonly name: string;
  readonly virtualHostName: string;
  readonly metadata: ForwardRoute["metadata"];
  readonly filters: RouteFilterConfigs;
  readonly requestMutations: HeaderMutations | undefined;
  readonly responseMutations: HeaderMutations | undefined;
  readonly decoratorOperation: string | undefined;
  readonly decoratorPropagate: boolean;
  readonly tracing: RouteTracing | undefined;
  readonly clusterName: string;
  readonly statPrefix: string;
  readonly clusterNotFoundStatus: 503 | 404 | 500;
  readonly hostRewrite: HostRewrite | undefined;
  /** False for the host of a weighted cluster: it leaves no `x-envoy-original-host`. */
  readonly keepsOriginalHost: boolean;
  readonly autoHostRewrite: boolean;
  readonly appendXForwardedHost: boolean;
  readonly pathRewrite: PathRewrite | undefined;
  readonly timeouts: Timeouts;
  readonly idleTimeoutMs: number | undefined;
  readonly maxStreamDuration: MaxStreamDuration | undefined;
  readonly maxGrpcTimeoutMs: number | undefined;
  readonly grpcTimeoutOffsetMs: number | undefined;
  readonly retryPolicy: RetryPolicy | undefined;
  readonly hedgePolicy: HedgePolicy | undefined;
  readonly mirrors: readonly MirrorPolicy[];
  readonly hashPolicy: HashPolicy | undefined;
  readonly metadataMatch: Readonly<Record<string, unknown>> | undefined;
  readonly priority: RoutingPriority;
  readonly upgrades: ReadonlyMap<string, boolean>;
  readonly connectConfig: ForwardRoute["connectConfig"];
  readonly includeAttemptCountInRequest: boolean;
  readonly includeAttemptCountInResponse: boolean;
  readonly includeIsTimeoutRetryHeader: boolean;
  readonly internalRedirect: InternalRedirectPolicy | undefined;
  readonly perRequestBufferLimitBytes: number | undefined;
  readonly rateLimits: RouteRateLimits | undefined;
  readonly virtualCluster: ((headers: HeaderMap) => string) | undefined;
}

export class ForwardRouteEntry implements ForwardRoute {
  readonly kind = "forward";
  readonly statPrefix: string;
  readonly name: string;
  readonly virtualHostName: string;
  readonly metadata: ForwardRoute["metadata"];
  readonly requestMutations: HeaderMutations | undefined;
  readonly responseMutations: HeaderMutations | undefined;
  readonly decoratorOperation: string | undefined;
  readonly decoratorPropagate: boolean;
  readonly tracing: RouteTracing | undefined;
  readonly clusterName: string;
  readonly clusterNotFoundStatus: 503 | 404 | 500;
  readonly autoHostRewrite: boolean;
  readonly appendXForwardedHost: boolean;
  readonly timeoutMs: number;
  readonly timeouts: Timeouts;
  readonly idleTimeoutMs: number | undefined;
  readonly maxStreamDuration: MaxStreamDuration | undefined;
  readonly maxGrpcTimeoutMs: number | undefined;
  readonly grpcTimeoutOffsetMs: number | undefined;
  readonly retryPolicy: RetryPolicy | undefined;
  readonly hedgePolicy: HedgePolicy | undefined;
  readonly mirrors: readonly MirrorPolicy[];
  readonly rateLimits: RouteRateLimits | undefined;
  readonly hasHashPolicy: boolean;
  readonly metadataMatch: Readonly<Record<string, unknown>> | undefined;
  readonly priority: RoutingPriority;
  readonly upgrades: ReadonlyMap<string, boolean>;
  readonly connectConfig: ForwardRoute["connectConfig"];
  readonly includeAttemptCountInRequest: boolean;
  readonly includeAttemptCountInResponse: boolean;
  readonly includeIsTimeoutRetryHeader: boolean;
  readonly internalRedirect: InternalRedirectPolicy | undefined;
  readonly perRequestBufferLimitBytes: number | undefined;
  readonly #parts: ForwardRouteParts;

  constructor(parts: ForwardRouteParts) {
    this.#parts = parts;
    this.statPrefix = parts.statPrefix;
    this.name = parts.name;
    this.virtualHostName = parts.virtualHostName;
    this.metadata = parts.metadata;
    this.requestMutations = parts.requestMutations;
    this.responseMutations = parts.responseMutations;
    this.decoratorOperation = parts.decoratorOperation;
    this.decoratorPropagate = parts.decoratorPropagate;
    this.tracing = parts.tracing;
    this.clusterName = parts.clusterName;
    this.clusterNotFoundStatus = parts.clusterNotFoundStatus;
    this.autoHostRewrite = parts.autoHostRewrite;
    this.appendXForwardedHost = parts.appendXForwardedHost;
    this.timeoutMs = parts.timeouts.globalMs;
    this.timeouts = parts.timeouts;
    this.idleTimeoutMs = parts.idleTimeoutMs;
    this.maxStreamDuration = parts.maxStreamDuration;
    this.maxGrpcTimeoutMs = parts.maxGrpcTimeoutMs;
    this.grpcTimeoutOffsetMs = parts.grpcTimeoutOffsetMs;
    this.retryPolicy = parts.retryPolicy;
    this.hedgePolicy = parts.hedgePolicy;
    this.mirrors = parts.mirrors;
    this.rateLimits = parts.rateLimits;
    this.hasHashPolicy = parts.hashPolicy !== undefined;
    this.metadataMatch = parts.metadataMatch;
    this.priority = parts.priority;
    this.upgrades = parts.upgrades;
    this.connectConfig = parts.connectConfig;
    this.includeAttemptCountInRequest = parts.includeAttemptCountInRequest;
    this.includeAttemptCountInResponse = parts.includeAttemptCountInResponse;
    this.includeIsTimeoutRetryHeader = parts.includeIsTimeoutRetryHeader;
    this.internalRedirect = parts.internalRedirect;
    this.perRequestBufferLimitBytes = parts.perRequestBufferLimitBytes;
  }

  /** The same route to another cluster, for clusters that a header names. */
  withCluster(clusterName: string): ForwardRouteEntry {
    return new ForwardRouteEntry({ ...this.#parts, clusterName });
  }

  perFilter(filterName: string): unknown {
    return this.#parts.filters.perFilter(filterName);
  }

  perFilterLevels(filterName: string): readonly unknown[] {
    return this.#parts.filters.perFilterLevels(filterName);
  }

  isFilterEnabled(filterName: string): boolean {
    return this.#parts.filters.isFilterEnabled(filterName);
  }

  hash(headers: HeaderMap, info: StreamInfo, responseCookies: string[]): bigint | undefined {
    return this.#parts.hashPolicy?.(headers, info, responseCookies);
  }

  virtualCluster(headers: HeaderMap): string | undefined {
    return this.#parts.virtualCluster?.(headers);
  }

  finalizeRequest(headers: HeaderMap, context: HeaderFormatContext, suppressEnvoyHeaders: boolean): void {
    const { requestMutations, hostRewrite, pathRewrite, appendXForwardedHost, keepsOriginalHost } = this.#parts;
    requestMutations?.apply(headers, context);
    const host = hostRewrite?.(headers, context);
    if (host !== undefined && host !== "")
      rewriteHost(headers, host, keepsOriginalHost && !suppressEnvoyHeaders, appendXForwardedHost);
    rewritePath(headers, pathRewrite, context, !suppressEnvoyHeaders);
  }
}
