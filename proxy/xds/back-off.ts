/** When to connect again. */
import type { Random } from "#lib/runtime.ts";

/** Exponential back-off with full jitter, as Envoy's: the n-th delay is uniform in [0, min(base · 2^n, max)). */
export class BackOff {
  readonly #random: Random;
  readonly #baseMs: number;
  readonly #maxMs: number;
  #attempt = 0;

  constructor(random: Random, options: { readonly baseMs: number; readonly maxMs: number }) {
    this.#random = random;
    this.#baseMs = options.baseMs;
    this.#maxMs = options.maxMs;
  }

  nextMs(): number {
    const bound = Math.min(this.#baseMs * 2 ** this.#attempt, this.#maxMs);
    this.#attempt = Math.min(this.#attempt + 1, 30);
    return Math.floor(this.#random.float() * bound);
  }

  reset(): void {
    this.#attempt = 0;
  }
}
