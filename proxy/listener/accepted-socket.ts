/** One accepted socket while listener filters look at its first bytes. */
import type { Connection, ConnectionHandler, SocketAddress } from "#lib/connection.ts";
import type { Runtime, Timer } from "#lib/runtime.ts";
import { adoptState } from "../filter-state.ts";
import type { Passthrough } from "../tls/internal-network.ts";
import type { AcceptedFacts, ListenerFilter } from "./listener-filters.ts";
import type { ListenerStats } from "./listener-stats.ts";

export interface AcceptedSocketContext {
  readonly runtime: Runtime;
  readonly stats: ListenerStats;
  readonly filters: readonly ListenerFilter[];
  /** 0: for ever. */
  readonly timeoutMs: number;
  readonly continueOnTimeout: boolean;
  /** `bytes` is what has been read; undefined: nothing, and the connection is as it was accepted. */
  readonly onDone: (raw: Connection, facts: AcceptedFacts, bytes: Buffer | undefined) => void;
  /** It ended before: closed by the peer, by a filter, or by the timeout. */
  readonly onEnd: () => void;
}

/** Runs the filters in order; each that wants bytes sees all of them from the first on. */
export class AcceptedSocket implements ConnectionHandler, AcceptedFacts {
  localAddress: SocketAddress;
  isLocalAddressRestored = false;
  transportProtocol = "";
  serverName = "";
  applicationProtocols: readonly string[] = [];
  readonly filterState: Map<string, unknown> = new Map();
  readonly dynamicMetadata: Map<string, Record<string, unknown>> = new Map();
  readonly #raw: Connection;
  readonly #context: AcceptedSocketContext;
  #bytes: Buffer | undefined;
  #next = 0;
  #timer: Timer | undefined = undefined;
  #isDone = false;

  constructor(context: AcceptedSocketContext, raw: Connection) {
    this.#context = context;
    this.#raw = raw;
    this.localAddress = raw.localAddress;
  }

  get remoteAddress(): SocketAddress {
    return this.#raw.remoteAddress;
  }

  get directRemoteAddress(): SocketAddress {
    return this.#raw.directRemoteAddress ?? this.#raw.remoteAddress;
  }

  readdress(remote: SocketAddress): void {
    this.#raw.readdress?.(remote);
  }

  setMetadata(namespace: string, key: string, value: unknown): void {
    const values = this.dynamicMetadata.get(namespace) ?? {};
    this.dynamicMetadata.set(namespace, { ...values, [key]: value });
  }

  /** What the client side of an internal connection has given along. */
  adopt({ filterState, metadata }: Passthrough): void {
    if (filterState !== undefined) adoptState(this.filterState, filterState);
    for (const [namespace, values] of metadata) this.dynamicMetadata.set(namespace, { ...values });
  }

  /** What filters of another listener, which handed the connection over, have found out. */
  inherit({ filterState, dynamicMetadata }: AcceptedFacts): void {
    adoptState(this.filterState, filterState);
    for (const [key, value] of dynamicMetadata) this.dynamicMetadata.set(key, value);
  }

  /** `bytes`: what another listener, which handed the connection over, has read. */
  start(bytes?: Buffer): void {
    const { runtime, stats, timeoutMs } = this.#context;
    this.#bytes = bytes;
    stats.preCxActive.inc();
    this.#run();
    if (this.#isDone) return;
    this.#raw.handler = this;
    if (timeoutMs > 0) this.#timer = runtime.clock.wheel.schedule(timeoutMs, () => this.#onTimeout());
  }

  onData(chunk: Buffer): void {
    this.#bytes = this.#bytes === undefined ? Buffer.from(chunk) : Buffer.concat([this.#bytes, chunk]);
    this.#run();
  }

  onEnd(): void {
    this.#context.stats.listenerFilterRemoteClose.inc();
    this.#raw.destroy();
  }

  onClose(error?: Error): void {
    if (this.#isDone) return;
    if (error !== undefined) this.#context.stats.listenerFilterRemoteClose.inc();
    this.#finish();
    this.#context.onEnd();
  }

  #run(): void {
    const { filters, stats, onDone } = this.#context;
    const port = this.localAddress.kind === "ip" ? this.localAddress.port : 0;
    for (; this.#next < filters.length; this.#next++) {
      const filter = filters[this.#next];
      if (filter === undefined || filter.isDisabled(this.#port(port))) continue;
      filter.onAccept?.(this, this.#raw);
      if (filter.inspect === undefined) continue;
      const result = this.#bytes === undefined ? "more" : filter.inspect(this.#bytes, this);
      if (result === "more") return;
      if (typeof result === "number") {
        const rest = this.#bytes?.subarray(result);
        this.#bytes = rest === undefined || rest.length === 0 ? undefined : rest;
      } else if (result === "close" || result === "refuse") {
        if (result === "refuse") this.#raw.reset();
        else {
          stats.listenerFilterError.inc();
          this.#raw.destroy();
        }
        if (!this.#isDone) {
          this.#finish();
          this.#context.onEnd();
        }
        return;
      }
    }
    this.#finish();
    onDone(this.#raw, this, this.#bytes);
  }

  /** The destination may have been restored by a filter before. */
  #port(fallback: number): number {
    return this.localAddress.kind === "ip" ? this.localAddress.port : fallback;
  }

  #onTimeout(): void {
    if (this.#isDone) return;
    const { stats, continueOnTimeout, onDone, onEnd } = this.#context;
    stats.preCxTimeout.inc();
    this.#finish();
    if (continueOnTimeout) {
      onDone(this.#raw, this, this.#bytes);
      return;
    }
    this.#raw.destroy();
    onEnd();
  }

  #finish(): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#timer?.cancel();
    this.#context.stats.preCxActive.dec();
  }
}
