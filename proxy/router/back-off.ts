/** How long to wait before a retry. Pure: time and chance are given. */
import type { HeaderMap } from "../http/header-map.ts";
import type { RateLimitedBackOff } from "./types.ts";

/** Fully jittered exponential back-off: below base, 2·base, 4·base … and never above the maximum. */
export class ExponentialBackOff {
  readonly #baseMs: number;
  readonly #maxMs: number;
  #nextMs: number;

  constructor(baseMs: number, maxMs: number) {
    this.#baseMs = baseMs;
    this.#maxMs = maxMs;
    this.#nextMs = Math.min(baseMs, maxMs);
  }

  /** Delay of the next retry, ms; `random` is 64 or 32 uniform bits. */
  next(random: number | bigint): number {
    const bound = this.#nextMs;
    this.#nextMs = Math.min(bound * 2, this.#maxMs);
    return bound <= 0 ? 0 : Number(BigInt(random) % BigInt(bound));
  }

  reset(): void {
    this.#nextMs = Math.min(this.#baseMs, this.#maxMs);
  }
}

/** At least `minMs`, and up to half of it more. */
export function lowerBoundBackOff(minMs: number, random: number | bigint): number {
  const spread = Math.floor(minMs / 2);
  return minMs + (spread === 0 ? 0 : Number(BigInt(random) % BigInt(spread)));
}

/** The wait that a response asks for by the first usable reset header, ms; undefined: none, or longer than allowed. */
export function rateLimitedReset(policy: RateLimitedBackOff, headers: HeaderMap, nowMs: number): number | undefined {
  for (const { name, format } of policy.resetHeaders) {
    const text = headers.get(name);
    if (text === undefined || !/^\d{1,15}$/.test(text.trim())) continue;
    const seconds = Number(text.trim());
    const now = Math.floor(nowMs / 1000);
    if (format === "unix-timestamp" && seconds <= now) continue;
    const waitMs = (format === "seconds" ? seconds : seconds - now) * 1000;
    if (waitMs > 0 && waitMs <= policy.maxIntervalMs) return waitMs;
  }
  return undefined;
}
