/** Whether connections of a filter chain are to be wound up. */
import type { Runtime } from "#lib/runtime.ts";

/**
 * `gradual`: the chance that a response is the last of its connection rises over the drain time, so that clients do not
 * all come back at once. `immediate`: every response is the last.
 */
export type DrainStrategy = "gradual" | "immediate";

/** Asked by connection managers for every response: costs one comparison while nothing drains. */
export class DrainState {
  readonly #runtime: Runtime;
  #startedMs = Number.POSITIVE_INFINITY;
  #durationMs = 0;
  #isImmediate = false;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  get isStarted(): boolean {
    return this.#startedMs !== Number.POSITIVE_INFINITY;
  }

  /** A second start may only hurry the first. */
  start(durationMs: number, strategy: DrainStrategy): void {
    this.#isImmediate ||= strategy === "immediate";
    if (this.isStarted) return;
    this.#startedMs = this.#runtime.clock.monotonic();
    this.#durationMs = durationMs;
  }

  readonly isDraining = (): boolean => {
    if (this.#startedMs === Number.POSITIVE_INFINITY) return false;
    if (this.#isImmediate || this.#durationMs === 0) return true;
    const elapsedMs = this.#runtime.clock.monotonic() - this.#startedMs;
    return this.#runtime.random.float() * this.#durationMs < elapsedMs;
  };
}
