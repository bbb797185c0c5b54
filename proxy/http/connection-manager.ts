/**
 * The network filter `envoy.filters.network.http_connection_manager`: what one configuration of it shares among its
 * connections. `server-connection.ts` is one connection, `active-stream.ts` one request.
 */
import type { Runtime } from "#lib/runtime.ts";
import type { NetworkFilterContext, NetworkFilterFactory } from "../network/filter.ts";
import type { AccessLogger } from "../observability/access-log/types.ts";
import type { RouteTable } from "../router/types.ts";
import type { RuntimeSnapshot } from "../runtime-layers.ts";
import type { StreamInfo } from "../stream-info.ts";
import { parseConnectionManager, type ConnectionManagerConfig } from "./connection-manager-config.ts";
import { connectionManagerStats, type ConnectionManagerStats } from "./connection-manager-stats.ts";
import { FilterChainFactory } from "./filter-chain.ts";
import type { ConfiguredFilter } from "./filters/configured-filters.ts";
import { discoveredEntry } from "./filters/discovered-filter.ts";
import type { HttpFilterRegistry } from "./filters/registry.ts";
import type { HeaderMap } from "./header-map.ts";
import { http2Stats } from "./http2/http2-stats.ts";
import { createHttp2Shared } from "./http2/options.ts";
import type { Http2ServerOptions } from "./http2/server-codec.ts";
import { BulkWriter } from "./http1/bulk-writer.ts";
import { FieldNames } from "./http1/field-names.ts";
import type { Http1ServerOptions } from "./http1/server-codec.ts";
import type { LocalReplyRewriter } from "./local-reply-config.ts";
import type { RequestSanitizerContext } from "./request-headers.ts";
import { ServerConnection } from "./server-connection.ts";
import type { TracingConfig } from "./tracing-config.ts";
import type { Tracer, TracingFactory } from "./tracing.ts";

export interface ConnectionManagerDeps {
  readonly filters: HttpFilterRegistry;
  /** Absent: a configuration that names a tracing provider is refused. */
  readonly tracing?: TracingFactory | undefined;
}

/** The factory of the network filter. */
export function createConnectionManagerFactory(
  deps: ConnectionManagerDeps,
): NetworkFilterFactory<ConnectionManagerConfig> {
  return {
    name: "envoy.filters.network.http_connection_manager",
    typeUrls: ["type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"],
    isTerminal: true,
    parse: (message, path) => parseConnectionManager(message, path, { filters: deps.filters, tracing: deps.tracing }),
    create(config, context) {
      const manager = new ConnectionManager(config, context);
      return (downstream) => new ServerConnection(manager, downstream);
    },
  };
}

/** `per_connection_buffer_limit_bytes` where the listener says nothing. */
const defaultBufferLimitBytes = 1024 * 1024;

export class ConnectionManager {
  readonly config: ConnectionManagerConfig;
  readonly runtime: Runtime;
  readonly runtimeSnapshot: RuntimeSnapshot | undefined;
  readonly clusters: NetworkFilterContext["clusters"];
  readonly stats: ConnectionManagerStats;
  readonly chain: FilterChainFactory;
  readonly accessLog: AccessLogger | undefined;
  readonly localReplies: LocalReplyRewriter | undefined;
  readonly sanitizer: RequestSanitizerContext;
  readonly http1: Http1ServerOptions;
  readonly http2: Http2ServerOptions;
  readonly tracing: TracingConfig | undefined;
  readonly tracer: Tracer | undefined;
  /** Of requests that leave: spans are the client's. */
  readonly isEgress: boolean;
  readonly bufferLimitBytes: number;
  readonly isDraining: () => boolean;
  /** Undefined until RDS has answered. */
  routes: RouteTable | undefined = undefined;
  readonly #upgradeChains = new Map<string, FilterChainFactory>();
  #dateSecond = 0;
  #date = "";

