/** `rate_limit_settings`: how often requests may be sent. */
import type { Clock } from "#lib/runtime.ts";

export class TokenBucket {
  readonly #clock: Clock;
  readonly #maxTokens: number;
  readonly #tokensPerMs: number;
  #tokens: number;
  #at: number;

  constructor(clock: Clock, options: { readonly maxTokens: number; readonly tokensPerSecond: number }) {
    this.#clock = clock;
    this.#maxTokens = options.maxTokens;
    this.#tokensPerMs = options.tokensPerSecond / 1000;
    this.#tokens = options.maxTokens;
    this.#at = clock.monotonic();
  }

  /** Takes a token; 0 when there was one, else the milliseconds until there is. */
  take(): number {
    const now = this.#clock.monotonic();
    this.#tokens = Math.min(this.#maxTokens, this.#tokens + (now - this.#at) * this.#tokensPerMs);
    this.#at = now;
    if (this.#tokens < 1) return Math.ceil((1 - this.#tokens) / this.#tokensPerMs);
    this.#tokens -= 1;
    return 0;
  }
}
