/**
 * HTTP connections to one host: ready ones on a stack (last in, first out), requests that wait in a queue. HTTP/1.1
 * carries one stream at a time, HTTP/2 as many as the peer allows (L-47, L-48, L-51).
 */
import type { StreamDecoder } from "../../http/codec.ts";
import type { UpstreamTransport } from "../../tls/types.ts";
import type { TrafficStats } from "../cluster-stats.ts";
import type { UpstreamHost } from "../host.ts";
import type {
  HttpPool,
  PoolCallbacks,
  PoolFailureReason,
  PoolOptions,
  PoolRequest,
  ResourceManager,
} from "../types.ts";
import type { PoolEnvironment } from "./pool-environment.ts";
import { PooledConnection } from "./pooled-connection.ts";
import { MAX_PRECONNECTS, needsConnection, type StreamCounts } from "./preconnect.ts";

export class HttpConnectionPool implements HttpPool {
  readonly host: UpstreamHost;
  readonly options: PoolOptions;
  readonly environment: PoolEnvironment;
  readonly stats: TrafficStats;
  readonly resources: ResourceManager;
  readonly transport: UpstreamTransport;
  /** The host has left, or its cluster: connections close once they are idle. */
  isDraining = false;
  /** Connections with room for a stream; the last is the next to be used. */
  readonly #ready: PooledConnection[] = [];
  readonly #all = new Set<PooledConnection>();
  #connecting = 0;
  #pending: PendingRequest | undefined = undefined;
  #lastPending: PendingRequest | undefined = undefined;
  #pendingCount = 0;

  constructor(host: UpstreamHost, options: PoolOptions, environment: PoolEnvironment) {
    this.host = host;
    this.options = options;
    this.environment = environment;
    this.stats = environment.stats();
    this.resources = environment.resources(options.priority);
    this.transport = environment.transports.transportOf(host);
  }

  newStream(decoder: StreamDecoder, callbacks: PoolCallbacks): PoolRequest | undefined {
    const ready = this.#ready;
    if (ready.length > 0) {
      this.#attach(ready[ready.length - 1] as PooledConnection, decoder, callbacks);
      this.#connectAhead();
      return undefined;
    }
    const { pendingRequests } = this.resources;
    if (!pendingRequests.canCreate()) {
      this.stats.rqPendingOverflow.inc();
      callbacks.onPoolFailure("overflow", "", this.host);
      return undefined;
    }
    const request = new PendingRequest(this, decoder, callbacks);
    this.#enqueue(request);
    this.#connectAsNeeded();
    this.#connectAhead();
    return request.isQueued ? request : undefined;
  }

  /** No further streams on connections that are idle now or once they are; requests that wait are still served. */
  drain(): void {
    this.isDraining = true;
    for (const connection of this.#all) connection.drain(this.#pendingCount > 0);
  }

  // What connections tell.

  onConnected(connection: PooledConnection): void {
    this.#connecting--;
    this.onRoom(connection);
  }

  /** A connection can take a stream more than before. */
  onRoom(connection: PooledConnection): void {
    if (!connection.isReady) {
      connection.isReady = true;
      this.#ready.push(connection);
    }
    while (connection.isReady && this.#pending !== undefined) {
      const request = this.#pending;
      this.#dequeue(request);
      this.#attach(connection, request.decoder, request.callbacks);
    }
    if (this.isDraining) connection.drain(false);
  }

  /** A connection takes no stream for now, or never again. */
  onFull(connection: PooledConnection): void {
    if (!connection.isReady) return;
    connection.isReady = false;
    const ready = this.#ready;
    if (ready[ready.length - 1] === connection) ready.pop();
    else ready.splice(ready.indexOf(connection), 1);
  }

  onGone(connection: PooledConnection, wasConnecting: boolean): void {
    this.onFull(connection);
    this.#all.delete(connection);
    this.resources.connections.dec();
    if (wasConnecting) this.#connecting--;
  }

  /** A connection could not be made: whoever waits hears of it (they may be retried elsewhere). */
  failPending(reason: PoolFailureReason, failure: string): void {
    // Whoever starts anew in a callback waits for a new connection.
    let request = this.#pending;
    this.#pending = undefined;
    this.#lastPending = undefined;
    for (; request !== undefined; request = request.next) {
      if (!request.isQueued) continue;
      this.#forget(request);
      this.stats.rqPendingFailureEject.inc();
      request.callbacks.onPoolFailure(reason, failure, this.host);
    }
    this.afterGone();
  }

  /** Connections have gone: those who wait may need a new one. */
  afterGone(): void {
    this.#connectAsNeeded();
    this.#leaveWhenUnused();
  }

  /** A pool that serves one downstream connection is of no use once that is gone. */
  #leaveWhenUnused(): void {
    if (this.options.downstream === undefined || this.#all.size > 0 || this.#pendingCount > 0) return;
    const index = this.host.pools.indexOf(this);
    if (index >= 0) this.host.pools.splice(index, 1);
  }

  cancel(request: PendingRequest): void {
    if (!request.isQueued) return;
    this.#dequeue(request);
    this.stats.rqCancelled.inc();
  }

  #attach(connection: PooledConnection, decoder: StreamDecoder, callbacks: PoolCallbacks): void {
    if (!this.resources.requests.canCreate()) {
      this.stats.rqPendingOverflow.inc();
      callbacks.onPoolFailure("overflow", "", this.host);
      return;
    }
    connection.startStream(decoder, callbacks);
  }

