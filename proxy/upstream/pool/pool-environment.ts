/** What the pools of one cluster share. */
import type { Connection } from "#lib/connection.ts";
import type { Clock, TcpKeepAlive } from "#lib/runtime.ts";
import type { ClientCodec, ClientCodecHandler } from "../../http/codec.ts";
import type { UpstreamBind } from "../config/parse-bind.ts";
import type { HttpConfig } from "../config/cluster-config.ts";
import type { TrafficStats } from "../cluster-stats.ts";
import type { HappyEyeballsConfig } from "./happy-eyeballs.ts";
import type { PreconnectConfig } from "./preconnect.ts";
import type { TransportSelector } from "../transport-selector.ts";
import type { Metadata, ResourceManager, RoutingPriority } from "../types.ts";

export interface PoolEnvironment {
  readonly clock: Clock;
  readonly connectTimeoutMs: number;
  readonly bind: UpstreamBind | undefined;
  /** `per_connection_buffer_limit_bytes`: beyond it a connection counts as full. */
  readonly bufferBytes: number | undefined;
  readonly preconnect: PreconnectConfig;
  readonly happyEyeballs: HappyEyeballsConfig;
  readonly keepAlive: TcpKeepAlive | undefined;
  /** The cluster's. */
  readonly metadata: Metadata;
  readonly http: HttpConfig;
  readonly transports: TransportSelector;
  readonly maxConnectionsPerHost: number;
  /** In [0, 1). */
  readonly random: () => number;
  /** Made when they are first needed. */
  stats(): TrafficStats;
  resources(priority: RoutingPriority): ResourceManager;
  createCodec(protocol: "http1" | "http2", connection: Connection, handler: ClientCodecHandler): ClientCodec;
}