  constructor(config: ConnectionManagerConfig, context: NetworkFilterContext) {
    const scope = context.rootScope.scope("http").scope(config.statPrefix);
    const filterContext = { ...context, scope };
    this.config = config;
    this.runtime = context.runtime;
    this.runtimeSnapshot = context.runtimeSnapshot;
    this.clusters = context.clusters;
    this.stats = connectionManagerStats(
      scope,
      context.listenerScope.scope("http").scope(config.statPrefix),
      context.rootScope,
    );
    this.isDraining = context.isDraining;
    this.bufferLimitBytes = context.bufferLimitBytes ?? defaultBufferLimitBytes;
    const makeChain = (filters: readonly ConfiguredFilter[]): FilterChainFactory =>
      new FilterChainFactory(
        filters.map(({ name, factory, config: own, isDisabled, discovery, registry }) =>
          discovery === undefined || registry === undefined
            ? { name, isDisabled, create: factory.create(own, filterContext, name) }
            : discoveredEntry({ name, isDisabled, discovery, registry }, filterContext),
        ),
      );
    this.chain = makeChain(config.filters);
    for (const [type, { filters }] of config.upgrades)
      if (filters !== undefined) this.#upgradeChains.set(type, makeChain(filters));
    this.accessLog = context.accessLogs.logger(config.accessLogs);
    this.localReplies = config.localReplies?.create(context.runtime.random, context.runtimeSnapshot);
    this.sanitizer = {
      config: config.forwarding,
      schemeOverride: config.schemeOverride,
      random: context.runtime.random,
      hostAddress: context.runtime.network.hostAddress,
      serviceCluster: context.node.cluster,
      serviceNode: context.node.id,
    };
    this.tracer = config.tracing?.makeTracer?.(filterContext);
    this.tracing = config.tracing;
    this.isEgress = context.trafficDirection === "outbound";
    this.http1 = this.#http1Options(context);
    this.http2 = this.#http2Options(context);
    if (config.routes.kind === "inline") this.routes = config.routes.table;
    else context.routes.subscribe(config.routes.name, (table) => void (this.routes = table), scope);
  }

  /** The filters of an upgrade's type (lower case), or those of every request. */
  chainOf(upgrade: string | undefined): FilterChainFactory {
    return (upgrade === undefined ? undefined : this.#upgradeChains.get(upgrade)) ?? this.chain;
  }

  get isWaitingForRoutes(): boolean {
    return this.routes === undefined;
  }

  /** What the proxy itself says in a response. */
  finishResponseHeaders(headers: HeaderMap, request: HeaderMap, isForceTraced: boolean): void {
    const { config } = this;
    if (!headers.names.includes("date")) headers.add("date", this.#dateNow());
    if (config.serverHeader === "overwrite") headers.set("server", config.serverName);
    else if (config.serverHeader === "append-if-absent" && !headers.has("server"))
      headers.add("server", config.serverName);
    if (config.forwarding.alwaysSetRequestIdInResponse || isForceTraced) {
      const id = request.get("x-request-id");
      if (id !== undefined) headers.set("x-request-id", id);
    }
    if (config.forwarding.via !== "") {
      const via = headers.getJoined("via");
      headers.set("via", via === undefined ? config.forwarding.via : `${via}, ${config.forwarding.via}`);
    }
  }

  /** 100 or 103 of an upstream went downstream. */
  countInformational(): void {
    const { stats } = this;
    stats.rqCompleted.inc();
    stats.rqByClass[0]?.inc();
    stats.listenerRqCompleted.inc();
    stats.listenerRqByClass[0]?.inc();
  }

  /** A stream has ended: `info` is final. */
  countResponse(info: StreamInfo): void {
    const { stats } = this;
    stats.rqActive.dec();
    if (info.responseCode === 0 || info.isHealthCheck) return;
    const digit = Math.floor(info.responseCode / 100) - 1;
    stats.rqCompleted.inc();
    stats.rqByClass[digit]?.inc();
    stats.listenerRqCompleted.inc();
    stats.listenerRqByClass[digit]?.inc();
    stats.rqTime.record(Math.floor(info.end - info.start));
  }

  /** RFC 9110 date of now, made once a second. */
  #dateNow(): string {
    const now = this.runtime.clock.now();
    const second = Math.floor(now / 1000);
    if (second !== this.#dateSecond) {
      this.#dateSecond = second;
      this.#date = new Date(now).toUTCString();
    }
    return this.#date;
  }

  #http1Options(context: NetworkFilterContext): Http1ServerOptions {
    const { config } = this;
    const dropped = context.rootScope.scope("http1").counter("dropped_headers_with_underscores");
    return {
      ...config.http1,
      names: new FieldNames(),
      bulk: new BulkWriter(),
      maxRequestHeadersBytes: config.maxRequestHeadersBytes,
      maxHeadersCount: config.maxHeadersCount,
      headersWithUnderscores: config.underscores,
      onUnderscoreDropped: () => dropped.inc(),
      sentBytes: this.stats.cxTxBytesTotal,
    };
  }

  #http2Options(context: NetworkFilterContext): Http2ServerOptions {
    const { config, stats } = this;
    const { clock, random } = context.runtime;
    return {
      ...config.http2,
      maxRequestHeadersBytes: config.maxRequestHeadersBytes,
      maxHeadersCount: config.maxHeadersCount,
      headersWithUnderscores: config.underscores,
      drainMs: config.timeouts.drainMs,
      drainJitter: config.timeouts.drainJitter,
      shared: createHttp2Shared(http2Stats(context.rootScope)),
      clock,
      random: () => random.float(),
      atEndOfTurn: (flush) => clock.atEndOfTurn(flush),
      sentBytes: stats.cxTxBytesTotal,
      onTooManyPrematureResets: () => stats.rqTooManyPrematureResets.inc(),
    };
  }
}
