/** Filter chains that are out of service and still have connections. */
import type { Runtime, Timer } from "#lib/runtime.ts";
import type { ActiveFilterChain } from "./active-filter-chain.ts";
import type { ActiveListener } from "./active-listener.ts";
import type { DrainStrategy } from "./drain-state.ts";
import type { ListenerManagerStats } from "./listener-stats.ts";

export interface DrainSettings {
  readonly runtime: Runtime;
  readonly drainTimeMs: number;
  readonly drainStrategy?: DrainStrategy | undefined;
}

export class Draining {
  /** Whole listeners that drain. */
  readonly listeners: Set<ActiveListener> = new Set();
  readonly #settings: DrainSettings;
  readonly #stats: ListenerManagerStats;
  readonly #timers = new Map<ActiveFilterChain, Timer>();

  constructor(settings: DrainSettings, stats: ListenerManagerStats) {
    this.#settings = settings;
    this.#stats = stats;
  }

  /** chains that an update in place has removed. */
  retireChains(chains: readonly ActiveFilterChain[]): void {
    for (const chain of chains) {
      this.#stats.filterChainsDraining.inc();
      this.#retire(chain, () => this.#stats.filterChainsDraining.dec());
    }
  }

  /** all chains of a version. */
  retireListener(listener: ActiveListener): void {
    this.listeners.add(listener);
    this.#stats.draining.set(this.listeners.size);
    let left = listener.chains.length;
    for (const chain of listener.chains)
      this.#retire(chain, () => {
        left--;
        if (left === 0) this.#onListenerGone(listener);
      });
  }

  /** Winds up listeners that stay in place; resolves when none has a connection any more. */
  async finish(listeners: readonly ActiveListener[], strategy: DrainStrategy, endsConnections: boolean): Promise<void> {
    const { runtime, drainTimeMs } = this.#settings;
    const chains = listeners.flatMap((listener) => listener.chains);
    for (const chain of chains) {
      chain.drainState.start(drainTimeMs, strategy);
      if (endsConnections && strategy === "immediate") for (const connection of chain.connections) connection.drain();
    }
    const busy = chains.filter((chain) => chain.connections.size > 0);
    if (busy.length === 0) return;
    await new Promise<void>((resolve) => {
      let left = busy.length;
      for (const chain of busy)
        chain.onEmpty = () => {
          chain.onEmpty = undefined;
          left--;
          if (left > 0) return;
          timer?.cancel();
          resolve();
        };
      const timer = endsConnections
        ? runtime.clock.setTimer(drainTimeMs, () => {
            for (const chain of busy) closeAll(chain);
          })
        : undefined;
    });
  }

  /** Closes what a listener has at once. */
  endNow(listener: ActiveListener): void {
    for (const chain of listener.chains) {
      closeAll(chain);
      chain.close();
    }
  }

  close(): void {
    for (const timer of this.#timers.values()) timer.cancel();
    for (const chain of this.#timers.keys()) {
      closeAll(chain);
      chain.close();
    }
    this.#timers.clear();
    this.listeners.clear();
  }

  #retire(chain: ActiveFilterChain, onGone: () => void): void {
    const { runtime, drainTimeMs, drainStrategy = "gradual" } = this.#settings;
    const finish = (): void => {
      chain.onEmpty = undefined;
      this.#timers.get(chain)?.cancel();
      this.#timers.delete(chain);
      chain.close();
      onGone();
    };
    if (chain.connections.size === 0) {
      finish();
      return;
    }
    chain.drainState.start(drainTimeMs, drainStrategy);
    chain.onEmpty = finish;
    this.#timers.set(
      chain,
      runtime.clock.setTimer(drainTimeMs, () => closeAll(chain)),
    );
  }

  #onListenerGone(listener: ActiveListener): void {
    this.listeners.delete(listener);
    this.#stats.draining.set(this.listeners.size);
    listener.stats.scope.dispose();
  }
}

function closeAll(chain: ActiveFilterChain): void {
  for (const connection of chain.connections) connection.closeNow("drain_time_elapsed");
}
