/** A bucket that fills steadily: `tokensPerFill` in each `fillIntervalMs`, never more than `maxTokens`. */

export interface TokenBucketConfig {
  readonly maxTokens: number;
  readonly tokensPerFill: number;
  readonly fillIntervalMs: number;
}

export class TokenBucket {
  readonly maxTokens: number;
  /** Tokens per ms. */
  readonly rate: number;
  #tokens: number;
  #atMs: number;

  constructor({ maxTokens, tokensPerFill, fillIntervalMs }: TokenBucketConfig, nowMs: number) {
    this.maxTokens = maxTokens;
    this.rate = tokensPerFill / fillIntervalMs;
    this.#tokens = maxTokens;
    this.#atMs = nowMs;
  }

  /** Takes one; false: there is none. */
  take(nowMs: number): boolean {
    this.#fill(nowMs);
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  remaining(nowMs: number): number {
    this.#fill(nowMs);
    return Math.floor(this.#tokens);
  }

  /** Until there is one again, whole seconds; 0 while there is. */
  resetSeconds(nowMs: number): number {
    this.#fill(nowMs);
    return this.#tokens >= 1 ? 0 : Math.ceil((1 - this.#tokens) / this.rate / 1000);
  }

  #fill(nowMs: number): void {
    // A thousandth of a token less is a token: sums of fractions are not exact.
    const tokens = this.#tokens + (nowMs - this.#atMs) * this.rate;
    this.#tokens = Math.min(this.maxTokens, Math.abs(tokens - Math.round(tokens)) < 1e-9 ? Math.round(tokens) : tokens);
    this.#atMs = nowMs;
  }
}
