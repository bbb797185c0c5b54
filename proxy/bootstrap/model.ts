/** What a bootstrap says, for the parts of the proxy. Clusters, listeners and secrets stay messages: their rooms parse them. */
import type { SocketAddress } from "#lib/connection.ts";
import type { AccessLog } from "#protos/gen/envoy/config/accesslog/v3/accesslog_pb.js";
import type { Bootstrap } from "#protos/gen/envoy/config/bootstrap/v3/bootstrap_pb.js";
import type { Cluster } from "#protos/gen/envoy/config/cluster/v3/cluster_pb.js";
import type { Node } from "#protos/gen/envoy/config/core/v3/base_pb.js";
import type { ConfigSource } from "#protos/gen/envoy/config/core/v3/config_source_pb.js";
import type { Listener } from "#protos/gen/envoy/config/listener/v3/listener_pb.js";
import type { StatsConfig } from "#protos/gen/envoy/config/metrics/v3/stats_pb.js";
import type { Secret } from "#protos/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js";
import type { WorkloadIdentity } from "#protos/gen/glassmesh/config/v1/workload_identity_pb.js";

export interface BootstrapModel {
  /** As it was read, with the command line's overrides and the node completed: what `/config_dump` shows. */
  readonly message: Bootstrap;
  /** What the proxy says of itself to every management server. */
  readonly node: Node;
  readonly admin: AdminModel | undefined;
  readonly clusters: readonly Cluster[];
  readonly listeners: readonly Listener[];
  readonly secrets: readonly Secret[];
  /** The stream that `ads: {}` means. */
  readonly ads: GrpcSourceModel | undefined;
  readonly cds: ConfigSource | undefined;
  readonly lds: ConfigSource | undefined;
  /** `cluster_manager.local_cluster_name`; empty: none. */
  readonly localClusterName: string;
  /** `cluster_manager.outlier_detection.event_log_path`; empty: none. */
  readonly outlierEventLog: string;
  readonly stats: StatsModel;
  readonly runtimeLayers: readonly RuntimeLayerModel[];
  /** `envoy.bootstrap.internal_listener`: there may be listeners that only this process reaches. */
  readonly internalListeners: { readonly bufferBytes: number } | undefined;
  /** `glassmesh.identity`: the proxy gets its certificate by CSR. */
  readonly identity: WorkloadIdentity | undefined;
}

export interface AdminModel {
  readonly address: SocketAddress;
  readonly accessLog: readonly AccessLog[];
}

/** An `api_config_source` of gRPC kind. */
export interface GrpcSourceModel {
  readonly protocol: "delta" | "sotw";
  /** The static cluster of the management server. */
  readonly clusterName: string;
  /** `:authority`; empty: the cluster's name, as Envoy has it. */
  readonly authority: string;
  /** Sent with each stream. */
  readonly initialMetadata: readonly (readonly [key: string, value: string])[];
  readonly maxReceiveMessageBytes: number | undefined;
  /** Reconnect back-off. */
  readonly backOff: { readonly baseMs: number; readonly maxMs: number };
  readonly rateLimit: { readonly maxTokens: number; readonly tokensPerSecond: number } | undefined;
  readonly setNodeOnFirstMessageOnly: boolean;
}

export interface StatsModel {
  /** Tags, matcher, histogram buckets: read by observability. */
  readonly config: StatsConfig | undefined;
  readonly flushIntervalMs: number;
  readonly flushOnAdmin: boolean;
}

export type RuntimeLayerModel =
  | { readonly kind: "static"; readonly name: string; readonly values: Readonly<Record<string, unknown>> }
  | { readonly kind: "admin"; readonly name: string }
  | {
      readonly kind: "rtds";
      readonly name: string;
      /** What RTDS is asked for. */
      readonly resourceName: string;
      readonly source: ConfigSource;
    };
