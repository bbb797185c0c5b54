/** One downstream connection from the choice of its filter chain to its end. */
import type { Connection, ConnectionHandler, SocketAddress } from "#lib/connection.ts";
import type { Runtime, Timer } from "#lib/runtime.ts";
import type { ConnectionFilter, DownstreamConnection } from "../network/filter.ts";
import { FilteredConnection } from "../network/filtered-connection.ts";
import type { AccessLogger } from "../observability/access-log/types.ts";
import { StreamInfo } from "../stream-info.ts";
import type { ActiveFilterChain, DrainableConnection } from "./active-filter-chain.ts";
import type { AcceptedFacts } from "./listener-filters.ts";
import type { ListenerStats } from "./listener-stats.ts";

/** What all connections of a listener share. */
export interface ListenerConnectionContext {
  readonly runtime: Runtime;
  readonly stats: ListenerStats;
  readonly accessLog: AccessLogger | undefined;
  /** The connection is over. */
  readonly onEnd: () => void;
}

const IDLE: ConnectionHandler = { onData() {}, onClose() {} };

export class ListenerConnection implements DownstreamConnection, DrainableConnection {
  connection: Connection;
  readonly startMs: number;
  readonly originalDestination: SocketAddress;
  readonly filterChainName: string;
  readonly requestedServerName: string;
  applicationProtocol: string | undefined;
  readonly dynamicMetadata: Map<string, Record<string, unknown>>;
  readonly filterState: Map<string, unknown>;
  readonly info: StreamInfo = new StreamInfo();
  readonly #context: ListenerConnectionContext;
  readonly #chain: ActiveFilterChain;
  /** Filters before the terminal one; the terminal one last. */
  #filters: readonly ConnectionFilter[] = [];
  #handshakeTimer: Timer | undefined = undefined;
  #isOver = false;

  constructor(context: ListenerConnectionContext, chain: ActiveFilterChain, raw: Connection, facts: AcceptedFacts) {
    const { clock } = context.runtime;
    this.#context = context;
    this.#chain = chain;
    this.connection = raw;
    this.startMs = clock.monotonic();
    this.originalDestination = facts.localAddress;
    this.filterChainName = chain.model.name;
    this.requestedServerName = facts.serverName;
    this.applicationProtocol = facts.applicationProtocols[0];
    this.dynamicMetadata = facts.dynamicMetadata;
    this.filterState = facts.filterState;
    const { info } = this;
    info.startTimeMs = clock.now();
    info.start = this.startMs;
    info.connection = raw;
    info.downstreamLocalAddress = facts.localAddress;
    info.filterChainName = chain.model.name;
    info.requestedServerName = facts.serverName;
    info.dynamicMetadata = this.dynamicMetadata;
    info.filterState = this.filterState;
  }

  /** `bytes` is what listener filters have read. */
  start(bytes: Buffer | undefined, facts: AcceptedFacts): void {
    const { stats, runtime } = this.#context;
    const chain = this.#chain;
    stats.cxTotal.inc();
    stats.cxActive.inc();
    stats.workerCxTotal.inc();
    stats.workerCxActive.inc();
    chain.connections.add(this);
    const raw = this.connection;
    if (bytes !== undefined) {
      raw.pause();
      raw.unshift(bytes);
    }
    const timeoutMs = chain.model.transportSocketConnectTimeoutMs;
    if (timeoutMs > 0 && chain.transport.isSecure)
      this.#handshakeTimer = runtime.clock.wheel.schedule(timeoutMs, () => this.#onHandshakeTimeout());
    chain.transport.accept(
      raw,
      (connection) => this.#onTransportReady(connection, bytes !== undefined && connection === raw),
      (reason) => this.#onTransportFailure(reason),
      facts.transportProtocol === "tls"
        ? { serverName: facts.serverName, alpn: facts.applicationProtocols }
        : undefined,
    );
  }

  drain(): void {
    for (const filter of this.#filters) filter.drain?.();
  }

  closeNow(reason: string): void {
    this.info.connectionTerminationDetails ||= reason;
    this.connection.destroy();
  }

  #onHandshakeTimeout(): void {
    this.#context.stats.transportSocketConnectTimeout.inc();
    this.info.connectionTerminationDetails = "transport socket timeout was reached";
    this.info.downstreamTransportFailureReason = "transport socket timeout was reached";
    this.connection.destroy();
    this.#over();
  }

  #onTransportFailure(reason: string): void {
    this.info.downstreamTransportFailureReason ||= reason;
    this.#over();
  }

  #onTransportReady(connection: Connection, isPaused: boolean): void {
    this.#handshakeTimer?.cancel();
    if (this.#isOver) {
      connection.destroy();
      return;
    }
    this.connection = connection;
    this.info.connection = connection;
    connection.onGone = () => this.#over();
    const alpn = connection.tls?.alpn;
    if (alpn !== undefined) this.applicationProtocol = alpn;
    // Before the filters: one of them may pause it again for reasons of its own.
    if (isPaused) connection.resume();
    this.#makeFilters(connection);
    this.#startFilters(0);
  }

  #makeFilters(connection: Connection): void {
    const made: ConnectionFilter[] = [];
    for (const { factory, isTerminal } of this.#chain.filters) {
      if (isTerminal) {
        const passing = made.filter((filter) => filter.onRead !== undefined || filter.onWrite !== undefined);
        if (passing.length > 0) this.connection = new FilteredConnection(connection, passing);
      }
      const filter = factory(this);
      if (filter !== undefined) made.push(filter);
    }
    this.#filters = made;
  }

  #startFilters(from: number): void {
    const filters = this.#filters;
    for (let index = from; index < filters.length; index++) {
      if (this.#isOver || this.connection.isClosed) return;
      const status = filters[index]?.onNewConnection(() => this.#startFilters(index + 1));
      if (status === "stop") return;
    }
    // A chain of no filters has nobody to talk to.
    if (filters.length === 0) this.connection.destroy();
  }

  #over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#handshakeTimer?.cancel();
    const { stats, runtime, accessLog, onEnd } = this.#context;
    // The terminal filter has heard it as the connection's handler.
    const chainFilters = this.#chain.filters;
    const last = chainFilters.at(-1)?.isTerminal === true ? this.#filters.length - 1 : this.#filters.length;
    for (let index = 0; index < last; index++) this.#filters[index]?.onClose?.();
    const now = runtime.clock.monotonic();
    if (this.info.end === 0) this.info.end = now;
    stats.cxActive.dec();
    stats.workerCxActive.dec();
    stats.cxDestroy.inc();
    stats.cxLengthMs.record(Math.floor(now - this.startMs));
    accessLog?.log({ info: this.info });
    this.connection.handler = IDLE;
    this.#chain.remove(this);
    onEnd();
  }
}
