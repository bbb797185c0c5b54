/**
 * A proxy of several threads: this one has the command line, the streams to management servers, the identity, the admin
 * interface and the log; each worker is a whole proxy on the same ports. Here they are started, joined and wound up.
 */
import { MessageChannel, Worker } from "node:worker_threads";
import { formatAddress, type SocketAddress } from "#lib/connection.ts";
import { MeshError, type Problem } from "#lib/problem.ts";
import type { Logger, Runtime, Timer } from "#lib/runtime.ts";
import type { AdminServer } from "../admin/admin-server.ts";
import type { ServerState } from "../admin/server-endpoints.ts";
import type { BootstrapModel } from "../bootstrap/model.ts";
import type { WorkloadIdentity } from "../identity/workload-identity.ts";
import type { StatsStore } from "../observability/stats-store.ts";
import type { ProxyOptions } from "../options.ts";
import type { ProxyServer } from "../server.ts";
import { createManagementServers, type ManagementServers } from "../server/management-servers.ts";
import { createStatsSettings, type StatsSettings } from "../server/stats-settings.ts";
import { TypeUrl } from "../xds/types.ts";
import { Line } from "./line.ts";
import type { MainOperations, WorkerOperations, WorkerSeed } from "./operations.ts";
import { PortAgreements } from "./port-agreements.ts";
import { createSharedMemory } from "./shared-cells.ts";
import type { WorkerData } from "./worker.ts";
import { startWorkersAdmin } from "./workers-admin.ts";
import { XdsRelay, type MainLine } from "./xds-relay.ts";

export interface WorkersServerDeps {
  readonly runtime: Runtime;
  readonly bootstrap: BootstrapModel;
  readonly options: ProxyOptions;
  /** What a worker runs: the program itself. */
  readonly main: URL;
  /** The text of the bootstrap's file, read once for all. */
  readonly text: string | undefined;
  /** Takes the log lines of the workers. */
  readonly writeLog: (line: string) => void;
  /** A worker has ended by itself, or is stuck: the process can't go on. */
  readonly onCrash: (reason: string) => void;
}

/** Starts the threads; each reads what the bootstrap holds. Rejects with a `MeshError` that names what is wrong. */
export async function createWorkersServer(deps: WorkersServerDeps): Promise<ProxyServer> {
  const { runtime, bootstrap } = deps;
  if (process.platform !== "linux")
    throw new MeshError(
      "concurrency",
      "--concurrency above 1 needs ports that several sockets share, which only Linux has; leave the flag out",
    );
  const settings = createStatsSettings(bootstrap.stats.config);
  const servers = createManagementServers(runtime, bootstrap, settings.store);
  await openServers(servers, bootstrap);
  let identity: WorkloadIdentity | undefined;
  if (bootstrap.identity !== undefined) {
    const { startIdentity, followTrust } = await import("../server/identity.ts");
    identity = startIdentity(bootstrap.identity, runtime, settings.store.root);
    if (servers.ads !== undefined) followTrust(servers.ads, identity);
  }
  const server = new WorkersServer(deps, settings, servers, identity);
  await server.create();
  return server;
}

/** What is wrong with the sources of the bootstrap is said here: workers only have their names. */
async function openServers(servers: ManagementServers, bootstrap: BootstrapModel): Promise<void> {
  const { ads, cds, lds, runtimeLayers } = bootstrap;
  const sources = [
    { source: cds, typeUrl: TypeUrl.cluster, path: "dynamic_resources.cds_config" },
    { source: lds, typeUrl: TypeUrl.listener, path: "dynamic_resources.lds_config" },
    ...runtimeLayers.map((layer, index) => ({
      source: layer.kind === "rtds" ? layer.source : undefined,
      typeUrl: TypeUrl.runtime,
      path: `layered_runtime.layers[${index}].rtds_layer.rtds_config`,
    })),
  ];
  if (ads === undefined && sources.every(({ source }) => source === undefined)) return;
  const loaded = await servers.load();
  const problems: Problem[] = [];
  for (const { source, typeUrl, path } of sources)
    if (source !== undefined) problems.push(...loaded.open(source, typeUrl, path).problems);
  if (problems.length > 0) throw new MeshError("bootstrap", "the bootstrap can't be used", problems);
}

class WorkersServer implements ProxyServer {
  readonly live: Promise<void>;
  readonly stopped: Promise<void>;
  readonly #deps: WorkersServerDeps;
  readonly #settings: StatsSettings;
  readonly #servers: ManagementServers;
  readonly #identity: WorkloadIdentity | undefined;
  readonly #log: Logger;
  readonly #threads: readonly { readonly line: MainLine; readonly worker: Worker }[];
  readonly #lines: readonly MainLine[];
  readonly #relay: XdsRelay;
  readonly #ports = new PortAgreements();
  readonly #accepting = new Set<MainLine>();
  readonly #ended = new Set<MainLine>();
  #admin: AdminServer | undefined = undefined;
  #flushTimer: Timer | undefined = undefined;
  #state: ServerState = "PRE_INITIALIZING";
  #isStopping = false;
  #isOver = false;
  #onLive: () => void = () => {};
  #onDead: (error: unknown) => void = () => {};
  #onStopped: () => void = () => {};