  get streamCounts(): StreamCounts {
    let [active, room] = [0, 0];
    for (const connection of this.#all) {
      active += connection.active;
      room += connection.room;
    }
    return { pending: this.#pendingCount, active, room };
  }

  /** Opens a connection ahead of a request that is likely to come here; false: there are enough, or no more may be. */
  preconnect(ratio: number): boolean {
    if (this.host.health !== "healthy" || !needsConnection(this.streamCounts, ratio, 1)) return false;
    return this.#connectOne();
  }

  /** `per_upstream_preconnect_ratio`. */
  #connectAhead(): void {
    const { perUpstreamRatio } = this.environment.preconnect;
    if (perUpstreamRatio <= 1 || this.host.health !== "healthy") return;
    for (let i = 0; i < MAX_PRECONNECTS; i++)
      if (!needsConnection(this.streamCounts, perUpstreamRatio, 0) || !this.#connectOne()) return;
  }

  /** False where the circuit breaker does not let it. */
  #connectOne(): boolean {
    const { connections } = this.resources;
    if (!connections.canCreate() || this.#all.size >= this.environment.maxConnectionsPerHost) return false;
    this.#open();
    return true;
  }

  #open(): void {
    this.resources.connections.inc();
    this.#connecting++;
    const connection = new PooledConnection(this);
    this.#all.add(connection);
    connection.connect();
  }

  /** As many connections as the waiting requests need, as far as the circuit breaker allows (one at least). */
  #connectAsNeeded(): void {
    const capacity = this.options.protocol === "http2" ? this.#streamsPerConnection : 1;
    while (this.#pendingCount > this.#connecting * capacity) {
      const { connections } = this.resources;
      const isOver = !connections.canCreate() || this.#all.size >= this.environment.maxConnectionsPerHost;
      if (isOver) this.stats.cxOverflow.inc();
      if (isOver && this.#all.size > 0) return;
      this.#open();
      if (isOver) return;
    }
  }

  /** No connection is open, and nobody waits for one. */
  get isEmpty(): boolean {
    return this.#all.size === 0 && this.#pendingCount === 0;
  }

  get #streamsPerConnection(): number {
    return this.environment.http.http2.maxConcurrentStreams;
  }

  #enqueue(request: PendingRequest): void {
    if (this.#lastPending === undefined) this.#pending = request;
    else {
      this.#lastPending.next = request;
      request.previous = this.#lastPending;
    }
    this.#lastPending = request;
    this.#pendingCount++;
    this.host.stats.rqPendingActive++;
    this.resources.pendingRequests.inc();
    this.stats.rqPendingTotal.inc();
    this.stats.rqPendingActive.inc();
  }

  #dequeue(request: PendingRequest): void {
    const { next, previous } = request;
    if (previous === undefined) this.#pending = next;
    else previous.next = next;
    if (next === undefined) this.#lastPending = previous;
    else next.previous = previous;
    this.#forget(request);
  }

  #forget(request: PendingRequest): void {
    request.isQueued = false;
    this.#pendingCount--;
    this.host.stats.rqPendingActive--;
    this.resources.pendingRequests.dec();
    this.stats.rqPendingActive.dec();
  }
}

/** A request that waits for a connection; a link of the pool's queue. */
class PendingRequest implements PoolRequest {
  readonly decoder: StreamDecoder;
  readonly callbacks: PoolCallbacks;
  isQueued = true;
  next: PendingRequest | undefined = undefined;
  previous: PendingRequest | undefined = undefined;
  readonly #pool: HttpConnectionPool;

  constructor(pool: HttpConnectionPool, decoder: StreamDecoder, callbacks: PoolCallbacks) {
    this.#pool = pool;
    this.decoder = decoder;
    this.callbacks = callbacks;
  }

  cancel(): void {
    this.#pool.cancel(this);
  }
}
