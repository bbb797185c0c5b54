/** One worker: a whole proxy in a thread, on what the main thread gives it. */
import { threadId, workerData } from "node:worker_threads";
import type { MessagePort } from "node:worker_threads";
import { nodeRuntime } from "#lib/node-runtime.ts";
import { MeshError, type Problem } from "#lib/problem.ts";
import type { Runtime } from "#lib/runtime.ts";
import type { AdminEndpoint } from "../admin/endpoint.ts";
import { createProxyServer, type ThreadServer } from "../server.ts";
import { componentLoggers } from "../server/loggers.ts";
import { parseBootstrapText } from "../server/read-bootstrap.ts";
import type { SecretProvider } from "../tls/types.ts";
import { Line } from "./line.ts";
import type { MainOperations, PageAnswer, PageQuestion, WorkerOperations, WorkerSeed } from "./operations.ts";
import { RelayedServers, type WorkerLine } from "./relayed-xds.ts";
import { openSharedCells } from "./shared-cells.ts";
import { snapshotOf } from "./stats-snapshot.ts";
import { WorkerNetwork } from "./worker-network.ts";

/** What a thread is started with. */
export interface WorkerData {
  readonly seed: WorkerSeed;
  readonly port: MessagePort;
}

/** Answers the main thread until it ends this thread. */
export function runWorker(): void {
  const { seed, port } = workerData as WorkerData;
  const line: WorkerLine = new Line<WorkerOperations, MainOperations>(port, seed.bell, (error) => {
    // Whatever fails here is a mistake of ours: the process ends with it.
    throw error;
  });
  const worker = new WorkerThread(seed, line);
  line.open(worker.handlers());
}

class WorkerThread {
  readonly #seed: WorkerSeed;
  readonly #line: WorkerLine;
  readonly #runtime: Runtime;
  #servers: RelayedServers | undefined = undefined;
  #server: ThreadServer | undefined = undefined;
  #pages: readonly AdminEndpoint[] = [];
  readonly #secrets = new Map<string, Set<(secret: WorkerOperations["secret"]["takes"]["secret"]) => void>>();
  #onAllAccept: () => void = () => {};

  constructor(seed: WorkerSeed, line: WorkerLine) {
    this.#seed = seed;
    this.#line = line;
    const { logLevel, componentLogLevels } = seed.options;
    this.#runtime = {
      ...nodeRuntime({ logLevel, writeLog: (text) => line.tell("log", text) }),
      network: new WorkerNetwork(seed.index === 0, {
        portOf: (key) => line.ask("port", key),
        bound: (key, port) => line.tell("bound", { key, port }),
        released: (key) => line.tell("released", key),
      }),
    };
    componentLoggers(this.#runtime.log, componentLogLevels);
  }

  handlers(): Parameters<WorkerLine["open"]>[0] {
    const server = (): ThreadServer => {
      if (this.#server === undefined) throw new Error(`worker ${threadId} has no server yet`);
      return this.#server;
    };
    return {
      create: () => this.#create(),
      start: () => server().start(),
      update: (update) => this.#servers?.update(update) ?? [],
      refused: (refused) => this.#servers?.refuse(refused),
      disconnected: (stream) => this.#servers?.disconnected(stream),
      secret: ({ name, secret }) => {
        for (const onUpdate of this.#secrets.get(name) ?? []) onUpdate(secret);
      },
      pages: () =>
        this.#pages.map(({ path, help, mutates = false, parameters = [] }) => ({
          path,
          help,
          mutates,
          parameters: [...parameters],
        })),
      page: (question) => this.#page(question),
      stats: () => {
        server().refreshStats();
        return snapshotOf(server().stats, this.#seed.index);
      },
      // Hosts count in objects of their own classes: copied field by field.
      clusters: () => JSON.parse(JSON.stringify(server().clusters())) as ReturnType<ThreadServer["clusters"]>,
      flush: () => server().stats.flush(),
      listening: () => this.#onAllAccept(),
      levels: (levels) => {
        for (const [component, level] of levels)
          for (const logger of this.#runtime.log.components()) if (logger.component === component) logger.level = level;
      },
      ejected: (host) => server().adoptEjection(host),
      drainAndStop: () => server().drainAndStop(),
      stop: () => void server().stop(),
      reopenLogs: () => server().reopenLogs(),
    };
  }

  async #create(): Promise<void> {
    const { options, bootstrap: text, memory } = this.#seed;
    const { value: bootstrap, problems } = parseBootstrapText(text, options);
    if (bootstrap === undefined) throw new MeshError("bootstrap", "the bootstrap can't be used", problems);
    this.#servers = new RelayedServers(this.#line, this.#runtime.clock, bootstrap);
    this.#server = await createProxyServer({
      runtime: this.#runtime,
      bootstrap,
      options,
      seat: {
        cells: openSharedCells(memory),
        servers: this.#servers,
        identity: bootstrap.identity === undefined ? undefined : this.#identity(),
        onEjected: (host) => this.#line.tell("ejected", host),
        allAccept: () => this.#allAccept(),
      },
    });
    this.#pages = await this.#server.pages();
    this.#server.live.catch((error: unknown) => {
      const problemsOf: readonly Problem[] = error instanceof MeshError ? error.problems : [];
      this.#line.tell("dead", {
        message: error instanceof Error ? error.message : String(error),
        problems: problemsOf,
      });
    });
    this.#server.stopped.then(
      () => this.#line.tell("stopped", undefined),
      () => undefined,
    );
  }

  #allAccept(): Promise<void> {
    const all = new Promise<void>((resolve) => (this.#onAllAccept = resolve));
    this.#line.tell("accepting", undefined);
    return all;
  }

  async #page({ path, method, query }: PageQuestion): Promise<PageAnswer> {
    const page = this.#pages.find((one) => one.path === path);
    if (page === undefined) throw new Error(`no page ${path}`);
    const { status, contentType, body } = await page.handle({ method, query: new URLSearchParams(query) });
    return {
      ...(status === undefined ? {} : { status }),
      ...(contentType === undefined ? {} : { contentType }),
      body,
    };
  }

  /** The main thread has the identity; its secrets come by the line, with each rotation. */
  #identity(): SecretProvider & { close(): void } {
    const known = new Map<string, WorkerOperations["secret"]["takes"]["secret"]>();
    return {
      subscribe: (name, onUpdate) => {
        let subscribers = this.#secrets.get(name);
        if (subscribers === undefined) {
          subscribers = new Set([(secret) => known.set(name, secret)]);
          this.#secrets.set(name, subscribers);
          this.#line.tell("identity", { name });
        }
        subscribers.add(onUpdate);
        const secret = known.get(name);
        if (secret !== undefined) onUpdate(secret);
        const all = subscribers;
        return { close: () => void all.delete(onUpdate) };
      },
      close() {},
    };
  }
}
