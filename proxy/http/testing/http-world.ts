/**
 * A connection manager in a simulated world: a client that speaks raw bytes on one side, upstream servers that answer
 * raw bytes on the other, virtual time between.
 */
import type { Connection } from "#lib/connection.ts";
import { simulatedRuntime, type SimulatedRuntime } from "#lib/simulated-runtime.ts";
import { messageFromJson } from "#protos/json.ts";
import type { DownstreamConnection, NetworkFilterContext } from "../../network/filter.ts";
import { compileFormat } from "../../observability/access-log/format.ts";
import type { AccessLogger } from "../../observability/access-log/types.ts";
import { createStatsStore, type StatsStore } from "../../observability/stats-store.ts";
import type { RouteTable } from "../../router/types.ts";
import { RuntimeLayers } from "../../runtime-layers.ts";
import { StreamInfo } from "../../stream-info.ts";
import { createConnectionManagerFactory } from "../connection-manager.ts";
import { standardHttpFilters } from "../filters/standard-filters.ts";
import { FakeCluster, type FakeClusterOptions } from "./fake-cluster.ts";

const hcmType = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const routerFilter = {
  name: "envoy.filters.http.router",
  typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
};

/** Proto3 JSON, snake_case or camelCase. */
export type Json = Readonly<Record<string, unknown>>;

export interface HttpWorldOptions {
  /** Added to a connection manager with one router and the given routes. */
  readonly manager?: Json;
  readonly routes?: readonly Json[];
  readonly virtualHost?: Json;
  /** Before the router. */
  readonly filters?: readonly Json[];
  readonly clusters?: readonly (Partial<FakeClusterOptions> & { readonly name: string })[];
  readonly node?: NetworkFilterContext["node"];
  readonly isDraining?: () => boolean;
  readonly isHealthCheckFailed?: () => boolean;
  readonly extensionConfigs?: NetworkFilterContext["extensionConfigs"];
  /** A static runtime layer. */
  readonly runtimeValues?: Json;
}

/** How an upstream answers a request: bytes, or what it does itself with the connection. */
export type Answer = (request: string, connection: Connection) => string | undefined;

export interface HttpWorld {
  readonly runtime: SimulatedRuntime;
  readonly stats: StatsStore;
  /** One line a stream: status, flags, details. */
  readonly log: string[];
  readonly clusters: ReadonlyMap<string, FakeCluster>;
  /** Requests as the upstreams saw them, in order. */
  readonly upstreamRequests: string[];
  /** Serves `port` of the upstream host; each request is answered by `answer`. */
  serve(port: number, answer: Answer): Promise<void>;
  connect(): Promise<RawClient>;
  /** One request on a connection of its own; what came back. */
  exchange(request: string): Promise<string>;
  counter(name: string): number;
  updateRoutes(table: RouteTable): void;
}

export class RawClient {
  received = "";
  isClosed = false;
  hasEnded = false;
  readonly connection: Connection;
  readonly #runtime: SimulatedRuntime;

  constructor(connection: Connection, runtime: SimulatedRuntime) {
    this.connection = connection;
    this.#runtime = runtime;
  }

  async send(bytes: string): Promise<string> {
    this.connection.write(bytes);
    await this.#runtime.settle();
    return this.take();
  }

  /** What has come since the last time. */
  take(): string {
    const { received } = this;
    this.received = "";
    return received;
  }
}

const plainNode: NetworkFilterContext["node"] = {
  id: "sidecar~10.0.0.1~web.ns~ns.svc.cluster.local",
  cluster: "web.ns",
  metadata: {},
  locality: { region: "", zone: "", subZone: "" },
};

