/** `preconnect_policy`: connections that are opened before a request needs them. */
import type { UpstreamHost } from "../host.ts";
import type { LoadBalancer } from "../load-balancing/load-balancer.ts";
import type { LbContext, PoolOptions } from "../types.ts";
import type { HttpConnectionPool } from "./http-pool.ts";

export interface PreconnectConfig {
  /** Connections for each request to one host: 1 to 3. */
  readonly perUpstreamRatio: number;
  /** For the whole cluster, to the hosts that are chosen next; 0 to 3, up to 1: off. */
  readonly predictiveRatio: number;
}

export const noPreconnect: PreconnectConfig = { perUpstreamRatio: 1, predictiveRatio: 0 };

/** No more than these are opened for one request. */
export const MAX_PRECONNECTS = 3;

/** Streams that a pool, or all of them, serves and could serve. */
export interface StreamCounts {
  readonly pending: number;
  readonly active: number;
  /** Streams that connections have room for, of those that still connect too. */
  readonly room: number;
}

/** Envoy's rule; `anticipated`: requests that are about to come. */
export function needsConnection({ pending, active, room }: StreamCounts, ratio: number, anticipated: 0 | 1): boolean {
  return (pending + active + anticipated) * ratio > room + active;
}

/** Looks ahead at what the balancer chooses next and connects there; what was looked at is what is chosen. */
export class PredictivePreconnect {
  readonly #ratio: number;
  readonly #balancer: LoadBalancer;
  readonly #hosts: () => Iterable<UpstreamHost>;
  readonly #poolOf: (host: UpstreamHost, options: PoolOptions) => HttpConnectionPool | undefined;
  #peeked: UpstreamHost[] = [];

  constructor(
    ratio: number,
    balancer: LoadBalancer,
    hosts: () => Iterable<UpstreamHost>,
    poolOf: (host: UpstreamHost, options: PoolOptions) => HttpConnectionPool | undefined,
  ) {
    this.#ratio = ratio;
    this.#balancer = balancer;
    this.#hosts = hosts;
    this.#poolOf = poolOf;
  }

  choose(context: LbContext): UpstreamHost | undefined {
    const next = context.triedPriorities === undefined ? this.#peeked.shift() : undefined;
    if (next === undefined || next.isRemoved || next.health !== "healthy") return this.#balancer.choose(context);
    return context.shouldSelectAnotherHost?.(next) === true ? this.#balancer.choose(context) : next;
  }

  /** Hosts have changed. */
  forget(): void {
    this.#peeked = [];
  }

  /** A stream is about to begin. */
  onStream(options: PoolOptions): void {
    for (let i = 0; i < MAX_PRECONNECTS; i++) {
      if (!needsConnection(this.#counts(), this.#ratio, 1)) return;
      const host = this.#balancer.choose({});
      if (host === undefined) return;
      this.#peeked.push(host);
      if (this.#poolOf(host, options)?.preconnect(this.#ratio) !== true) return;
    }
  }

  #counts(): StreamCounts {
    let [pending, active, room] = [0, 0, 0];
    for (const host of this.#hosts())
      for (const pool of host.pools) {
        const counts = pool.streamCounts;
        pending += counts.pending;
        active += counts.active;
        room += counts.room;
      }
    return { pending, active, room };
  }
}
