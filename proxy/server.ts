/**
 * One proxy: every part made and joined, started in Envoy's order (X-54 … ), and wound up again. There is no
 * state outside of it, so that many proxies live in one process.
 */
import type { Message } from "@bufbuild/protobuf";
import { formatAddress, type SocketAddress } from "#lib/connection.ts";
import { formatProblem, MeshError, type Problem } from "#lib/problem.ts";
import type { Logger, Runtime, Timer } from "#lib/runtime.ts";
import type { AdminServer } from "./admin/admin-server.ts";
import type { ClusterView } from "./admin/clusters-endpoint.ts";
import type { AdminEndpoint } from "./admin/endpoint.ts";
import type { ServerState } from "./admin/server-endpoints.ts";
import type { BootstrapModel } from "./bootstrap/model.ts";
import type { ListenerManager } from "./listener/types.ts";
import type { StatsStore } from "./observability/stats-store.ts";
import type { ProxyOptions } from "./options.ts";
import { adminPages, createAdmin, refreshStats, type ServerActions } from "./server/admin.ts";
import { clusterViews } from "./server/cluster-views.ts";
import type { ConfigRecords } from "./server/config-records.ts";
import { applied, discoveryHandler } from "./server/discovery.ts";
import { createManagementServers, type ManagementServers } from "./server/management-servers.ts";
import { createParts, type ServerParts } from "./server/parts.ts";
import { subscribeRuntimeLayers, type RuntimeSource } from "./server/runtime-discovery.ts";
import { createStatsSettings, type StatsSettings } from "./server/stats-settings.ts";
import type { SecretProvider } from "./tls/types.ts";
import type { WorkerSeat } from "./workers/seat.ts";
import type { EjectedHost } from "./upstream/cluster.ts";
import type { ClusterManagerShell } from "./upstream/cluster-manager.ts";
import { createSubscriptionStats } from "./xds/subscription-stats.ts";
import type { XdsSource } from "./xds/sources.ts";
import { TypeUrl, type XdsClient, type XdsSubscription } from "./xds/types.ts";

export interface ProxyServerDeps {
  readonly runtime: Runtime;
  readonly bootstrap: BootstrapModel;
  readonly options: ProxyOptions;
  /** Where it is one of several workers of a process; absent: it serves alone. */
  readonly seat?: WorkerSeat | undefined;
}

export interface ProxyServer {
  readonly stats: StatsStore;
  readonly state: ServerState;
  /** Undefined before `start`, and without `admin` in the bootstrap. */
  readonly adminAddress: SocketAddress | undefined;
  /** Resolves when the admin interface is bound; the rest goes on. Rejects with a `MeshError`. */
  start(): Promise<void>;
  /** Resolves when the listeners accept. Rejects when a listener of the bootstrap can't. */
  readonly live: Promise<void>;
  /** Refuses new connections, lets what there is finish, and stops; at the latest after the drain time. */
  drainAndStop(): void;
  /** Ends everything at once. */
  stop(): Promise<void>;
  /** Resolves when it has ended, for whatever reason. */
  readonly stopped: Promise<void>;
  reopenLogs(): void;
}

/** A proxy in one thread, as the main thread of several workers looks into it. */
export interface ThreadServer extends ProxyServer {
  pages(): Promise<readonly AdminEndpoint[]>;
  clusters(): readonly ClusterView[];
  /** Another thread has ejected a host. */
  adoptEjection(ejected: EjectedHost): void;
  /** Brings gauges up to date that are only read. */
  refreshStats(): void;
}

/** Reads everything that the bootstrap holds; nothing is opened yet. Rejects with a `MeshError` that names what is wrong. */
export async function createProxyServer(deps: ProxyServerDeps): Promise<ThreadServer> {
  const { ads, cds, lds, runtimeLayers, identity: identityConfig } = deps.bootstrap;
  const settings = createStatsSettings(deps.bootstrap.stats.config);
  const isServing = deps.options.mode === "serve";
  const servers = deps.seat?.servers ?? createManagementServers(deps.runtime, deps.bootstrap, settings.store);
  const hasDynamicRuntime = runtimeLayers.some(({ kind }) => kind === "rtds");
  if (isServing && ((ads ?? cds ?? lds) !== undefined || hasDynamicRuntime)) await servers.load();
  let identity: Identity | undefined = deps.seat?.identity;
  let trustFollower: TrustFollower | undefined;
  if (isServing && deps.seat === undefined && identityConfig !== undefined) {
    const { startIdentity, followTrust } = await import("./server/identity.ts");
    const started = startIdentity(identityConfig, deps.runtime, settings.store.root);
    identity = started;
    trustFollower = (ads) => followTrust(ads, started);
  }
  return new Server(deps, settings, servers, identity, trustFollower);
}

