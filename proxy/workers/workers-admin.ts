/** The admin interface of several workers: statistics are summed, hosts merged; the first speaks for what all of them have. */
import { MeshError } from "#lib/problem.ts";
import type { Runtime } from "#lib/runtime.ts";
import type { AdminServer } from "../admin/admin-server.ts";
import { text, type AdminEndpoint, type AdminRequest, type AdminResponse } from "../admin/endpoint.ts";
import type { AdminModel, BootstrapModel } from "../bootstrap/model.ts";
import { parseAccessLogs } from "../observability/access-log/parse.ts";
import { createAccessLogs } from "../observability/access-log/sinks.ts";
import type { StatsStore } from "../observability/stats-store.ts";
import type { ProxyOptions } from "../options.ts";
import { nodeInfo } from "../server/parts.ts";
import type { StatsSettings } from "../server/stats-settings.ts";
import { mergedClusters } from "./merged-clusters.ts";
import { mergedStats } from "./merged-stats.ts";
import type { PageHead } from "./operations.ts";
import { snapshotOf } from "./stats-snapshot.ts";
import type { MainLine } from "./xds-relay.ts";

export interface WorkersAdminDeps {
  readonly runtime: Runtime;
  readonly bootstrap: BootstrapModel;
  readonly options: ProxyOptions;
  /** Those of the main thread. */
  readonly settings: StatsSettings;
  readonly lines: readonly MainLine[];
  quit(): void;
}

/** Binds the interface. Rejects with a `MeshError` when its address can't be had. */
export async function startWorkersAdmin(model: AdminModel, deps: WorkersAdminDeps): Promise<AdminServer> {
  const { startAdminServer } = await import("../admin/admin-server.ts");
  const { clustersEndpoint } = await import("../admin/clusters-endpoint.ts");
  const { loggingEndpoint } = await import("../admin/logging-endpoint.ts");
  const { statsEndpoints } = await import("../admin/stats-endpoints.ts");
  const { runtime, settings, lines } = deps;
  const heads = (await lines[0]?.ask("pages", undefined)) ?? [];
  const pages = new Map(heads.map((head) => [head.path, relayedPage(head, lines)]));
  const change = (path: string, handle: AdminEndpoint["handle"]): void => {
    const page = pages.get(path);
    if (page !== undefined) pages.set(path, { ...page, handle });
  };
  const everyWorker = (request: AdminRequest, path: string): Promise<AdminResponse> => askAll(request, path, lines);
  for (const path of ["/stats", "/stats/prometheus"])
    change(path, async (request) => {
      const view = { ...settings, store: await gather(deps), refresh() {} };
      const page = statsEndpoints(view).find((one) => one.path === path);
      return page === undefined ? text("", 404) : page.handle(request);
    });
  change("/reset_counters", (request) => {
    settings.store.resetCounters();
    return everyWorker(request, "/reset_counters");
  });
  change("/clusters", async (request) => {
    const views = await Promise.all(lines.map((line) => line.ask("clusters", undefined)));
    return clustersEndpoint(() => mergedClusters(views)).handle(request);
  });
  change("/memory", async (request) =>
    summedMemory(await Promise.all(lines.map((line) => ask(request, "/memory", line)))),
  );
  change("/logging", (request) => {
    const answer = loggingEndpoint(runtime.log).handle(request);
    const levels = runtime.log.components().map(({ component, level }) => [component, level] as const);
    for (const line of lines) line.tell("levels", levels);
    return answer;
  });
  change("/quitquitquit", () => ({ body: "OK\n", afterwards: () => deps.quit() }));
  return startAdminServer({
    address: model.address,
    log: runtime.log.child("admin"),
    clock: runtime.clock,
    accessLog: adminLog(model, deps),
    endpoints: [...pages.values()],
  });
}

function relayedPage({ path, help, mutates, parameters }: PageHead, lines: readonly MainLine[]): AdminEndpoint {
  return {
    path,
    help,
    parameters,
    mutates,
    handle: (request) => (mutates ? askAll(request, path, lines) : ask(request, path, lines[0])),
  };
}

async function ask({ method, query }: AdminRequest, path: string, line: MainLine | undefined): Promise<AdminResponse> {
  return (await line?.ask("page", { path, method, query: query.toString() })) ?? text("", 503);
}

/** What changes something does so in every worker; they answer the same. */
async function askAll(request: AdminRequest, path: string, lines: readonly MainLine[]): Promise<AdminResponse> {
  const answers = await Promise.all(lines.map((line) => ask(request, path, line)));
  return answers.find(({ status = 200 }) => status !== 200) ?? answers[0] ?? text("", 503);
}

async function gather({ settings, lines, bootstrap }: WorkersAdminDeps): Promise<StatsStore> {
  if (bootstrap.stats.flushOnAdmin) {
    settings.store.flush();
    await Promise.all(lines.map((line) => line.ask("flush", undefined)));
  }
  const snapshots = await Promise.all(lines.map((line) => line.ask("stats", undefined)));
  return mergedStats(snapshotOf(settings.store, 0), snapshots);
}

/** A heap is one thread's, the resident memory the process'. */
function summedMemory(answers: readonly AdminResponse[]): AdminResponse {
  const [first, ...others] = answers.map(({ body }) => JSON.parse(body) as Record<string, string>);
  const sums = { ...first };
  for (const other of others)
    for (const name of ["allocated", "heap_size", "pageheap_free"])
      sums[name] = String(Number(sums[name]) + Number(other[name]));
  return { contentType: "application/json", body: `${JSON.stringify(sums, undefined, 1)}\n` };
}

function adminLog(
  model: AdminModel,
  { runtime, bootstrap, options, settings }: WorkersAdminDeps,
): ReturnType<ReturnType<typeof createAccessLogs>["logger"]> {
  const logs = parseAccessLogs(model.accessLog, "admin.access_log");
  if (logs.value === undefined)
    throw new MeshError("admin-access-log", "the admin access log can't be used", logs.problems);
  const sinks = createAccessLogs({
    runtime,
    scope: settings.store.root,
    // Differs from Envoy: the clusters are the workers', so that a collector behind one is never reached from here.
    clusters: { get: () => undefined },
    node: nodeInfo(bootstrap),
    flushIntervalMs: options.fileFlushIntervalMs,
  });
  return sinks.logger(logs.value);
}