  constructor(
    deps: WorkersServerDeps,
    settings: StatsSettings,
    servers: ManagementServers,
    identity: WorkloadIdentity | undefined,
  ) {
    this.#deps = deps;
    this.#settings = settings;
    this.#servers = servers;
    this.#identity = identity;
    this.#log = deps.runtime.log;
    this.live = new Promise((resolve, reject) => {
      this.#onLive = resolve;
      this.#onDead = reject;
    });
    // Whoever does not wait for it is no mistake.
    this.live.catch(() => undefined);
    this.stopped = new Promise((resolve) => (this.#onStopped = resolve));
    const memory = createSharedMemory();
    const bell = new Int32Array(new SharedArrayBuffer(4));
    this.#threads = Array.from({ length: deps.options.concurrency }, (_, index) => this.#thread(index, memory, bell));
    this.#lines = this.#threads.map(({ line }) => line);
    this.#relay = new XdsRelay({
      log: this.#log.child("config"),
      lines: this.#lines,
      sources: () => servers.loaded ?? servers.load(),
    });
    if (servers.loaded !== undefined) this.#relay.open(servers.loaded);
    for (const line of this.#lines) line.open(this.#handlers(line));
  }

  get stats(): StatsStore {
    return this.#settings.store;
  }

  get state(): ServerState {
    return this.#state;
  }

  get adminAddress(): SocketAddress | undefined {
    return this.#admin?.address;
  }

  /** Each worker reads the bootstrap; what one refuses all do. */
  async create(): Promise<void> {
    try {
      await Promise.all(this.#lines.map((line) => line.ask("create", undefined)));
    } catch (error) {
      await this.#end();
      throw error;
    }
  }

  async start(): Promise<void> {
    const { runtime, bootstrap, options } = this.#deps;
    if (bootstrap.admin !== undefined) {
      this.#admin = await startWorkersAdmin(bootstrap.admin, {
        runtime,
        bootstrap,
        options,
        settings: this.#settings,
        lines: this.#lines,
        quit: () => void this.stop(),
      });
      this.#log.info(`admin address: ${formatAddress(this.#admin.address)}`);
    }
    if (!bootstrap.stats.flushOnAdmin) this.#armFlush();
    this.#state = "INITIALIZING";
    await Promise.all(this.#lines.map((line) => line.ask("start", undefined)));
  }

  drainAndStop(): void {
    this.#state = "DRAINING";
    for (const line of this.#lines) line.tell("drainAndStop", undefined);
  }

  async stop(): Promise<void> {
    if (this.#isStopping) return this.stopped;
    this.#isStopping = true;
    this.#state = "DRAINING";
    for (const line of this.#lines) line.tell("stop", undefined);
    return this.stopped;
  }

  reopenLogs(): void {
    for (const line of this.#lines) line.tell("reopenLogs", undefined);
  }

  #thread(index: number, memory: SharedArrayBuffer, bell: Int32Array): { line: MainLine; worker: Worker } {
    const { options, main, text } = this.#deps;
    const { port1, port2 } = new MessageChannel();
    const seed: WorkerSeed = { index, count: options.concurrency, options, bootstrap: text, memory, bell };
    const workerData: WorkerData = { seed, port: port2 };
    const worker = new Worker(main, { workerData, transferList: [port2], name: `worker ${index}` });
    const crash = (reason: string): void => {
      if (!this.#isOver) this.#deps.onCrash(`worker ${index} ${reason}`);
    };
    worker.on("error", (error: unknown) =>
      crash(`has crashed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`),
    );
    worker.on("exit", (code) => crash(`has ended with code ${code}`));
    const line: MainLine = new Line<MainOperations, WorkerOperations>(port1, bell, (error) =>
      crash(`has asked for what failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`),
    );
    return { line, worker };
  }

  #handlers(line: MainLine): Parameters<MainLine["open"]>[0] {
    return {
      subscribe: (key) => this.#relay.subscribe(line, key),
      unsubscribe: (key) => this.#relay.unsubscribe(line, key),
      pause: (key) => this.#relay.pause(line, key),
      resume: (key) => this.#relay.resume(line, key),
      identity: ({ name }) => void this.#identity?.subscribe(name, (secret) => line.tell("secret", { name, secret })),
      log: (text) => this.#deps.writeLog(text),
      port: (key) => this.#ports.portOf(key),
      bound: ({ key, port }) => this.#ports.bound(key, port),
      released: (key) => this.#ports.released(key),
      ejected: (host) => {
        for (const other of this.#lines) if (other !== line) other.tell("ejected", host);
      },
      accepting: () => this.#onAccepting(line),
      dead: ({ message, problems }) => this.#onDead(new MeshError("listener-address", message, problems)),
      stopped: () => this.#onWorkerStopped(line),
    };
  }

  /** The last one makes the proxy live. */
  #onAccepting(line: MainLine): void {
    this.#accepting.add(line);
    if (this.#accepting.size < this.#lines.length) return;
    this.#state = "LIVE";
    for (const one of this.#lines) one.tell("listening", undefined);
    this.#onLive();
  }

  #onWorkerStopped(line: MainLine): void {
    this.#ended.add(line);
    if (this.#ended.size < this.#lines.length) return;
    this.#end().then(
      () => this.#onStopped(),
      (error: unknown) => this.#deps.onCrash(String(error)),
    );
  }

  #armFlush(): void {
    const { runtime, bootstrap } = this.#deps;
    this.#flushTimer = runtime.clock.setTimer(bootstrap.stats.flushIntervalMs, () => {
      this.#settings.store.flush();
      for (const line of this.#lines) line.tell("flush", undefined);
      this.#armFlush();
    });
  }

  async #end(): Promise<void> {
    this.#isOver = true;
    this.#flushTimer?.cancel();
    this.#relay.close();
    this.#servers.close();
    this.#identity?.close();
    await this.#admin?.close();
    for (const { line } of this.#threads) line.close();
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
  }
}