/** Has the identity hear of the mesh's roots. */
type TrustFollower = (ads: XdsClient) => XdsSubscription;

/** Secrets of the workload itself. */
type Identity = SecretProvider & { close(): void };

interface Discovery {
  readonly cds: XdsSource | undefined;
  readonly lds: XdsSource | undefined;
}

class Server implements ThreadServer {
  readonly live: Promise<void>;
  readonly stopped: Promise<void>;
  readonly #parts: ServerParts;
  readonly #log: Logger;
  readonly #discovery: Discovery;
  readonly #rtds: readonly RuntimeSource[];
  readonly #subscriptions: XdsSubscription[] = [];
  readonly #servers: ManagementServers;
  readonly #identity: Identity | undefined;
  readonly #seat: WorkerSeat | undefined;
  readonly #followTrust: TrustFollower | undefined;
  #admin: AdminServer | undefined = undefined;
  #flushTimer: Timer | undefined = undefined;
  #state: ServerState = "PRE_INITIALIZING";
  #isStopping = false;
  #onLive: () => void = () => {};
  #onDead: (error: unknown) => void = () => {};
  #onStopped: () => void = () => {};

  constructor(
    deps: ProxyServerDeps,
    settings: StatsSettings,
    servers: ManagementServers,
    identity: Identity | undefined,
    followTrust: TrustFollower | undefined,
  ) {
    const { runtime, bootstrap, options, seat } = deps;
    this.#seat = seat;
    this.#log = runtime.log;
    this.#servers = servers;
    this.#identity = identity;
    this.#followTrust = followTrust;
    this.live = new Promise((resolve, reject) => {
      this.#onLive = resolve;
      this.#onDead = reject;
    });
    // Whoever does not wait for it is no mistake.
    this.live.catch(() => undefined);
    this.stopped = new Promise((resolve) => (this.#onStopped = resolve));
    const problems: Problem[] = [];
    this.#parts = createParts({ runtime, bootstrap, options, settings, servers, identity, seat }, problems);
    const { clusters, listeners } = this.#parts;
    this.#discovery = this.#openDiscovery(problems);
    this.#rtds = this.#openRuntimeSources(problems);
    this.#holdBackRoutes(true);
    this.#addStatic(problems);
    this.#setState("PRE_INITIALIZING");
    const errors = problems.filter(({ level }) => level === "error");
    for (const problem of problems) if (problem.level !== "error") this.#log.warning(formatProblem(problem));
    if (errors.length > 0) {
      listeners.close();
      clusters.close();
      servers.close();
      identity?.close();
      throw new MeshError("bootstrap", "the bootstrap can't be used", errors);
    }
  }

  get stats(): StatsStore {
    return this.#parts.settings.store;
  }

  get state(): ServerState {
    return this.#parts.health.isFailed ? "DRAINING" : this.#state;
  }

  get adminAddress(): SocketAddress | undefined {
    return this.#admin?.address;
  }

  async start(): Promise<void> {
    const { runtime, bootstrap, settings } = this.#parts;
    if (bootstrap.admin !== undefined && this.#seat === undefined) {
      this.#admin = await createAdmin(this.#parts, bootstrap.admin, this.#actions());
      this.#log.info(`admin address: ${formatAddress(this.#admin.address)}`);
    }
    const flush = (): void => {
      settings.store.flush();
      this.#flushTimer = runtime.clock.setTimer(bootstrap.stats.flushIntervalMs, flush);
    };
    if (!bootstrap.stats.flushOnAdmin && this.#seat === undefined)
      this.#flushTimer = runtime.clock.setTimer(bootstrap.stats.flushIntervalMs, flush);
    this.#parts.clusters.onceInitialized(() => this.#subscribeRuntime());
  }

  drainAndStop(): void {
    this.#setState("DRAINING");
    this.#parts.listeners.drain({ strategy: "immediate" }).then(
      () => this.stop(),
      (error: unknown) => {
        this.#log.error(`draining: ${String(error)}`);
        return this.stop();
      },
    );
  }

  async stop(): Promise<void> {
    if (this.#isStopping) return this.stopped;
    this.#isStopping = true;
    this.#setState("DRAINING");
    this.#flushTimer?.cancel();
    for (const subscription of this.#subscriptions) subscription.close();
    this.#parts.listeners.close();
    this.#parts.clusters.close();
    this.#servers.close();
    this.#identity?.close();
    await this.#admin?.close();
    await this.#parts.accessLogs.close();
    this.#onStopped();
  }

  reopenLogs(): void {
    this.#parts.accessLogs.reopen();
  }

  pages(): Promise<readonly AdminEndpoint[]> {
    return adminPages(this.#parts, this.#actions());
  }

  clusters(): readonly ClusterView[] {
    return clusterViews(this.#parts.clusters.all());
  }

  adoptEjection(ejected: EjectedHost): void {
    this.#parts.clusters.adoptEjection(ejected);
  }

  refreshStats(): void {
    refreshStats(this.#parts);
  }

  #actions(): ServerActions {
    return {
      state: () => this.state,
      unready: () => this.#unready(),
      failHealthCheck: (failed) => {
        this.#parts.health.isFailed = failed;
        this.#setState(this.#state);
      },
      drainListeners: (drain) => this.#drainListeners(drain),
      quit: () => void this.stop(),
    };
  }

  #setState(state: ServerState): void {
    this.#state = state;
    this.#parts.serverStats.setState(this.state);
  }

  // Start, in order.

  #openDiscovery(problems: Problem[]): Discovery {
    const { cds, lds } = this.#parts.bootstrap;
    const open = (source: typeof cds, typeUrl: string, path: string): XdsSource | undefined => {
      const opened = source && this.#servers.loaded?.open(source, typeUrl, path);
      if (opened === undefined) return undefined;
      problems.push(...opened.problems);
      return opened.value;
    };
    return {
      cds: open(cds, TypeUrl.cluster, "dynamic_resources.cds_config"),
      lds: open(lds, TypeUrl.listener, "dynamic_resources.lds_config"),
    };
  }

  #openRuntimeSources(problems: Problem[]): RuntimeSource[] {
    return this.#parts.bootstrap.runtimeLayers.flatMap((layer, index) => {
      if (layer.kind !== "rtds") return [];
      const path = `layered_runtime.layers[${index}].rtds_layer.rtds_config`;
      const opened = this.#servers.loaded?.open(layer.source, TypeUrl.runtime, path);
      problems.push(...(opened?.problems ?? []));
      return opened?.value === undefined
        ? []
        : [{ layer: layer.name, resourceName: layer.resourceName, source: opened.value }];
    });
  }

  #addStatic(problems: Problem[]): void {
    const { bootstrap, clusters, listeners, clusterRecords, listenerRecords } = this.#parts;
    const add = (
      kind: "clusters" | "listeners",
      messages: readonly (Message & { readonly name: string })[],
      target: ClusterManagerShell | ListenerManager,
      records: ConfigRecords,
    ): void => {
      for (const [index, message] of messages.entries()) {
        const found = applied(() => target.addOrUpdate(message, "", { dynamic: false }), this.#log);
        const prefix = `static_resources.${kind}[${index}]`;
        problems.push(
          ...found.map((problem) => ({
            ...problem,
            path: problem.path === "" ? prefix : `${prefix}.${problem.path}`,
            object: problem.object ?? `${kind.slice(0, -1)} ${message.name}`,
          })),
        );
        records.addFixed(message.name, message);
      }
    };
    add("clusters", bootstrap.clusters, clusters, clusterRecords);
    add("listeners", bootstrap.listeners, listeners, listenerRecords);
  }

  /** RTDS comes before CDS, as in Envoy: filters begin with the values that are to be in force. */
  #subscribeRuntime(): void {
    if (this.#isStopping) return;
    const { runtime, settings, runtimeLayers } = this.#parts;
    const scope = settings.store.root.scope("runtime");
    subscribeRuntimeLayers(this.#rtds, { layers: runtimeLayers, scope, log: runtime.log.child("config") }, () =>
      this.#subscribeClusters(),
    ).forEach((subscription) => this.#subscriptions.push(subscription));
  }

  /** clusters of the bootstrap, then CDS. */
  #subscribeClusters(): void {
    if (this.#isStopping) return;
    this.#setState("INITIALIZING");
    const { cds } = this.#discovery;
    const { runtime, clusters, clusterRecords, settings } = this.#parts;
    const next = (): void => clusters.onceInitialized(() => this.#subscribeListeners());
    const { ads } = this.#servers;
    if (this.#followTrust !== undefined && ads !== undefined) this.#subscriptions.push(this.#followTrust(ads));
    if (cds === undefined) {
      next();
      return;
    }
    const handler = discoveryHandler({
      kind: "cluster",
      target: clusters,
      records: clusterRecords,
      stats: createSubscriptionStats(settings.store.root.scope("cluster_manager").scope("cds")),
      log: runtime.log.child("upstream"),
      pause: () => this.#servers.ads?.pause(TypeUrl.endpoint),
      resume: () => this.#servers.ads?.resume(TypeUrl.endpoint),
      onFirst: next,
    });
    this.#subscriptions.push(cds.client.wildcard(TypeUrl.cluster, handler, cds.initialFetchTimeoutMs));
  }

  #subscribeListeners(): void {
    if (this.#isStopping) return;
    const { lds } = this.#discovery;
    const { runtime, listeners, listenerRecords, settings } = this.#parts;
    const next = (): void => {
      this.#holdBackRoutes(false);
      listeners.onceReady(() => void this.#startListeners());
    };
    if (lds === undefined) {
      next();
      return;
    }
    const handler = discoveryHandler({
      kind: "listener",
      target: listeners,
      records: listenerRecords,
      stats: createSubscriptionStats(settings.store.root.scope("listener_manager").scope("lds")),
      log: runtime.log.child("config"),
      pause: () => {
        this.#servers.ads?.pause(TypeUrl.route);
        this.#servers.ads?.pause(TypeUrl.extensionConfig);
      },
      resume: () => {
        this.#servers.ads?.resume(TypeUrl.extensionConfig);
        this.#servers.ads?.resume(TypeUrl.route);
      },
      onFirst: next,
    });
    this.#subscriptions.push(lds.client.wildcard(TypeUrl.listener, handler, lds.initialFetchTimeoutMs));
  }

  /** Listeners of the bootstrap may want routes: they are asked for after the clusters. */
  #holdBackRoutes(isHeldBack: boolean): void {
    for (const type of [TypeUrl.route, TypeUrl.extensionConfig]) {
      if (isHeldBack) this.#servers.ads?.pause(type);
      else this.#servers.ads?.resume(type);
    }
  }

  /** */
  async #startListeners(): Promise<void> {
    if (this.#isStopping) return;
    const problems = await this.#parts.listeners.start();
    const { fixed } = this.#parts.listenerRecords;
    const fatal = problems.filter(({ object }) => fixed.has(object?.replace(/^listener /, "") ?? ""));
    if (fatal.length > 0) {
      this.#onDead(new MeshError("listener-address", fatal.map(formatProblem).join("; "), fatal));
      return;
    }
    await this.#seat?.allAccept();
    if (this.#isStopping) return;
    this.#setState("LIVE");
    this.#parts.serverStats.initialized();
    this.#log.info("all listeners accept: the proxy is live");
    this.#onLive();
  }

  // While it runs.

  #unready(): { readonly name: string; readonly targets: readonly string[] }[] {
    const { clusters, listeners } = this.#parts;
    const warmingClusters = clusters.all().filter(({ state }) => state === "warming");
    const warmingListeners = listeners.listeners().filter(({ state }) => state === "warming");
    return [
      { name: "cluster_manager", targets: warmingClusters.map(({ name }) => `cluster ${name}`) },
      { name: "listener_manager", targets: warmingListeners.map(({ name }) => `listener ${name}`) },
    ];
  }

  #drainListeners(drain: {
    readonly graceful: boolean;
    readonly skipExit: boolean;
    readonly inboundOnly: boolean;
  }): void {
    const { listeners, options, runtime } = this.#parts;
    const { inboundOnly } = drain;
    const report = (done: Promise<void>): void => {
      done.then(
        () => this.#log.info("the listeners are drained"),
        (error: unknown) => this.#log.error(`draining: ${String(error)}`),
      );
    };
    const endsConnections = false;
    if (!drain.graceful) {
      report(listeners.drain({ stopsListening: !drain.skipExit, inboundOnly, endsConnections }));
      return;
    }
    // They go on accepting for the drain time, and stop then.
    report(listeners.drain({ stopsListening: false, inboundOnly, endsConnections, strategy: options.drainStrategy }));
    if (drain.skipExit) return;
    runtime.clock.setTimer(options.drainTimeSeconds * 1000, () =>
      report(listeners.drain({ inboundOnly, endsConnections })),
    );
  }
}
