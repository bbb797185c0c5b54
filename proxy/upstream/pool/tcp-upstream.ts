/** A TCP connection to a host: counted, timed, and with the user's handler on top (L-48, R-123). */
import type { Connection, ConnectionHandler, SocketAddress, TlsInfo } from "#lib/connection.ts";
import type { Timer } from "#lib/runtime.ts";
import type { TrafficStats } from "../cluster-stats.ts";
import type { UpstreamHost } from "../host.ts";
import type { PoolOptions, ResourceManager } from "../types.ts";
import type { PoolEnvironment } from "./pool-environment.ts";
import { connectHost } from "./target.ts";

/** Opens a connection, unless the circuit breaker is open. */
export function connectTcp(
  host: UpstreamHost,
  options: PoolOptions,
  handler: ConnectionHandler,
  environment: PoolEnvironment,
): Connection | "overflow" {
  const resources = environment.resources(options.priority);
  const stats = environment.stats();
  if (!resources.connections.canCreate() || host.stats.cxActive >= environment.maxConnectionsPerHost) {
    stats.cxOverflow.inc();
    return "overflow";
  }
  const connection = new TcpUpstream(host, handler, environment, stats, resources);
  connection.open(options);
  return connection;
}

/** Stands between the transport's connection and its user, so that a change of handler loses no count. */
class TcpUpstream implements Connection, ConnectionHandler {
  handler: ConnectionHandler;
  #inner: Connection | undefined = undefined;
  #isConnected = false;
  #isClosedLocally = false;
  #hasTimedOut = false;
  #connectTimer: Timer | undefined = undefined;
  readonly #startedAt: number;
  readonly #host: UpstreamHost;
  readonly #environment: PoolEnvironment;
  readonly #stats: TrafficStats;
  readonly #resources: ResourceManager;

  constructor(
    host: UpstreamHost,
    handler: ConnectionHandler,
    environment: PoolEnvironment,
    stats: TrafficStats,
    resources: ResourceManager,
  ) {
    this.handler = handler;
    this.#host = host;
    this.#environment = environment;
    this.#stats = stats;
    this.#resources = resources;
    this.#startedAt = environment.clock.monotonic();
  }

  open(options: PoolOptions): void {
    const host = this.#host;
    const { transports, clock, connectTimeoutMs } = this.#environment;
    this.#resources.connections.inc();
    (host.tcpConnections ??= new Set()).add(this);
    // A connection waits for itself, as a request for one.
    this.#stats.rqPendingTotal.inc();
    this.#stats.rqPendingActive.inc();
    this.#stats.cxTotal.inc();
    this.#stats.cxActive.inc();
    host.stats.cxTotal++;
    host.stats.cxActive++;
    this.#connectTimer = clock.wheel.schedule(connectTimeoutMs, () => {
      this.#hasTimedOut = true;
      this.#stats.cxConnectTimeout.inc();
      this.destroy(new Error("connection timeout"));
    });
    this.#inner = connectHost(transports.transportOf(host), host, options, this, this.#environment);
  }

  // From the transport.

  onConnect(): void {
    this.#connectTimer?.cancel();
    this.#isConnected = true;
    this.#stats.rqPendingActive.dec();
    // A TCP connection is what a request is to HTTP.
    this.#stats.rqTotal.inc();
    this.#stats.rqActive.inc();
    this.#host.stats.rqTotal++;
    this.#host.stats.rqActive++;
    this.#stats.cxConnectMs.record(this.#environment.clock.monotonic() - this.#startedAt);
    this.handler.onConnect?.();
  }

  onData(chunk: Buffer): void {
    this.#stats.cxRxBytes.add(chunk.length);
    this.handler.onData(chunk);
  }

  onEnd(): void {
    if (this.handler.onEnd === undefined) this.end();
    else this.handler.onEnd();
  }

  onDrain(): void {
    this.handler.onDrain?.();
  }

  onClose(error?: Error): void {
    this.#connectTimer?.cancel();
    this.#resources.connections.dec();
    this.#host.tcpConnections?.delete(this);
    this.#stats.cxActive.dec();
    this.#host.stats.cxActive--;
    if (this.#isConnected) {
      this.#stats.rqActive.dec();
      this.#host.stats.rqActive--;
      this.#stats.cxLengthMs.record(this.#environment.clock.monotonic() - this.#startedAt);
    } else {
      this.#stats.rqPendingActive.dec();
      if (!this.#isClosedLocally || this.#hasTimedOut) this.#stats.rqPendingFailureEject.inc();
      this.#stats.cxConnectFail.inc();
      this.#host.stats.cxConnectFail++;
    }
    this.#stats.countDestroyed(this.#isClosedLocally, this.#isConnected);
    this.handler.onClose(error);
  }

  // To the transport.

  get id(): number {
    return this.#inner?.id ?? 0;
  }
  get localAddress(): SocketAddress {
    return this.#inner?.localAddress ?? noAddress;
  }
  get remoteAddress(): SocketAddress {
    return this.#host.address;
  }
  get tls(): TlsInfo | undefined {
    return this.#inner?.tls;
  }
  get bufferedBytes(): number {
    return this.#inner?.bufferedBytes ?? 0;
  }
  get isClosed(): boolean {
    return this.#inner?.isClosed ?? false;
  }

  write(data: string | Buffer): boolean {
    this.#stats.cxTxBytes.add(data.length);
    return this.#inner?.write(data) ?? false;
  }

  end(): void {
    this.#isClosedLocally = true;
    this.#inner?.end();
  }

  destroy(error?: Error): void {
    this.#isClosedLocally = true;
    this.#inner?.destroy(error);
  }

  reset(): void {
    this.#isClosedLocally = true;
    this.#inner?.reset();
  }

  pause(): void {
    this.#inner?.pause();
  }

  resume(): void {
    this.#inner?.resume();
  }

  unshift(chunk: Buffer): void {
    this.#inner?.unshift(chunk);
  }
}

const noAddress: SocketAddress = { kind: "ip", address: "0.0.0.0", port: 0 };
