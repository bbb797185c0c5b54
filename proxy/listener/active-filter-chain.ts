/** A filter chain at work: its transport, its filters, the connections that it has. */
import type { Parsed } from "#lib/problem.ts";
import type { ConnectionFilterFactory, NetworkFilterContext, RouteConfigProvider } from "../network/filter.ts";
import type { ExtensionConfigProvider } from "../extension-configs.ts";
import type { DownstreamTransport } from "../tls/types.ts";
import { DrainState } from "./drain-state.ts";
import type { FilterChainModel, ListenerModel, NetworkFilterModel } from "./model.ts";
import type { ListenerManagerDeps } from "./types.ts";
import type { ListenerStats } from "./listener-stats.ts";

/** A connection of a chain, as draining sees it. */
export interface DrainableConnection {
  /** Finish what is in flight, then close. */
  drain(): void;
  closeNow(reason: string): void;
}

export class ActiveFilterChain {
  readonly model: FilterChainModel;
  readonly transport: DownstreamTransport;
  readonly filters: readonly { readonly factory: ConnectionFilterFactory; readonly isTerminal: boolean }[];
  readonly drainState: DrainState;
  readonly connections: Set<DrainableConnection> = new Set();
  /** Called when the last connection of a draining chain is gone. */
  onEmpty: (() => void) | undefined = undefined;
  readonly #routes: TrackedRoutes;
  readonly #extensions: TrackedExtensions;
  #isClosed = false;

  private constructor(
    model: FilterChainModel,
    listener: ListenerModel,
    transport: DownstreamTransport,
    stats: ListenerStats,
    deps: ListenerManagerDeps,
  ) {
    this.model = model;
    this.transport = transport;
    this.drainState = new DrainState(deps.runtime);
    this.#routes = new TrackedRoutes(deps.routes);
    this.#extensions = new TrackedExtensions(deps.extensionConfigs);
    const context: NetworkFilterContext = {
      runtime: deps.runtime,
      scope: deps.scope,
      rootScope: deps.scope,
      clusters: deps.clusters,
      trafficDirection: listener.trafficDirection,
      node: deps.node,
      accessLogs: deps.accessLogs,
      runtimeSnapshot: deps.runtimeSnapshot,
      isHealthCheckFailed: deps.isHealthCheckFailed,
      listenerScope: stats.scope,
      isDraining: this.#isDraining(listener, deps),
      routes: this.#routes,
      extensionConfigs: this.#extensions,
      filterChainName: model.name,
      bufferLimitBytes: listener.bufferLimitBytes,
    };
    this.filters = model.filters.map((filter) => {
      const { factory, config } = filter;
      return filter.discovery === undefined
        ? { factory: factory.create(config, context), isTerminal: factory.isTerminal }
        : discoveredFilter(filter, context, stats);
    });
  }