export async function httpWorld(options: HttpWorldOptions = {}): Promise<HttpWorld> {
  const runtime = simulatedRuntime();
  const stats = createStatsStore();
  const log: string[] = [];
  const clusters = new Map<string, FakeCluster>();
  const upstream = runtime.at("10.0.0.2");
  for (const cluster of options.clusters ?? [{ name: "up" }]) {
    const addresses = cluster.addresses ?? [{ kind: "ip", address: "10.0.0.2", port: 80 } as const];
    clusters.set(cluster.name, new FakeCluster({ ...cluster, addresses, runtime, scope: stats.root }));
  }
  let updateRoutes: (table: RouteTable) => void = () => {};
  const context: NetworkFilterContext = {
    runtime,
    rootScope: stats.root,
    scope: stats.root,
    listenerScope: stats.root.scope("listener").scope("0.0.0.0_80"),
    clusters: { get: (name) => clusters.get(name) },
    trafficDirection: "unspecified",
    node: options.node ?? plainNode,
    isDraining: options.isDraining ?? (() => false),
    filterChainName: "",
    isHealthCheckFailed: options.isHealthCheckFailed,
    extensionConfigs: options.extensionConfigs,
    runtimeSnapshot: new RuntimeLayers(
      options.runtimeValues === undefined ? [] : [{ kind: "static", name: "base", values: options.runtimeValues }],
      createStatsStore().root,
    ),
    accessLogs: { logger: () => lineLogger(log) },
    routes: {
      subscribe(_name, onUpdate) {
        updateRoutes = onUpdate;
        return { close() {} };
      },
    },
  };
  const accept = createFilter(options, context);
  await runtime.network.listen({ address: { kind: "ip", address: "10.0.0.1", port: 80 } }, (connection) => {
    accept(downstream(connection, runtime.clock.monotonic()))?.onNewConnection(() => {});
  });
  const upstreamRequests: string[] = [];
  const world: HttpWorld = {
    runtime,
    stats,
    log,
    clusters,
    upstreamRequests,
    async serve(port, answer) {
      await upstream.network.listen({ address: { kind: "ip", address: "10.0.0.2", port } }, (connection) => {
        connection.handler = serverHandler(connection, upstreamRequests, answer);
      });
    },
    async connect() {
      const connection = runtime.at("10.0.0.9").network.connect(
        { address: { kind: "ip", address: "10.0.0.1", port: 80 } },
        {
          onData: (chunk) => void (client.received += chunk.toString("latin1")),
          onEnd: () => {
            client.hasEnded = true;
            connection.end();
          },
          onClose: () => void (client.isClosed = true),
        },
      );
      const client = new RawClient(connection, runtime);
      await runtime.settle();
      return client;
    },
    async exchange(request) {
      const client = await world.connect();
      return client.send(request);
    },
    counter: (name) => stats.counters().find((counter) => counter.name === name)?.value ?? 0,
    updateRoutes: (table) => updateRoutes(table),
  };
  return world;
}

function createFilter(
  options: HttpWorldOptions,
  context: NetworkFilterContext,
): (connection: DownstreamConnection) => { onNewConnection(resume: () => void): unknown } | undefined {
  const routes = options.routes ?? [{ match: { prefix: "/" }, route: { cluster: "up" } }];
  const parsed = messageFromJson(hcmType, {
    stat_prefix: "in",
    http_filters: [...(options.filters ?? []), routerFilter],
    ...(options.manager?.["rds"] === undefined
      ? { route_config: { virtual_hosts: [{ name: "all", domains: ["*"], routes, ...options.virtualHost }] } }
      : {}),
    ...options.manager,
  });
  if (parsed.value === undefined) throw new Error(JSON.stringify(parsed.problems));
  const factory = createConnectionManagerFactory({ filters: standardHttpFilters() });
  const config = factory.parse(parsed.value, "");
  if (config.value === undefined) throw new Error(JSON.stringify(config.problems));
  return factory.create(config.value, context);
}

function downstream(connection: Connection, startMs: number): DownstreamConnection {
  return {
    connection,
    startMs,
    originalDestination: connection.localAddress,
    filterChainName: "",
    requestedServerName: "",
    applicationProtocol: undefined,
    dynamicMetadata: new Map(),
    filterState: new Map(),
    info: new StreamInfo(),
  };
}

function lineLogger(lines: string[]): AccessLogger {
  const format = compileFormat("%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%").value;
  return { log: (context) => void lines.push(format?.(context) ?? "") };
}

/** Cuts requests with `content-length` or `0\r\n\r\n` out of the stream, and answers each. */
function serverHandler(connection: Connection, seen: string[], answer: Answer): Connection["handler"] {
  let text = "";
  return {
    onData(chunk) {
      text += chunk.toString("latin1");
      for (;;) {
        const headEnd = text.indexOf("\r\n\r\n");
        if (headEnd < 0) return;
        const end = messageEnd(text, headEnd + 4);
        if (end < 0) return;
        const request = text.slice(0, end);
        text = text.slice(end);
        seen.push(request);
        const reply = answer(request, connection);
        if (reply !== undefined) connection.write(reply);
      }
    },
    onEnd: () => connection.end(),
    onClose() {},
  };
}

function messageEnd(text: string, bodyAt: number): number {
  const head = text.slice(0, bodyAt).toLowerCase();
  const length = /\r\ncontent-length: (\d+)/.exec(head)?.[1];
  if (length !== undefined) return text.length >= bodyAt + Number(length) ? bodyAt + Number(length) : -1;
  if (!head.includes("\r\ntransfer-encoding: chunked")) return bodyAt;
  const last = text.indexOf("0\r\n\r\n", bodyAt);
  return last < 0 ? -1 : last + 5;
}
