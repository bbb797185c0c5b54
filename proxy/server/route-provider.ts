/** Route configurations over RDS: each name is subscribed to once and compiled once, however many listeners use it. */
import type { Runtime } from "#lib/runtime.ts";
import { createMessage } from "#protos/registry.ts";
import type { RouteConfiguration } from "#protos/gen/envoy/config/route/v3/route_pb.js";
import type { HttpFilterFactory } from "../http/filter.ts";
import type { RouteConfigProvider } from "../network/filter.ts";
import type { StatsScope } from "../observability/stats.ts";
import { parseRouteConfiguration } from "../router/parse-route-config.ts";
import type { RouteTable } from "../router/types.ts";
import type { ClusterManager } from "../upstream/types.ts";
import { createSubscriptionStats } from "../xds/subscription-stats.ts";
import { TypeUrl, type XdsClient, type XdsSubscription } from "../xds/types.ts";
import type { ConfigRecords } from "./config-records.ts";

export interface RouteProviderDeps {
  readonly runtime: Runtime;
  /** Undefined: there is no management server, so that no route configuration ever comes. */
  readonly xds: XdsClient | undefined;
  readonly clusters: ClusterManager;
  readonly filters: readonly HttpFilterFactory[];
  readonly records: ConfigRecords;
  /** For subscribers that name no scope of their own. */
  readonly scope: StatsScope;
}

/** 0: as Istio has it, a listener waits for its routes. */
const FETCH_TIMEOUT_MS = 0;

/** The provider of one proxy. */
export function createRouteProvider(deps: RouteProviderDeps): RouteConfigProvider {
  const routes = new Map<string, SharedRoute>();
  return {
    subscribe(name, onUpdate, scope = deps.scope) {
      let route = routes.get(name);
      if (route === undefined) {
        route = new SharedRoute(name, { ...deps, scope }, () => routes.delete(name));
        routes.set(name, route);
      }
      return route.subscribe(onUpdate);
    },
  };
}

class SharedRoute {
  readonly #name: string;
  readonly #deps: RouteProviderDeps;
  readonly #subscribers = new Set<(table: RouteTable) => void>();
  readonly #onUnused: () => void;
  readonly #scope: StatsScope;
  #subscription: XdsSubscription | undefined = undefined;
  #table: RouteTable | undefined = undefined;

  constructor(name: string, deps: RouteProviderDeps, onUnused: () => void) {
    this.#name = name;
    this.#deps = deps;
    this.#onUnused = onUnused;
    this.#scope = deps.scope.scope("rds").scope(name);
    this.#subscription = deps.xds?.resource(TypeUrl.route, name, this.#watcher(), FETCH_TIMEOUT_MS);
    if (deps.xds === undefined)
      deps.runtime.log
        .child("config")
        .error(`route configuration ${name} can't be fetched: the bootstrap has no ads_config`);
  }

  subscribe(onUpdate: (table: RouteTable) => void): { close(): void } {
    this.#subscribers.add(onUpdate);
    if (this.#table !== undefined) onUpdate(this.#table);
    return {
      close: () => {
        if (!this.#subscribers.delete(onUpdate) || this.#subscribers.size > 0) return;
        this.#subscription?.close();
        this.#scope.dispose();
        this.#deps.records.remove(this.#name);
        this.#onUnused();
      },
    };
  }

  #watcher(): Parameters<XdsClient["resource"]>[2] {
    const { records, clusters, filters } = this.#deps;
    return {
      stats: createSubscriptionStats(this.#scope),
      onResource: ({ message, version }) => {
        const { value, problems } = parseRouteConfiguration(message, { clusters, filters, validateClusters: false });
        if (value === undefined) {
          records.refuse(this.#name, message, version, problems);
          return problems;
        }
        records.accept(this.#name, message, version);
        this.#publish(value);
        return problems;
      },
      onAbsent: () => {
        // A configuration that was there stays in force; one that never came answers 404.
        if (this.#table === undefined) this.#publish(this.#empty());
      },
    };
  }

  #publish(table: RouteTable): void {
    this.#table = table;
    for (const onUpdate of this.#subscribers) onUpdate(table);
  }

  #empty(): RouteTable {
    const message = createMessage<RouteConfiguration>("envoy.config.route.v3.RouteConfiguration", { name: this.#name });
    const { value } = parseRouteConfiguration(message, { filters: [] });
    if (value === undefined) throw new Error("an empty route configuration is valid");
    return value;
  }
}
