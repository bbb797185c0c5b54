/** The parts of one proxy, made and joined; nothing is opened. */
import type { Problem } from "#lib/problem.ts";
import type { Runtime } from "#lib/runtime.ts";
import type { BootstrapModel } from "../bootstrap/model.ts";
import type { NodeInfo } from "../http/filter.ts";
import { createConnectionManagerFactory } from "../http/connection-manager.ts";
import { createHttpFilterRegistry } from "../http/filters/registry.ts";
import { standardHttpFilters } from "../http/filters/standard-filters.ts";
import { connectionLimits } from "../listener/connection-limits.ts";
import { createListenerManager } from "../listener/listener-manager.ts";
import type { ListenerManager } from "../listener/types.ts";
import { builtInNetworkFilters } from "../network/built-in.ts";
import { createNetworkFilterRegistry } from "../network/registry.ts";
import { createAccessLogs, type AccessLogs } from "../observability/access-log/sinks.ts";
import { istioStatsTcp } from "../observability/istio-stats/network-filter.ts";
import { createTracingFactory } from "../observability/tracing/tracing.ts";
import type { StatsScope } from "../observability/stats.ts";
import type { ProxyOptions } from "../options.ts";
import { RuntimeLayerError, RuntimeLayers } from "../runtime-layers.ts";
import { ConfigRecords } from "./config-records.ts";
import type { ManagementServers } from "./management-servers.ts";
import { createExtensionConfigProvider } from "./extension-config-provider.ts";
import { createRouteProvider } from "./route-provider.ts";
import { recordSecrets, type SecretRecords } from "./secret-records.ts";
import { createServerSecrets } from "./secrets.ts";
import { createServerStats, type ServerStats } from "./server-stats.ts";
import type { StatsSettings } from "./stats-settings.ts";
import { countedByProcess } from "../workers/counted-by-process.ts";
import type { WorkerSeat } from "../workers/seat.ts";
import type { SecretProvider } from "../tls/types.ts";
import { InternalNetwork } from "../tls/internal-network.ts";
import { createTransportFactory } from "../tls/transport-factory.ts";
import { createClusterManager, type ClusterManagerShell } from "../upstream/cluster-manager.ts";

/** Everything of one proxy; the admin pages read it. */
export interface ServerParts {
  readonly runtime: Runtime;
  readonly bootstrap: BootstrapModel;
  readonly options: ProxyOptions;
  readonly settings: StatsSettings;
  readonly serverStats: ServerStats;
  readonly runtimeLayers: RuntimeLayers;
  /** What the admin interface has said of the proxy's health. */
  readonly health: { isFailed: boolean };
  readonly accessLogs: AccessLogs;
  readonly secrets: SecretRecords;
  readonly clusters: ClusterManagerShell;
  readonly listeners: ListenerManager;
  readonly clusterRecords: ConfigRecords;
  readonly listenerRecords: ConfigRecords;
  readonly routeRecords: ConfigRecords;
  readonly extensionRecords: ConfigRecords;
  readonly startedMs: number;
}

/** What the parts are made of. */
export interface PartsDeps {
  readonly runtime: Runtime;
  readonly bootstrap: BootstrapModel;
  readonly options: ProxyOptions;
  readonly settings: StatsSettings;
  readonly servers: ManagementServers;
  readonly identity: SecretProvider | undefined;
  readonly seat: WorkerSeat | undefined;
}

