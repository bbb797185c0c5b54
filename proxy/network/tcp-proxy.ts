/** `envoy.filters.network.tcp_proxy`: bytes both ways between a downstream connection and one of a cluster. */
import type { Connection, ConnectionHandler } from "#lib/connection.ts";
import type { Timer } from "#lib/runtime.ts";
import { byteString, xxHash64 } from "#lib/xxhash64.ts";
import type { AccessLogger, AccessLogType } from "../observability/access-log/types.ts";
import { ExponentialBackOff } from "../router/back-off.ts";
import { ResponseFlag } from "../stream-info.ts";
import { downstreamFacts } from "../upstream/downstream-facts.ts";
import type { Cluster, Host, LbContext, PoolOptions } from "../upstream/types.ts";
import type { ConnectionFilter, DownstreamConnection, NetworkFilterContext, NetworkFilterFactory } from "./filter.ts";
import { createExchangeSide, type ExchangeSide, type MetadataExchangeConfig } from "./metadata-exchange.ts";
import { parseTcpProxy, type TcpHashPolicy, type TcpProxyConfig, type WeightedTcpCluster } from "./tcp-proxy-config.ts";
import { connectTunnel } from "./tunnel.ts";
import { createTcpProxyStats, type TcpProxyStats } from "./tcp-proxy-stats.ts";

export const tcpProxy: NetworkFilterFactory<TcpProxyConfig> = {
  name: "envoy.filters.network.tcp_proxy",
  typeUrls: ["type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"],
  isTerminal: true,
  parse: parseTcpProxy,
  create(config, context) {
    const shared: Shared = {
      config,
      context,
      stats: createTcpProxyStats(context.rootScope, config.statPrefix),
      logger: context.accessLogs.logger(config.accessLogs),
      exchanges: new WeakMap(),
    };
    return (downstream) => new TcpProxySession(shared, downstream);
  },
};

interface Shared {
  readonly config: TcpProxyConfig;
  readonly context: NetworkFilterContext;
  readonly stats: TcpProxyStats;
  readonly logger: AccessLogger | undefined;
  /** What the metadata exchange of a cluster says, encoded once. */
  readonly exchanges: WeakMap<MetadataExchangeConfig, ExchangeSide>;
}

/** How long a peer may take nothing of what is queued for it, once the other side is gone. */
const PLAIN_POOL_OPTIONS: PoolOptions = { priority: "default", protocol: "auto" };

const FLUSH_LOOK_MS = 1000;

/** One downstream connection, from its first byte to its log line. */
class TcpProxySession implements ConnectionFilter, ConnectionHandler {
  readonly #shared: Shared;
  readonly #downstream: DownstreamConnection;
  readonly #connection: Connection;
  #cluster: Cluster | undefined;
  #choice: WeightedTcpCluster | undefined;
  #upstream: Upstream | undefined;
  #isConnected = false;
  #attempts = 0;
  #isDone = false;
  #idleTimer: Timer | undefined;
  #durationTimer: Timer | undefined;
  #logTimer: Timer | undefined;
  #connectTimer: Timer | undefined;
  #backOff: ExponentialBackOff | undefined;
  #early: Buffer[] | undefined;
  #earlyBytes = 0;
  #isEarlyEnd = false;
  #lastActivity = 0;

  constructor(shared: Shared, downstream: DownstreamConnection) {
    this.#shared = shared;
    this.#downstream = downstream;
    this.#connection = downstream.connection;
  }

