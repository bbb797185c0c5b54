/** Against rapid resets (CVE-2023-44487): clients that begin streams only to give them up. */
import type { Clock } from "#lib/runtime.ts";
import type { AbuseLimits } from "./options.ts";

/** Envoy's rule: of more than so many ended streams no more than half were given up early. */
export class ResetGuard {
  #ended = 0;
  #premature = 0;
  readonly #limits: AbuseLimits;
  readonly #clock: Clock | undefined;

  constructor(limits: AbuseLimits, clock: Clock | undefined) {
    this.#limits = limits;
    this.#clock = clock;
  }

  /** Without a clock every reset is early. */
  get now(): number {
    return this.#clock === undefined ? 0 : this.#clock.monotonic();
  }

  wouldBeTooMany(startedMs: number): boolean {
    if (!this.#isPremature(startedMs)) return false;
    const ended = this.#ended + 1;
    return ended > this.#limits.prematureResetTotalStreams && (this.#premature + 1) * 2 > ended;
  }

  onStreamEnd(startedMs: number, isReset: boolean): void {
    this.#ended++;
    if (isReset && this.#isPremature(startedMs)) this.#premature++;
  }

  #isPremature(startedMs: number): boolean {
    return this.now - startedMs < this.#limits.prematureResetMinLifetimeMs;
  }
}
