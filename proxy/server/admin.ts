/** The admin interface over the parts of one proxy. The pages themselves are loaded with it. */
import { MeshError } from "#lib/problem.ts";
import { messageToJson } from "#protos/json.ts";
import type { AdminServer } from "../admin/admin-server.ts";
import type { AdminEndpoint } from "../admin/endpoint.ts";
import type { ServerView } from "../admin/server-endpoints.ts";
import type { AdminModel } from "../bootstrap/model.ts";
import { parseAccessLogs } from "../observability/access-log/parse.ts";
import { optionsJson } from "../options.ts";
import type { ServerParts } from "./parts.ts";
import { clusterViews, endpointDumps } from "./cluster-views.ts";
import { ConfigRecords } from "./config-records.ts";
import { dumpSections, type DumpInputs } from "./dump-sections.ts";
import { inlineRoutes } from "./inline-routes.ts";
import { VERSION } from "./version.ts";

/** What only the server itself can do. */
export type ServerActions = Pick<ServerView, "state" | "unready" | "failHealthCheck" | "drainListeners" | "quit">;

/** Binds the interface. Rejects with a `MeshError` when its address can't be had. */
export async function createAdmin(parts: ServerParts, model: AdminModel, actions: ServerActions): Promise<AdminServer> {
  const { startAdminServer } = await import("../admin/admin-server.ts");
  const { runtime, accessLogs } = parts;
  const logs = parseAccessLogs(model.accessLog, "admin.access_log");
  if (logs.value === undefined)
    throw new MeshError("admin-access-log", "the admin access log can't be used", logs.problems);
  return startAdminServer({
    address: model.address,
    log: runtime.log.child("admin"),
    clock: runtime.clock,
    accessLog: accessLogs.logger(logs.value),
    endpoints: await adminPages(parts, actions),
  });
}

/** The pages about the parts of one server. */
export async function adminPages(parts: ServerParts, actions: ServerActions): Promise<readonly AdminEndpoint[]> {
  const { clustersEndpoint } = await import("../admin/clusters-endpoint.ts");
  const { configDumpEndpoint } = await import("../admin/config-dump.ts");
  const { loggingEndpoint } = await import("../admin/logging-endpoint.ts");
  const { serverEndpoints } = await import("../admin/server-endpoints.ts");
  const { statsEndpoints } = await import("../admin/stats-endpoints.ts");
  const { runtime, bootstrap, clusters, settings } = parts;
  return [
    ...serverEndpoints(serverView(parts, actions)),
    ...statsEndpoints({
      ...settings,
      refresh() {
        if (bootstrap.stats.flushOnAdmin) settings.store.flush();
        refreshStats(parts);
      },
    }),
    clustersEndpoint(() => clusterViews(clusters.all())),
    configDumpEndpoint(({ includeEds }) => dumpSections(dumpInputs(parts), includeEds)),
    loggingEndpoint(runtime.log),
  ];
}

/** Brings gauges up to date that are only read. */
export function refreshStats(parts: ServerParts): void {
  parts.serverStats.refresh({
    daysUntilFirstCertificateExpires: parts.secrets.daysUntilFirstExpires(),
    connections: openConnections(parts),
  });
}

function serverView(parts: ServerParts, actions: ServerActions): ServerView {
  const { runtime, bootstrap, options, listeners, secrets, accessLogs, startedMs } = parts;
  return {
    ...actions,
    version: VERSION,
    uptimeSeconds: () => (runtime.clock.now() - startedMs) / 1000,
    options: optionsJson(options),
    node: messageToJson(bootstrap.node, { snakeCase: true }) as ServerView["node"],
    listeners: () =>
      listeners
        .listeners()
        .filter(({ state }) => state === "active")
        .map(({ name, addresses }) => ({ name, addresses })),
    certificates: () => secrets.certificates(),
    reopenLogs: () => accessLogs.reopen(),
    runtime: parts.runtimeLayers,
  };
}

function dumpInputs(parts: ServerParts): DumpInputs {
  const { bootstrap, startedMs, runtime, clusters, listeners, clusterRecords, listenerRecords, routeRecords, secrets } =
    parts;
  const managed = clusters.all();
  const routes = new ConfigRecords(runtime.clock);
  for (const [name, record] of routeRecords.dynamic) routes.dynamic.set(name, record);
  for (const [name, record] of routeRecords.refused) routes.refused.set(name, record);
  for (const { message, updatedMs } of listeners.listeners())
    for (const route of inlineRoutes([message]))
      routes.fixed.set(`${routes.fixed.size}`, {
        name: route.name,
        message: route,
        version: "",
        lastUpdatedMs: updatedMs,
      });
  return {
    bootstrap: bootstrap.message,
    bootstrapLoadedMs: startedMs,
    clusters: clusterRecords,
    warmingClusters: new Set(managed.filter(({ state }) => state === "warming").map(({ name }) => name)),
    listeners: listenerRecords,
    warmingListeners: new Set(
      listeners
        .listeners()
        .filter(({ state }) => state === "warming")
        .map(({ name }) => name),
    ),
    routes,
    extensions: parts.extensionRecords,
    endpoints: endpointDumps(managed),
    secrets: secrets.entries(),
  };
}

/** Of all listeners. */
function openConnections({ settings }: ServerParts): number {
  return settings.store
    .gauges()
    .filter(
      ({ name }) =>
        name.startsWith("listener.") && name.endsWith(".downstream_cx_active") && !name.includes(".worker_"),
    )
    .reduce((sum, { value }) => sum + value, 0);
}
