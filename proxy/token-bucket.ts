/** `envoy.type.v3.TokenBucket`, of rate limits that are counted in this proxy. */
import type { MessageReader } from "#protos/reader.ts";
import type { TokenBucket as TokenBucketMessage } from "#protos/gen/envoy/type/v3/token_bucket_pb.js";
import { durationMs } from "./config-values.ts";

/** A bucket that fills steadily: `tokensPerFill` in each `fillIntervalMs`, never more than `maxTokens`. */

export interface TokenBucketConfig {
  readonly maxTokens: number;
  readonly tokensPerFill: number;
  readonly fillIntervalMs: number;
}

const MIN_FILL_MS = 50;

/** A bucket of a rate limit; a fill interval below 50 ms is a problem, as in Envoy. */
export function parseTokenBucket(reader: MessageReader<TokenBucketMessage>): TokenBucketConfig {
  const fillIntervalMs = durationMs(reader.get("fillInterval")) ?? 0;
  const bucket = {
    maxTokens: reader.get("maxTokens"),
    tokensPerFill: reader.get("tokensPerFill") ?? 1,
    fillIntervalMs,
  };
  reader.finish();
  if (fillIntervalMs < MIN_FILL_MS)
    reader.invalid("fillInterval", "local rate limit token bucket fill timer must be >= 50ms");
  return bucket;
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
