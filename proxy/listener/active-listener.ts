/** One version of a listener at work: accepts, lets listener filters look, chooses the filter chain. */
import { originalDestinations } from "#lib/node-original-destination.ts";
import { formatAddress, type Connection } from "#lib/connection.ts";
import type { Parsed, Problem } from "#lib/problem.ts";
import type { Listener } from "#protos/gen/envoy/config/listener/v3/listener_pb.js";
import type { Count } from "../count.ts";
import type { AccessLogger } from "../observability/access-log/types.ts";
import { ResponseFlag, StreamInfo } from "../stream-info.ts";
import { AcceptedSocket, type AcceptedSocketContext } from "./accepted-socket.ts";
import { ActiveFilterChain } from "./active-filter-chain.ts";
import { FilterChainMatcher, type ConnectionFacts } from "./filter-chain-match.ts";
import { httpInspector, tlsInspector } from "./inspectors.ts";
import { ListenerConnection } from "./listener-connection.ts";
import type { AcceptedFacts, ListenerFilter } from "./listener-filters.ts";
import { proxyProtocolFilter } from "./proxy-protocol.ts";
import { restoreOfInternal } from "./internal-original-dst.ts";
import type { ListenerManagerDeps } from "./types.ts";
import type { Passthrough } from "../tls/internal-network.ts";
import { listenerStats, type ListenerStats } from "./listener-stats.ts";
import type { FilterChainModel, ListenerFilterModel, ListenerModel } from "./model.ts";

/** What a listener asks of the others. */
export interface ListenerNeighbours {
  /** The listener to which a connection for this address is handed over. */
  forDestination(address: AcceptedFacts["localAddress"]): ActiveListener | undefined;
  /** Counts a connection against the process' limit; false: it is full. */
  admit(): boolean;
  leave(): void;
}

export class ActiveListener {
  readonly model: ListenerModel;
  readonly message: Listener;
  readonly version: string;
  readonly isDynamic: boolean;
  readonly updatedMs: number;
  readonly stats: ListenerStats;
  /** Those of `filter_chains` in order, then the default one. */
  readonly chains: readonly ActiveFilterChain[];
  readonly #deps: ListenerManagerDeps;
  readonly #neighbours: ListenerNeighbours;
  readonly #matcher = new FilterChainMatcher<ActiveFilterChain>();
  /** For `filter_chain_matcher`. */
  readonly #byName = new Map<string, ActiveFilterChain>();
  readonly #defaultChain: ActiveFilterChain | undefined;
  readonly #filters: readonly ListenerFilter[];
  readonly #accessLog: AccessLogger | undefined;
  readonly #accepting: AcceptedSocketContext;
  readonly #open: Count;

