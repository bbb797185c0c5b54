/** The keys of one provider: those of the configuration, or fetched and kept for a while. */
import type { Timer } from "#lib/runtime.ts";
import { parseJwks, type VerifyingKey } from "../../../jwt/jwks.ts";
import { JWKS_FETCH_FAILS, JWKS_NO_VALID_KEYS, type JwtStatus } from "../../../jwt/status.ts";
import type { Counter } from "../../../observability/stats.ts";
import { ExponentialBackOff } from "../../../router/back-off.ts";
import { type AsyncFailure, type AsyncResponse, sendAsyncRequest } from "../../async-request.ts";
import type { FilterFactoryContext } from "../../filter.ts";
import { HeaderMap } from "../../header-map.ts";
import type { RemoteJwks } from "./provider.ts";

export interface KeySource {
  /** Keys at once; undefined: they must be fetched. */
  current(): readonly VerifyingKey[] | JwtStatus | undefined;
  /** Calls back with what the fetch gave; several who wait share one. Returns what forgets the waiting. */
  fetch(onDone: (keys: readonly VerifyingKey[] | JwtStatus) => void): () => void;
}

export interface FetchStats {
  readonly fetchSuccess: Counter;
  readonly fetchFailed: Counter;
}

export function createKeySource(
  keys: readonly VerifyingKey[] | RemoteJwks,
  context: FilterFactoryContext,
  stats: FetchStats,
): KeySource {
  if ("clusterName" in keys) return new RemoteKeys(keys, context, stats);
  const known = keys.length === 0 ? JWKS_NO_VALID_KEYS : keys;
  return { current: () => known, fetch: () => () => {} };
}

/** Asynchronous fetches come this long before what is kept is stale. */
const REFETCH_BEFORE_MS = 5000;

class RemoteKeys implements KeySource {
  #keys: readonly VerifyingKey[] | undefined = undefined;
  #expires = 0;
  #waiting: Set<(keys: readonly VerifyingKey[] | JwtStatus) => void> | undefined = undefined;
  #refetch: Timer | undefined = undefined;
  #isAsked = true;
  readonly #remote: RemoteJwks;
  readonly #context: FilterFactoryContext;
  readonly #stats: FetchStats;

  constructor(remote: RemoteJwks, context: FilterFactoryContext, stats: FetchStats) {
    this.#remote = remote;
    this.#context = context;
    this.#stats = stats;
    // Clusters may come after listeners: the first fetch waits for the end of this configuration.
    if (remote.async !== undefined) this.#schedule(0);
  }

  current(): readonly VerifyingKey[] | undefined {
    this.#isAsked = true;
    return this.#context.runtime.clock.monotonic() < this.#expires ? this.#keys : undefined;
  }

  fetch(onDone: (keys: readonly VerifyingKey[] | JwtStatus) => void): () => void {
    if (this.#waiting !== undefined) this.#waiting.add(onDone);
    else {
      this.#waiting = new Set([onDone]);
      this.#attempt(0, new ExponentialBackOff(this.#remote.retries.baseMs, this.#remote.retries.maxMs));
    }
    return () => void this.#waiting?.delete(onDone);
  }

  #attempt(retry: number, backOff: ExponentialBackOff): void {
    const { clusterName, authority, scheme, path, timeoutMs, retries } = this.#remote;
    const headers = HeaderMap.of([
      [":method", "GET"],
      [":path", path],
      [":authority", authority],
      [":scheme", scheme],
      ["x-envoy-internal", "true"],
    ]);
    sendAsyncRequest({ clusterName, headers, timeoutMs }, this.#context, (answer) => {
      if (mayRetry(answer) && retry < retries.count) {
        const { runtime } = this.#context;
        const delayMs = backOff.next(runtime.random.uint32());
        runtime.clock.wheel.schedule(delayMs, () => this.#attempt(retry + 1, backOff));
      } else this.#done(keysOf(answer));
    });
  }

  #done(keys: readonly VerifyingKey[] | undefined): void {
    const { cacheMs, async } = this.#remote;
    if (keys === undefined) this.#stats.fetchFailed.inc();
    else {
      this.#stats.fetchSuccess.inc();
      this.#keys = keys;
      this.#expires = this.#context.runtime.clock.monotonic() + cacheMs;
    }
    if (async !== undefined) {
      const goodMs = cacheMs > REFETCH_BEFORE_MS ? cacheMs - REFETCH_BEFORE_MS : cacheMs;
      this.#schedule(keys === undefined ? async.failedRefetchMs : goodMs);
    }
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    for (const onDone of waiting) onDone(keys ?? JWKS_FETCH_FAILS);
  }

  /**
   * Differs from Envoy: where nobody has asked since the last fetch, none follows until somebody does. So a
   * configuration that has been replaced comes to rest.
   */
  #schedule(delayMs: number): void {
    this.#refetch?.cancel();
    this.#refetch = this.#context.runtime.clock.wheel.schedule(delayMs, () => {
      if (!this.#isAsked) return;
      this.#isAsked = false;
      this.fetch(() => {});
    });
  }
}

function mayRetry(answer: AsyncResponse | AsyncFailure): boolean {
  return typeof answer === "string" ? answer !== "too large" : answer.headers.status >= 500;
}

function keysOf(answer: AsyncResponse | AsyncFailure): readonly VerifyingKey[] | undefined {
  if (typeof answer === "string" || answer.headers.status !== 200) return undefined;
  const keys = parseJwks(answer.body.toString("utf8"));
  return "code" in keys ? undefined : keys;
}