  /** As in Envoy a server whose health check fails winds up, on listeners of drain type `DEFAULT`. */
  #isDraining({ drainType }: ListenerModel, { isHealthCheckFailed }: ListenerManagerDeps): () => boolean {
    const { isDraining } = this.drainState;
    if (drainType !== "default" || isHealthCheckFailed === undefined) return isDraining;
    return () => isHealthCheckFailed() || isDraining();
  }

  /** Problems: the transport socket's. */
  static open(
    model: FilterChainModel,
    listener: ListenerModel,
    stats: ListenerStats,
    deps: ListenerManagerDeps,
  ): Parsed<ActiveFilterChain> {
    const transport = deps.transports.downstream(model.transportSocket, model.transportSocketPath, stats.scope);
    if (transport.value === undefined) return { problems: transport.problems };
    return {
      value: new ActiveFilterChain(model, listener, transport.value, stats, deps),
      problems: transport.problems,
    };
  }

  /** Secrets and routes are there. */
  get isReady(): boolean {
    return this.transport.isReady && this.#routes.isReady && this.#extensions.isReady;
  }

  onReady(callback: () => void): void {
    if (this.isReady) {
      callback();
      return;
    }
    const check = (): void => {
      if (!isCalled && this.isReady) {
        isCalled = true;
        callback();
      }
    };
    let isCalled = false;
    this.transport.onReady(check);
    this.#routes.onReady(check);
    this.#extensions.onReady(check);
  }

  remove(connection: DrainableConnection): void {
    this.connections.delete(connection);
    if (this.connections.size === 0) this.onEmpty?.();
  }

  /** Gives up secrets and routes. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.transport.close();
    this.#routes.close();
    this.#extensions.close();
  }
}

/** A network filter over ECDS: new connections get the newest, without any they are closed. */
function discoveredFilter(
  { discovery, registry, factory }: NetworkFilterModel,
  context: NetworkFilterContext,
  { scope }: ListenerStats,
): { factory: ConnectionFilterFactory; readonly isTerminal: boolean } {
  const missing = scope.counter("network_extension_config_missing");
  const withoutConfig: ConnectionFilterFactory = ({ connection }) => ({
    onNewConnection() {
      missing.inc();
      connection.destroy();
      return "stop";
    },
  });
  const place = { factory: withoutConfig, isTerminal: factory.isTerminal };
  if (discovery === undefined || registry === undefined) return place;
  context.extensionConfigs?.subscribe(discovery, {
    kind: "network_filter",
    onConfig(message) {
      if (message === undefined) {
        place.factory = withoutConfig;
        return [];
      }
      const { value, problems } = registry.parseMessage(message, "typed_config", discovery.name);
      if (value !== undefined) place.factory = value.factory.create(value.config, context);
      return problems;
    },
  });
  return place;
}

/** Knows which of the extension configurations that a chain asked for have come, or are known not to. */
class TrackedExtensions implements ExtensionConfigProvider {
  readonly #provider: ExtensionConfigProvider | undefined;
  readonly #subscriptions: { close(): void }[] = [];
  readonly #waiting: (() => void)[] = [];
  #missing = 0;

  constructor(provider: ExtensionConfigProvider | undefined) {
    this.#provider = provider;
  }

  get isReady(): boolean {
    return this.#missing === 0;
  }

  onReady(callback: () => void): void {
    if (this.isReady) callback();
    else this.#waiting.push(callback);
  }

  subscribe(...[discovery, subscriber]: Parameters<ExtensionConfigProvider["subscribe"]>): { close(): void } {
    if (this.#provider === undefined) return { close() {} };
    let isThere = false;
    this.#missing++;
    const subscription = this.#provider.subscribe(discovery, {
      kind: subscriber.kind,
      onConfig: (message) => {
        const problems = subscriber.onConfig(message);
        if (!isThere && problems.every(({ level }) => level !== "error")) {
          isThere = true;
          this.#missing--;
          if (this.isReady) for (const callback of this.#waiting.splice(0)) callback();
        }
        return problems;
      },
    });
    this.#subscriptions.push(subscription);
    return subscription;
  }

  close(): void {
    for (const subscription of this.#subscriptions.splice(0)) subscription.close();
  }
}

/** Knows which of the routes that a chain asked for have come. */
class TrackedRoutes implements RouteConfigProvider {
  readonly #provider: RouteConfigProvider;
  readonly #subscriptions: { close(): void }[] = [];
  readonly #waiting: (() => void)[] = [];
  #missing = 0;

  constructor(provider: RouteConfigProvider) {
    this.#provider = provider;
  }

  get isReady(): boolean {
    return this.#missing === 0;
  }

  onReady(callback: () => void): void {
    if (this.isReady) callback();
    else this.#waiting.push(callback);
  }

  subscribe(...[name, onUpdate, scope]: Parameters<RouteConfigProvider["subscribe"]>): { close(): void } {
    let isThere = false;
    this.#missing++;
    const onTable: typeof onUpdate = (table) => {
      onUpdate(table);
      if (isThere) return;
      isThere = true;
      this.#missing--;
      if (this.isReady) for (const callback of this.#waiting.splice(0)) callback();
    };
    const subscription = this.#provider.subscribe(name, onTable, scope);
    this.#subscriptions.push(subscription);
    return subscription;
  }

  close(): void {
    for (const subscription of this.#subscriptions.splice(0)) subscription.close();
  }
}