/** Makes them; problems of the bootstrap's secrets are added to the list. */
export function createParts(deps: PartsDeps, problems: Problem[]): ServerParts {
  const { runtime, bootstrap, options, settings, servers, identity, seat } = deps;
  const sharedCells = seat?.cells;
  const root = settings.store.root;
  const secrets = createServerSecrets({
    runtime,
    bootstrap,
    identity,
    sources: () => servers.load(),
    ads: () => servers.ads,
  });
  problems.push(...secrets.problems);
  const records = recordSecrets(secrets.provider, runtime.clock);
  const { internalListeners } = bootstrap;
  const internal =
    internalListeners === undefined ? undefined : new InternalNetwork(runtime.clock, internalListeners.bufferBytes);
  const transports = createTransportFactory({ runtime, secrets: records.provider, scope: root, internal });
  const node = nodeInfo(bootstrap);
  const clusters = createClusterManager({
    runtime,
    scope: root,
    node,
    transports,
    xds: servers.ads,
    localClusterName: bootstrap.localClusterName,
    outlierEventLog: bootstrap.outlierEventLog,
    writeLine: (path, line) => accessLogs.writeLine(path, line),
    sharedCells,
    onEjected: seat && ((ejected) => seat.onEjected(ejected)),
  });
  const flushIntervalMs = options.fileFlushIntervalMs;
  const health = { isFailed: false };
  const runtimeLayers = openRuntimeLayers(bootstrap, root, problems);
  const accessLogs: AccessLogs = createAccessLogs({
    runtime,
    scope: root,
    clusters,
    node,
    flushIntervalMs,
    runtimeSnapshot: runtimeLayers,
    sharedCells,
  });
  const isOneOfSeveral = options.concurrency > 1;
  const httpFilters = isOneOfSeveral
    ? createHttpFilterRegistry(standardHttpFilters().all.map(countedByProcess))
    : standardHttpFilters();
  const routeRecords = new ConfigRecords(runtime.clock);
  const extensionRecords = new ConfigRecords(runtime.clock);
  const listeners = createListenerManager({
    runtime,
    scope: root,
    node,
    clusters,
    transports,
    filters: createNetworkFilterRegistry([
      createConnectionManagerFactory({ filters: httpFilters, tracing: createTracingFactory() }),
      ...(isOneOfSeveral ? builtInNetworkFilters.map(countedByProcess) : builtInNetworkFilters),
      istioStatsTcp,
    ]),
    routes: createRouteProvider({
      runtime,
      xds: servers.ads,
      clusters,
      filters: httpFilters.all,
      records: routeRecords,
      scope: root,
    }),
    accessLogs,
    internal,
    runtimeSnapshot: runtimeLayers,
    extensionConfigs: createExtensionConfigProvider({
      clock: runtime.clock,
      log: runtime.log.child("config"),
      xds: servers.ads,
      records: extensionRecords,
      scope: root,
    }),
    isHealthCheckFailed: () => health.isFailed,
    drainTimeMs: options.drainTimeSeconds * 1000,
    drainStrategy: options.drainStrategy,
    sharedCells,
    ...connectionLimits(bootstrap.runtimeLayers.flatMap((layer) => (layer.kind === "static" ? [layer.values] : []))),
  });
  return {
    runtime,
    bootstrap,
    options,
    settings,
    serverStats: createServerStats(runtime.clock, root, options.concurrency),
    health,
    runtimeLayers,
    accessLogs,
    secrets: records,
    clusters,
    listeners,
    clusterRecords: new ConfigRecords(runtime.clock),
    listenerRecords: new ConfigRecords(runtime.clock),
    routeRecords,
    extensionRecords,
    startedMs: runtime.clock.now(),
  };
}

/** A static layer that can't be used is a problem of the bootstrap. */
function openRuntimeLayers({ runtimeLayers }: BootstrapModel, root: StatsScope, problems: Problem[]): RuntimeLayers {
  try {
    return new RuntimeLayers(runtimeLayers, root);
  } catch (error) {
    if (!(error instanceof RuntimeLayerError)) throw error;
    problems.push({ code: "invalid-value", level: "error", path: "layered_runtime", message: error.message });
    return new RuntimeLayers([], root);
  }
}

/** The node of the bootstrap, as filters see it. */
export function nodeInfo({ node }: BootstrapModel): NodeInfo {
  const { region = "", zone = "", subZone = "" } = node.locality ?? {};
  return { id: node.id, cluster: node.cluster, metadata: node.metadata ?? {}, locality: { region, zone, subZone } };
}
