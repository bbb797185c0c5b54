/** A cluster as the configuration describes it, checked: what `Cluster` messages are read into. */
import type { HeaderKeySettings } from "../../http/http1/header-key-format.ts";
import type { TcpKeepAlive } from "#lib/runtime.ts";
import type { Http2ProtocolSettings } from "../../http/http2/protocol-options.ts";
import type { MetadataExchangeConfig } from "../../network/metadata-exchange.ts";
import type { Metadata } from "../types.ts";
import type { LbPolicyConfig } from "../load-balancing/create-load-balancer.ts";
import type { ZoneAwareConfig } from "../load-balancing/zone-aware.ts";
import type { SubsetConfig } from "../load-balancing/subset.ts";
import type { HealthCheckConfig } from "../health/health-check-config.ts";
import type { HappyEyeballsConfig } from "../pool/happy-eyeballs.ts";
import type { PreconnectConfig } from "../pool/preconnect.ts";
import type { TrackConfig } from "../tracked-stats.ts";
import type { UpstreamBind } from "./parse-bind.ts";
import type { DynamicForwardConfig } from "../dynamic-forward.ts";
import type { OutlierConfig } from "../outlier/outlier-config.ts";
import type { Thresholds } from "../resource-manager.ts";
import type { TransportSelector } from "../transport-selector.ts";
import type { ResponsePredicate } from "./parse-error-matcher.ts";
import type { Assignment } from "./assignment.ts";

export interface ClusterConfig {
  readonly name: string;
  /** In statistics and logs. */
  readonly observabilityName: string;
  readonly discovery: DiscoveryConfig;
  readonly connectTimeoutMs: number;
  readonly metadata: Metadata;
  readonly policy: LbPolicyConfig;
  readonly balancing: BalancingConfig;
  readonly subsets: SubsetConfig | undefined;
  readonly thresholds: { readonly default: Thresholds; readonly high: Thresholds };
  /** `per_host_thresholds`: connections to one host. */
  readonly maxConnectionsPerHost: number;
  readonly outlier: OutlierConfig | undefined;
  readonly http: HttpConfig;
  readonly transports: TransportSelector;
  /** `upstream_bind_config`; undefined: the system's choice. */
  readonly bind: UpstreamBind | undefined;
  /** `per_connection_buffer_limit_bytes`; undefined: the network's own limit. */
  readonly bufferBytes: number | undefined;
  readonly preconnect: PreconnectConfig;
  /** In what order the addresses of a host are tried. */
  readonly happyEyeballs: HappyEyeballsConfig;
  readonly track: TrackConfig;
  /** Requests of different downstream connections share no connection. */
  readonly hasPoolPerDownstream: boolean;
  /** Health that a host must have for a request that asks for it by address (L-28); empty: such requests are not heard. */
  readonly overrideHostStatus: ReadonlySet<string>;
  /** Pools at a time; Infinity: no limit. */
  readonly maxConnectionPools: number;
  readonly keepAlive: TcpKeepAlive | undefined;
  readonly closeConnectionsOnHostSetChange: boolean;
  readonly health: HealthConfig;
  /** `istio.metadata_exchange` for TCP connections to this cluster. */
  readonly metadataExchange: MetadataExchangeConfig | undefined;
  readonly waitsForWarming: boolean;
}

/** Active health checks and what depends on them. */
export interface HealthConfig {
  readonly checks: readonly HealthCheckConfig[];
  readonly closesConnectionsOfUnhealthy: boolean;
  /** Hosts that discovery no longer names leave at once, healthy or not. */
  readonly ignoresHealthOnRemoval: boolean;
  readonly excludesNewHosts: boolean;
}

export interface BalancingConfig {
  /** Percent; 50 when absent, 0 switches panic off. */
  readonly panicThreshold: number;
  readonly failTrafficOnPanic: boolean;
  readonly isLocalityWeighted: boolean;
  /** Undefined with locality weights. In force only where the bootstrap names a local cluster. */
  readonly zoneAware: ZoneAwareConfig | undefined;
}

export type DiscoveryConfig =
  | { readonly kind: "static"; readonly assignment: Assignment }
  | { readonly kind: "eds"; readonly serviceName: string; readonly initialFetchTimeoutMs: number }
  | ({ readonly kind: "strict-dns" | "logical-dns"; readonly assignment: Assignment } & DnsConfig)
  | ({ readonly kind: "original-dst" } & OriginalDstConfig)
  | {
      readonly kind: "dynamic-forward";
      /** TLS whose server name and certificate need not be those of the request. */
      readonly allowsInsecure: boolean;
      readonly cache: DynamicForwardConfig;
    }
  /** Clusters by name, the most preferred first. */
  | { readonly kind: "aggregate"; readonly clusters: readonly string[] };

export interface DnsConfig {
  readonly refreshRateMs: number;
  readonly failureRefreshRateMs: number;
  readonly failureRefreshRateMaxMs: number;
  readonly respectTtl: boolean;
  readonly jitterMs: number;
  readonly family: "auto" | "v4-only" | "v6-only" | "v4-preferred" | "all";
}

export interface OriginalDstConfig {
  readonly cleanupIntervalMs: number;
  /** Header that names the destination, lower case; undefined: none does. */
  readonly headerName: string | undefined;
  /** Namespace and path of the request's metadata that name it; they go before the header. */
  readonly metadataPath: readonly string[] | undefined;
  /** 0: the original port. */
  readonly portOverride: number;
}

export interface HttpConfig {
  /** `auto`: by ALPN. `downstream`: as the request came in. */
  readonly protocol: "http1" | "http2" | "auto" | "downstream";
  readonly idleTimeoutMs: number;
  /** 0: none. */
  readonly maxConnectionDurationMs: number;
  /** 0: none. */
  readonly maxRequestsPerConnection: number;
  readonly maxStreamDurationMs: number | undefined;
  /** Undefined: what Envoy's codecs have by themselves, 80 in HTTP/1.1 and 60 in HTTP/2. */
  readonly maxResponseHeadersKb: number | undefined;
  readonly maxResponseHeadersCount: number;
  /** Percent by which `maxConnectionDurationMs` is stretched at most, by chance. */
  readonly maxConnectionDurationJitter: number;
  /** Header that gives the server name in place of `:authority`; "": none. */
  readonly autoSniHeader: string;
  /** Responses that outlier detection counts as errors, in place of 5xx. */
  readonly isErrorResponse: ResponsePredicate | undefined;
  readonly autoSni: boolean;
  readonly autoSanValidation: boolean;
  readonly http1: Http1Config;
  readonly http2: Http2ProtocolSettings;
}

export interface Http1Config {
  readonly keys?: HeaderKeySettings | undefined;
  readonly enableTrailers: boolean;
  readonly allowChunkedLength: boolean;
}