  private constructor(options: ListenerOptions, stats: ListenerStats, chains: readonly ActiveFilterChain[]) {
    const { model, message, version, isDynamic, open, deps, neighbours } = options;
    this.#open = open;
    this.model = model;
    this.message = message;
    this.version = version;
    this.isDynamic = isDynamic;
    this.updatedMs = deps.runtime.clock.now();
    this.stats = stats;
    this.chains = chains;
    this.#deps = deps;
    this.#neighbours = neighbours;
    for (const [index, chain] of model.filterChains.entries()) {
      const active = chains[index] as ActiveFilterChain;
      if (model.filterChainMatcher === undefined) this.#matcher.add(chain.match, active);
      else this.#byName.set(chain.name, active);
    }
    this.#defaultChain = model.defaultFilterChain === undefined ? undefined : chains.at(-1);
    this.#filters = model.listenerFilters.map((filter) => makeFilter(filter, deps));
    this.#accessLog = deps.accessLogs.logger(model.accessLogs);
    this.#accepting = {
      runtime: deps.runtime,
      stats,
      filters: this.#filters,
      timeoutMs: model.listenerFiltersTimeoutMs,
      continueOnTimeout: model.continueOnListenerFiltersTimeout,
      onDone: (raw, facts, bytes) => this.#onFiltersDone(raw, facts, bytes),
      onEnd: () => this.#leave(),
    };
  }

  /** Opens the chains; `reuse` gives one of the version before that is the same. */
  static open(
    options: ListenerOptions,
    reuse: (chain: FilterChainModel) => ActiveFilterChain | undefined,
  ): Parsed<ActiveListener> {
    const { model, deps } = options;
    const stats = listenerStats(deps.scope, model.statName);
    const problems: Problem[] = [];
    const models = [
      ...model.filterChains,
      ...(model.defaultFilterChain === undefined ? [] : [model.defaultFilterChain]),
    ];
    const chains: ActiveFilterChain[] = [];
    const fresh: ActiveFilterChain[] = [];
    for (const chainModel of models) {
      const kept = reuse(chainModel);
      if (kept !== undefined) {
        chains.push(kept);
        continue;
      }
      const opened = ActiveFilterChain.open(chainModel, model, stats, deps);
      problems.push(...opened.problems);
      if (opened.value === undefined) continue;
      chains.push(opened.value);
      fresh.push(opened.value);
    }
    if (problems.some(({ level }) => level === "error")) {
      for (const chain of fresh) chain.close();
      stats.scope.dispose();
      return { problems };
    }
    return { value: new ActiveListener(options, stats, chains), problems };
  }

  get isReady(): boolean {
    return this.chains.every((chain) => chain.isReady);
  }

  /** Calls back once, when every chain has what it needs. */
  onReady(callback: () => void): void {
    let isCalled = false;
    const check = (): void => {
      if (isCalled || !this.isReady) return;
      isCalled = true;
      callback();
    };
    for (const chain of this.chains) chain.onReady(check);
    check();
  }

  /** A socket of this listener has accepted a connection. */
  accept(raw: Connection, passthrough?: Passthrough): void {
    if (!this.#mayEnter()) {
      raw.destroy();
      return;
    }
    this.#open.add(1);
    const socket = new AcceptedSocket(this.#accepting, raw);
    if (passthrough !== undefined) socket.adopt(passthrough);
    socket.start();
  }

  #mayEnter(): boolean {
    const limit = this.#deps.connectionLimit?.(this.model.name);
    if (limit !== undefined && this.#open.value >= limit) {
      this.stats.cxOverflow.inc();
      return false;
    }
    if (!this.model.ignoresGlobalConnectionLimit && !this.#neighbours.admit()) {
      this.stats.globalCxOverflow.inc();
      return false;
    }
    return true;
  }

  #leave(): void {
    this.#open.add(-1);
    if (!this.model.ignoresGlobalConnectionLimit) this.#neighbours.leave();
  }

  #onFiltersDone(raw: Connection, facts: AcceptedFacts, bytes: Buffer | undefined): void {
    if (this.model.useOriginalDst && facts.isLocalAddressRestored) {
      const other = this.#neighbours.forDestination(facts.localAddress);
      if (other !== undefined && other !== this) {
        this.#handOver(other, raw, facts, bytes);
        return;
      }
    }
    if (facts.transportProtocol === "") facts.transportProtocol = "raw_buffer";
    const chain = this.#chainOf(facts);
    if (chain === undefined) {
      this.#onNoChain(raw, facts);
      return;
    }
    const context = {
      runtime: this.#deps.runtime,
      stats: this.stats,
      accessLog: this.#accessLog,
      onEnd: () => this.#leave(),
    };
    new ListenerConnection(context, chain, raw, facts).start(bytes, facts);
  }

  /** A name that no chain has is no match, and no reason to take the default chain. */
  #chainOf(facts: AcceptedFacts): ActiveFilterChain | undefined {
    const { filterChainMatcher } = this.model;
    if (filterChainMatcher === undefined) return this.#matcher.find(connectionFacts(facts)) ?? this.#defaultChain;
    const name = filterChainMatcher({ ...connectionFacts(facts), filterState: facts.filterState });
    return name === undefined ? this.#defaultChain : this.#byName.get(name);
  }

  /** The other listener runs filters of its own, on the destination that was found here. */
  #handOver(other: ActiveListener, raw: Connection, facts: AcceptedFacts, bytes: Buffer | undefined): void {
    this.#open.add(-1);
    other.#open.add(1);
    const socket = new AcceptedSocket(other.#accepting, raw);
    socket.localAddress = facts.localAddress;
    socket.inherit(facts);
    socket.start(bytes);
  }

  #onNoChain(raw: Connection, facts: AcceptedFacts): void {
    this.stats.noFilterChainMatch.inc();
    if (this.#accessLog !== undefined) {
      const { clock } = this.#deps.runtime;
      const info = new StreamInfo();
      info.startTimeMs = clock.now();
      info.start = clock.monotonic();
      info.end = info.start;
      info.connection = raw;
      info.requestedServerName = facts.serverName;
      info.setFlag(ResponseFlag.NoRouteFound);
      info.responseCodeDetails = "filter_chain_not_found";
      this.#accessLog.log({ info });
    }
    raw.destroy();
    this.#leave();
  }
}

export interface ListenerOptions {
  readonly model: ListenerModel;
  readonly message: Listener;
  readonly version: string;
  readonly isDynamic: boolean;
  /** Open connections of the listener, whatever version they came by. */
  readonly open: Count;
  readonly deps: ListenerManagerDeps;
  readonly neighbours: ListenerNeighbours;
}

function connectionFacts(facts: AcceptedFacts): ConnectionFacts {
  const { localAddress, remoteAddress, directRemoteAddress } = facts;
  const source = remoteAddress.kind === "ip" ? remoteAddress.address : "";
  return {
    destinationAddress: localAddress.kind === "ip" ? localAddress.address : "",
    destinationPort: localAddress.kind === "ip" ? localAddress.port : 0,
    serverName: facts.serverName,
    transportProtocol: facts.transportProtocol,
    applicationProtocols: facts.applicationProtocols,
    directSourceAddress: directRemoteAddress.kind === "ip" ? directRemoteAddress.address : "",
    sourceAddress: source,
    sourcePort: remoteAddress.kind === "ip" ? remoteAddress.port : 0,
  };
}

function makeFilter({ kind, isDisabled }: ListenerFilterModel, deps: ListenerManagerDeps): ListenerFilter {
  switch (kind.name) {
    case "tls_inspector":
      return { ...tlsInspector(kind, deps.scope), isDisabled };
    case "http_inspector":
      return { ...httpInspector(deps.scope), isDisabled };
    case "proxy_protocol":
      return { ...proxyProtocolFilter(kind.config, deps.scope), isDisabled };
    case "original_dst":
      return { ...originalDst(deps), isDisabled };
  }
}

/** Restores the destination that redirection has taken away. */
function originalDst({
  originalDestination = originalDestinations(),
}: ListenerManagerDeps): Pick<ListenerFilter, "name" | "onAccept"> {
  return {
    name: "envoy.filters.listener.original_dst",
    onAccept(facts, connection) {
      if (connection.localAddress.kind === "internal") {
        restoreOfInternal(facts);
        return;
      }
      const restored = originalDestination(connection);
      if (restored === undefined || formatAddress(restored) === formatAddress(connection.localAddress)) return;
      facts.localAddress = restored;
      facts.isLocalAddressRestored = true;
    },
  };
}
