/** The translation as the ADS server uses it: pure, sorted, everything of one proxy at a time. */
import type { Problem } from "#lib/problem.ts";
import type { MeshIndex } from "../model/mesh-index.ts";
import type { ProxyNode } from "../model/proxy-node.ts";
import { clusters } from "./clusters.ts";
import { endpoints } from "./endpoints.ts";
import { wasmConfigs } from "./wasm-configs.ts";
import { addedExtensionConfigs } from "./envoy-filter/extension-configs.ts";
import { grpcClusters } from "./grpc-clusters.ts";
import { grpcListeners } from "./grpc-listeners.ts";
import { isProxyless } from "./grpc-proxyless.ts";
import { grpcRoutes } from "./grpc-routes.ts";
import { byText, nonEmpty, type JsonObject } from "./json.ts";
import { listeners } from "./listeners.ts";
import { nameTable } from "./name-table.ts";
import { outboundView } from "./outbound-class.ts";
import { routes } from "./routes.ts";
import { secretResources } from "./secret-resources.ts";
import type { ProxyConfigSnapshot, Translated, Translator } from "./types.ts";
import { type View, viewOf } from "./view.ts";

export function createTranslator(): Translator {
  const translated = (mesh: MeshIndex, proxy: ProxyNode, build: (view: View) => readonly JsonObject[]): Translated => {
    const view = viewOf(mesh, proxy);
    const resources = build(view);
    return {
      resources,
      problems: once([...view.problems, ...sharedProblems(view)]),
      leftOut: new Set([...view.leftOut, ...outboundView(view).leftOut]),
    };
  };
  return {
    clusters: (mesh, proxy, names) => translated(mesh, proxy, (view) => clustersOf(view, names)),
    endpoints: (mesh, proxy, names) => translated(mesh, proxy, (view) => endpoints(view, names)),
    listeners: (mesh, proxy, names) => translated(mesh, proxy, (view) => listenersOf(view, names)),
    routes: (mesh, proxy, names) => translated(mesh, proxy, (view) => routesOf(view, names)),
    secrets: (mesh, proxy, names, identity) =>
      translated(mesh, proxy, (view) => secretResources(view, names, identity)),
    extensionConfigs: (mesh, proxy, names) => translated(mesh, proxy, (view) => extensionConfigs(view, names)),
    nameTable: (mesh, proxy) =>
      translated(mesh, proxy, (view) => {
        const table = nameTable(view);
        return table === undefined ? [] : [table];
      }),
    snapshot: (mesh, proxy) => snapshotOf(viewOf(mesh, proxy)),
  };
}

function clustersOf(view: View, names: readonly string[] | undefined): readonly JsonObject[] {
  return isProxyless(view.proxy) ? grpcClusters(view, names ?? []) : clusters(view);
}

function listenersOf(view: View, names: readonly string[] | undefined): readonly JsonObject[] {
  return isProxyless(view.proxy) ? grpcListeners(view, names) : listeners(view);
}

function routesOf(view: View, names: readonly string[]): readonly JsonObject[] {
  return isProxyless(view.proxy) ? grpcRoutes(view, names) : routes(view, names);
}

function snapshotOf(view: View): ProxyConfigSnapshot {
  const allListeners = listenersOf(view, undefined);
  const allRoutes = routesOf(view, rdsNames(allListeners));
  const allClusters = clustersOf(view, isProxyless(view.proxy) ? clusterNames(allRoutes) : undefined);
  return {
    clusters: allClusters,
    endpoints: endpoints(view, edsNames(allClusters)),
    listeners: allListeners,
    routes: allRoutes,
    extensionConfigs: nonEmpty(extensionConfigs(view, ecdsNames(allListeners))),
    nameTable: nameTable(view),
    problems: once([...view.problems, ...sharedProblems(view)]),
  };
}

/** Sorted by name. */
function extensionConfigs(view: View, names: readonly string[]): readonly JsonObject[] {
  const all = [...addedExtensionConfigs(view, names), ...wasmConfigs(view, names)];
  return all.toSorted((a, b) => byText(String(a["name"]), String(b["name"])));
}

function edsNames(all: readonly JsonObject[]): readonly string[] {
  return all.flatMap((cluster) => {
    const eds = cluster["edsClusterConfig"] as { readonly serviceName?: string } | undefined;
    return eds?.serviceName === undefined ? [] : [eds.serviceName];
  });
}

/** The clusters that routes lead to. */
function clusterNames(all: readonly JsonObject[]): readonly string[] {
  const names = new Set<string>();
  for (const { virtualHosts } of all) {
    for (const { routes: own } of asList(virtualHosts)) {
      for (const { route } of asList(own)) {
        const { cluster, weightedClusters } = (route ?? {}) as JsonObject;
        if (typeof cluster === "string") names.add(cluster);
        const { clusters: weighted } = (weightedClusters ?? {}) as JsonObject;
        for (const { name } of asList(weighted)) names.add(String(name));
      }
    }
  }
  return [...names];
}

/** The names of the route configurations that connection managers fetch. */
function rdsNames(all: readonly JsonObject[]): readonly string[] {
  const names = new Set<string>();
  const add = (manager: unknown): void => {
    const { rds } = (manager ?? {}) as { readonly rds?: { readonly routeConfigName: string } };
    if (rds !== undefined) names.add(rds.routeConfigName);
  };
  for (const listener of all) {
    add((listener["apiListener"] as JsonObject | undefined)?.["apiListener"]);
    const chains = [
      ...asList(listener["filterChains"]),
      ...asList(listener["defaultFilterChain"] && [listener["defaultFilterChain"]]),
    ];
    for (const chain of chains) {
      for (const filter of asList(chain["filters"])) {
        add(filter["typedConfig"]);
      }
    }
  }
  return [...names];
}

/** The names of filters that listeners fetch. */
function ecdsNames(all: readonly JsonObject[]): readonly string[] {
  const names = new Set<string>();
  const look = (value: unknown): void => {
    if (Array.isArray(value)) return value.forEach(look);
    if (typeof value !== "object" || value === null) return;
    const fields = value as JsonObject;
    if (fields["configDiscovery"] !== undefined && typeof fields["name"] === "string") names.add(fields["name"]);
    Object.values(fields).forEach(look);
  };
  look(all);
  return [...names];
}

function asList(value: unknown): readonly JsonObject[] {
  return Array.isArray(value) ? value : [];
}

/** What was found when the proxy's class was translated. */
function sharedProblems(view: View): readonly Problem[] {
  const shared = outboundView(view);
  return shared === view ? [] : shared.problems;
}

/** The same finding comes from every subset and port of an object. */
function once(problems: readonly Problem[]): readonly Problem[] {
  const seen = new Map(problems.map((problem) => [`${problem.object}|${problem.path}|${problem.message}`, problem]));
  return [...seen.values()];
}
