/** What the listener manager needs, and what others see of it. */
import type { Message } from "@bufbuild/protobuf";
import type { Connection, SocketAddress } from "#lib/connection.ts";
import type { Parsed, Problem } from "#lib/problem.ts";
import type { Runtime } from "#lib/runtime.ts";
import type { Listener } from "#protos/gen/envoy/config/listener/v3/listener_pb.js";
import type { NodeInfo } from "../http/filter.ts";
import type { RouteConfigProvider } from "../network/filter.ts";
import type { NetworkFilterRegistry } from "../network/registry.ts";
import type { AccessLogSinks } from "../observability/access-log/types.ts";
import type { StatsScope } from "../observability/stats.ts";
import type { ExtensionConfigProvider } from "../extension-configs.ts";
import type { RuntimeSnapshot } from "../runtime-layers.ts";
import type { InternalNetwork } from "../tls/internal-network.ts";
import type { TransportFactory } from "../tls/transport-factory.ts";
import type { ClusterManager } from "../upstream/types.ts";
import type { SharedCells } from "../workers/shared-cells.ts";
import type { DrainStrategy } from "./drain-state.ts";
import type { ListenerModel } from "./model.ts";

export interface ListenerManagerDeps {
  readonly runtime: Runtime;
  /** The root of all statistics. */
  readonly scope: StatsScope;
  readonly node: NodeInfo;
  readonly clusters: ClusterManager;
  readonly transports: TransportFactory;
  readonly filters: NetworkFilterRegistry;
  /** RDS by name; a listener warms until each of its routes has been there once. */
  readonly routes: RouteConfigProvider;
  readonly accessLogs: AccessLogSinks;
  /** ECDS by name; a listener warms until each has come, failed, or has its default. */
  readonly extensionConfigs?: ExtensionConfigProvider | undefined;
  /** Runtime keys of filters and routes; absent: the defaults of the messages are in force. */
  readonly runtimeSnapshot?: RuntimeSnapshot | undefined;
  /** `/healthcheck/fail` has been asked for. */
  readonly isHealthCheckFailed?: (() => boolean) | undefined;
  /** `--drain-time-s`. */
  readonly drainTimeMs: number;
  /** Where internal listeners are reached; absent: there are none. */
  readonly internal?: InternalNetwork | undefined;
  /** How connections of an old version end. Default `gradual`. */
  readonly drainStrategy?: DrainStrategy | undefined;
  /** `envoy.resource_limits.listener.<name>.connection_limit`. */
  readonly connectionLimit?: ((listenerName: string) => number | undefined) | undefined;
  /** `overload.global_downstream_max_connections`. */
  readonly globalConnectionLimit?: number | undefined;
  /** Connections are counted for the whole process; absent: this thread serves alone. */
  readonly sharedCells?: SharedCells | undefined;
  /** Where a redirected connection was going; the system's answer by default. */
  readonly originalDestination?: ((connection: Connection) => SocketAddress | undefined) | undefined;
}

export interface ListenerView {
  readonly name: string;
  readonly isDynamic: boolean;
  readonly version: string;
  readonly updatedMs: number;
  readonly message: Listener;
  readonly state: "active" | "warming" | "draining";
  /** The addresses that are bound, ports being the real ones. */
  readonly addresses: readonly SocketAddress[];
  readonly trafficDirection: ListenerModel["trafficDirection"];
}

/** An update that was refused, for `/config_dump`. */
export interface ListenerErrorView {
  readonly message: Listener;
  readonly version: string;
  readonly updatedMs: number;
  readonly problems: readonly Problem[];
}

export interface DrainOptions {
  /** True (default): no new connections from now on. False: only wind up what is there (`skip_exit`). */
  readonly stopsListening?: boolean;
  readonly inboundOnly?: boolean;
  /**
   * True (default): idle connections are closed at once where the strategy is immediate, and all at the end of the drain
   * time. False: each ends with its next response, and none before, as Envoy's `/drain_listeners` has it.
   */
  readonly endsConnections?: boolean;
  /** Default: `immediate`. */
  readonly strategy?: DrainStrategy;
}

export interface ListenerManager {
  /** Problems of level `error`: the listener is refused, what was there stays. */
  addOrUpdate(message: Message, version: string, options: { readonly dynamic: boolean }): Parsed<void>;
  /** False when there is no such dynamic listener. */
  remove(name: string): boolean;
  /** From now on listeners that are ready are opened. Resolves when those of now accept; problems: those that could not. */
  start(): Promise<readonly Problem[]>;
  /** Resolves when every connection is gone: of its own accord, or closed at the end of the drain time. */
  drain(options?: DrainOptions): Promise<void>;
  /** Closes everything at once. */
  close(): void;
  listeners(): readonly ListenerView[];
  errors(): ReadonlyMap<string, ListenerErrorView>;
  /** Calls back once no listener is warming. */
  onceReady(callback: () => void): void;
}