  onNewConnection(): "continue" | "stop" {
    const { config, context, stats } = this.#shared;
    stats.downstreamCxTotal.inc();
    this.#connection.handler = this;
    // Nothing is read before there is somebody to pass it to, unless that is asked for.
    if (config.maxEarlyDataBytes === 0) this.#connection.pause();
    if (config.maxConnectionDurationMs > 0) {
      const { clock, random } = context.runtime;
      const jitter = 1 + (config.durationJitter === 0 ? 0 : (random.float() * config.durationJitter) / 100);
      this.#durationTimer = clock.wheel.schedule(Math.floor(config.maxConnectionDurationMs * jitter), () => {
        stats.maxDownstreamConnectionDuration.inc();
        this.#fail(ResponseFlag.DurationTimeout, "");
      });
    }
    const choice = clusterOfState(this.#downstream.filterState) ?? pickCluster(config, context.runtime.random.uint32());
    this.#choice = choice;
    this.#cluster = choice === undefined ? undefined : context.clusters.get(choice.name);
    if (this.#cluster === undefined) {
      stats.downstreamCxNoRoute.inc();
      this.#fail(ResponseFlag.NoClusterFound, "");
      return "stop";
    }
    this.#downstream.info.cluster = this.#cluster;
    this.#connect(this.#cluster);
    return "stop";
  }

  #connect(cluster: Cluster): void {
    const { info } = this.#downstream;
    this.#attempts += 1;
    info.attemptCount = this.#attempts;
    const host = cluster.chooseHost(this.#lbContext());
    if (host === undefined) {
      cluster.stats.cxNoneHealthy.inc();
      this.#fail(ResponseFlag.NoHealthyUpstream, "");
      return;
    }
    info.upstreamHost = host;
    const upstream = new Upstream(this, host);
    this.#upstream = upstream;
    const connection = this.#open(cluster, host, upstream);
    if (connection === "overflow") {
      this.#upstream = undefined;
      this.#fail(ResponseFlag.UpstreamOverflow, "");
      return;
    }
    upstream.connection = connection;
    info.upstreamConnection = connection;
  }

  #open(cluster: Cluster, host: Host, upstream: Upstream): Connection | "overflow" {
    const { tunneling } = this.#shared.config;
    const { info } = this.#downstream;
    const options = this.#poolOptions(cluster);
    if (tunneling === undefined || isTunnelingDisabled(info.filterState))
      return cluster.tcpConnect(host, options, upstream);
    return connectTunnel(cluster, host, options, tunneling, info, upstream);
  }

  #poolOptions({ wantsDownstream = false }: Cluster): PoolOptions {
    return wantsDownstream
      ? { priority: "default", protocol: "auto", downstream: downstreamFacts(this.#downstream.info, undefined) }
      : PLAIN_POOL_OPTIONS;
  }

  #lbContext(): LbContext {
    const { originalDestination, connection } = this.#downstream;
    const hash = hashOf(this.#shared.config.hash, connection, this.#downstream.filterState);
    return { hash, metadataMatch: this.#choice?.metadataMatch, originalDestination };
  }

  onUpstreamConnect(upstream: Upstream): void {
    const { config, context } = this.#shared;
    this.#isConnected = true;
    this.#exchangeMetadata(upstream);
    this.#sendEarly(upstream);
    if (config.logOnConnected) this.#log("TcpUpstreamConnected");
    if (config.logIntervalMs > 0) this.#logPeriodically(config.logIntervalMs);
    if (config.idleTimeoutMs > 0) {
      this.#lastActivity = context.runtime.clock.monotonic();
      this.#armIdleTimer(config.idleTimeoutMs);
    }
    this.#connection.resume();
  }

  #sendEarly(upstream: Upstream): void {
    const early = this.#early;
    this.#early = undefined;
    if (early !== undefined) for (const chunk of early) upstream.connection?.write(chunk);
    if (this.#isEarlyEnd) upstream.connection?.end();
  }

  /** What comes before the upstream connection stands; beyond the limit the client has to wait. */
  #keepEarly(chunk: Buffer): void {
    if (this.#early === undefined) this.#shared.stats.earlyDataReceived.inc();
    (this.#early ??= []).push(Buffer.from(chunk));
    this.#earlyBytes += chunk.length;
    if (this.#earlyBytes >= this.#shared.config.maxEarlyDataBytes) this.#connection.pause();
  }

  /** Where the cluster asks for it and the server has agreed, each side says who it is before the first byte. */
  #exchangeMetadata(upstream: Upstream): void {
    const exchange = this.#cluster?.metadataExchange;
    const { context, exchanges } = this.#shared;
    if (exchange === undefined || upstream.connection === undefined) return;
    let side = exchanges.get(exchange);
    if (side === undefined) {
      side = createExchangeSide(exchange, context.node, context.rootScope);
      exchanges.set(exchange, side);
    }
    upstream.connection = side.wrap(upstream.connection, this.#downstream.filterState);
  }

  onData(chunk: Buffer): void {
    if (this.#isDone) return;
    const { info } = this.#downstream;
    info.bytesReceived += chunk.length;
    this.#shared.stats.downstreamCxRxBytesTotal.add(chunk.length);
    this.#touch();
    if (!this.#isConnected) return this.#keepEarly(chunk);
    const { config, context } = this.#shared;
    if (config.checksDrainClose && context.isDraining()) return this.drain();
    const upstream = this.#upstream?.connection;
    // Borrowed: the write below may outlive this call.
    if (upstream === undefined || upstream.write(Buffer.from(chunk))) return;
    this.#shared.stats.flowControlPausedReading.inc();
    this.#connection.pause();
  }

  onUpstreamData(chunk: Buffer, upstream: Connection): void {
    if (this.#isDone) return;
    const { info } = this.#downstream;
    info.bytesSent += chunk.length;
    this.#shared.stats.downstreamCxTxBytesTotal.add(chunk.length);
    this.#touch();
    if (!this.#connection.write(Buffer.from(chunk))) upstream.pause();
  }

  onDrain(): void {
    this.#upstream?.connection?.resume();
  }

  onUpstreamDrain(): void {
    if (this.#isDone) return;
    this.#shared.stats.flowControlResumedReading.inc();
    this.#connection.resume();
  }

  /** The client has no more to say; the other side may still. */
  onEnd(): void {
    if (this.#isConnected) this.#upstream?.connection?.end();
    else this.#isEarlyEnd = true;
  }

  /** The listener winds up its connections. */
  drain(): void {
    if (this.#shared.config.checksDrainClose && !this.#isDone) this.#fail(0, "drain_close");
  }

  onUpstreamEnd(): void {
    if (!this.#isDone) this.#connection.end();
  }

  onClose(): void {
    const connection = this.#upstream?.connection;
    this.#upstream = undefined;
    if (!this.#isDone && !this.#isConnected) {
      this.#downstream.info.setFlag(ResponseFlag.DownstreamConnectionTermination);
    }
    // What the client sent before it left still goes out.
    if (connection !== undefined) {
      if (this.#isConnected) this.#flushAndClose(connection);
      else connection.destroy();
    }
    this.#finish();
  }

  onUpstreamClose(upstream: Upstream, error: Error | undefined): void {
    if (upstream !== this.#upstream) return;
    this.#upstream = undefined;
    if (this.#isConnected) {
      this.#finish();
      this.#flushAndClose(this.#connection);
      return;
    }
    const { config } = this.#shared;
    const { info } = this.#downstream;
    info.setFlag(ResponseFlag.UpstreamConnectionFailure);
    info.upstreamTransportFailureReason = error?.message ?? "";
    if (this.#cluster !== undefined && this.#attempts < config.maxConnectAttempts) {
      this.#connectAgain(this.#cluster);
      return;
    }
    this.#cluster?.stats.cxConnectAttemptsExceeded.inc();
    this.#fail(ResponseFlag.UpstreamRetryLimitExceeded, "");
  }

  #connectAgain(cluster: Cluster): void {
    const { config, context } = this.#shared;
    if (config.backOff === undefined) {
      this.#connect(cluster);
      return;
    }
    const { clock, random } = context.runtime;
    this.#backOff ??= new ExponentialBackOff(config.backOff.baseMs, config.backOff.maxMs);
    this.#connectTimer = clock.wheel.schedule(this.#backOff.next(random.uint32()), () => {
      if (!this.#isDone) this.#connect(cluster);
    });
  }

  /** Ends a connection whose other side is gone: what is queued goes out first, as long as it moves. */
  #flushAndClose(connection: Connection): void {
    connection.end();
    connection.resume();
    const closeWhenFlushed = (before: number): void => {
      const left = connection.bufferedBytes;
      if (left === 0 || left === before) connection.destroy();
      else this.#shared.context.runtime.clock.wheel.schedule(FLUSH_LOOK_MS, () => closeWhenFlushed(left));
    };
    closeWhenFlushed(-1);
  }

  #touch(): void {
    if (this.#idleTimer !== undefined) this.#lastActivity = this.#shared.context.runtime.clock.monotonic();
  }

  /** One timer for many bytes: when it fires early it is set again for the rest. */
  #armIdleTimer(delayMs: number): void {
    const { clock } = this.#shared.context.runtime;
    this.#idleTimer = clock.wheel.schedule(delayMs, () => {
      const left = this.#lastActivity + this.#shared.config.idleTimeoutMs - clock.monotonic();
      if (left > 0) {
        this.#armIdleTimer(left);
        return;
      }
      this.#shared.stats.idleTimeout.inc();
      this.#fail(0, "");
    });
  }

  #logPeriodically(intervalMs: number): void {
    this.#logTimer = this.#shared.context.runtime.clock.wheel.schedule(intervalMs, () => {
      this.#log("TcpPeriodic");
      this.#logPeriodically(intervalMs);
    });
  }

  #fail(flag: number, details: string): void {
    const { info } = this.#downstream;
    info.setFlag(flag);
    if (details !== "") info.connectionTerminationDetails = details;
    const upstream = this.#upstream?.connection;
    this.#upstream = undefined;
    upstream?.destroy();
    this.#finish();
    this.#connection.destroy();
  }

  #finish(): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#idleTimer?.cancel();
    this.#durationTimer?.cancel();
    this.#logTimer?.cancel();
    this.#connectTimer?.cancel();
    this.#downstream.info.end = this.#shared.context.runtime.clock.monotonic();
    this.#log("TcpConnectionEnd");
  }

  #log(accessLogType: AccessLogType): void {
    this.#shared.logger?.log({ info: this.#downstream.info, accessLogType });
  }
}

/** The upstream side's handler. Until the handshake is done its connection takes no bytes. */
class Upstream implements ConnectionHandler {
  connection: Connection | undefined;
  readonly #session: TcpProxySession;
  readonly #host: Host;
  #isConnected = false;

  constructor(session: TcpProxySession, host: Host) {
    this.#session = session;
    this.#host = host;
  }

  onConnect(): void {
    this.#isConnected = true;
    this.#host.outlier.putLocalOrigin("connect-success");
    this.#session.onUpstreamConnect(this);
  }

  onData(chunk: Buffer): void {
    // Once the client is gone, what still comes is dropped.
    if (this.connection !== undefined) this.#session.onUpstreamData(chunk, this.connection);
  }

  onDrain(): void {
    this.#session.onUpstreamDrain();
  }

  onEnd(): void {
    this.#session.onUpstreamEnd();
  }

  onClose(error?: Error): void {
    if (!this.#isConnected) this.#host.outlier.putLocalOrigin("connect-failed");
    this.#session.onUpstreamClose(this, error);
  }
}

/** `random` is uniform in [0, 2^32). */
function pickCluster({ clusters, totalWeight }: TcpProxyConfig, random: number): WeightedTcpCluster | undefined {
  if (clusters.length === 1) return clusters[0];
  let left = random % totalWeight;
  for (const cluster of clusters) {
    if (left < cluster.weight) return cluster;
    left -= cluster.weight;
  }
  return undefined;
}

/** `envoy.tcp_proxy.disable_tunneling` of the connection's filter state: straight to the host. */
function isTunnelingDisabled(filterState: ReadonlyMap<string, unknown> | undefined): boolean {
  const value = filterState?.get("envoy.tcp_proxy.disable_tunneling");
  return value === true || value === "true";
}

function hashOf(
  policy: TcpHashPolicy | undefined,
  { remoteAddress }: Connection,
  filterState: ReadonlyMap<string, unknown>,
): bigint | undefined {
  if (policy === undefined) return undefined;
  if (policy.kind === "source-ip")
    return remoteAddress.kind === "ip" ? xxHash64(byteString(remoteAddress.address)) : undefined;
  const value = filterState.get(policy.key);
  return typeof value === "string" ? xxHash64(byteString(value)) : undefined;
}

/** `envoy.tcp_proxy.cluster` of the connection's filter state names another cluster than the configuration. */
function clusterOfState(filterState: ReadonlyMap<string, unknown> | undefined): WeightedTcpCluster | undefined {
  const name = filterState?.get("envoy.tcp_proxy.cluster");
  return typeof name === "string" && name !== "" ? { name, weight: 1, metadataMatch: undefined } : undefined;
}
