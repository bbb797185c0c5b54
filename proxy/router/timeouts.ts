/** The timeouts of a request from its route and its headers (R-47 … R-53). */
import type { HeaderMap } from "../http/header-map.ts";
import type { ForwardRoute } from "./types.ts";

export interface Timeouts {
  /** ms from the end of the request; 0: none. */
  readonly globalMs: number;
  /** ms for each attempt; 0: none. */
  readonly perTryMs: number;
  readonly perTryIdleMs: number;
}

export interface TimeoutOptions {
  readonly isGrpc: boolean;
  /** The router's `respect_expected_rq_timeout`. */
  readonly respectExpected: boolean;
  /** `hasEnvoyHeaders` of the request. */
  readonly hasEnvoyHeaders: boolean;
}

/**
 * Timeouts of a request; the overriding headers are removed. Without overrides no object is made.
 * `x-envoy-expected-rq-timeout-ms` and `grpc-timeout` are written by `setTimeoutHeaders`.
 */
export function timeoutsOf(route: ForwardRoute, headers: HeaderMap, options: TimeoutOptions): Timeouts {
  const fixed = route.timeouts;
  const readsGrpc = options.isGrpc && route.maxStreamDuration === undefined && route.maxGrpcTimeoutMs !== undefined;
  if (!options.hasEnvoyHeaders && !readsGrpc) return fixed;
  let globalMs = readsGrpc ? grpcTimeout(route, headers) : fixed.globalMs;
  let perTryMs = route.retryPolicy?.perTryTimeoutMs ?? 0;
  if (options.hasEnvoyHeaders) {
    const expected = options.respectExpected ? headers.get("x-envoy-expected-rq-timeout-ms") : undefined;
    if (expected !== undefined) globalMs = milliseconds(expected) ?? globalMs;
    else globalMs = take(headers, "x-envoy-upstream-rq-timeout-ms") ?? globalMs;
    perTryMs = take(headers, "x-envoy-upstream-rq-per-try-timeout-ms") ?? perTryMs;
  }
  return timeouts(globalMs, perTryMs, fixed.perTryIdleMs);
}

/** A per-try timeout that is not shorter than the whole is ignored. */
export function timeouts(globalMs: number, perTryMs: number, perTryIdleMs: number): Timeouts {
  return { globalMs, perTryMs: globalMs !== 0 && perTryMs >= globalMs ? 0 : perTryMs, perTryIdleMs };
}

export interface TimeoutHeaderOptions {
  readonly isGrpc: boolean;
  readonly hedgesPerTry: boolean;
  /** False with `suppress_envoy_headers`. */
  readonly writeExpected: boolean;
  /** ms since the request was complete; 0 for the first attempt. */
  readonly elapsedMs: number;
}

/** Tells the next hop how long it has. */
export function setTimeoutHeaders(
  route: ForwardRoute,
  headers: HeaderMap,
  { globalMs, perTryMs }: Timeouts,
  { isGrpc, hedgesPerTry, writeExpected, elapsedMs }: TimeoutHeaderOptions,
): void {
  let expected = perTryMs > 0 && !hedgesPerTry ? perTryMs : globalMs;
  if (globalMs > 0) {
    const remaining = Math.max(globalMs - elapsedMs, 1);
    expected = expected === 0 ? remaining : Math.min(expected, remaining);
  }
  if (expected <= 0) return;
  expected = Math.ceil(expected);
  if (writeExpected) headers.set("x-envoy-expected-rq-timeout-ms", String(expected));
  if (isGrpc && route.maxGrpcTimeoutMs !== undefined) headers.set("grpc-timeout", grpcTimeoutText(expected));
}

/** ms of a `grpc-timeout` header; undefined when there is none or it is malformed. */
export function parseGrpcTimeout(headers: HeaderMap): number | undefined {
  const match = /^(\d{1,8})([HMSmun])$/.exec(headers.get("grpc-timeout") ?? "");
  if (match === null) return undefined;
  const [, digits, unit] = match;
  const amount = Number(digits);
  return Math.ceil(amount * (unitMs[unit as string] ?? 0));
}

const unitMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 0.001, n: 0.000_001 };

/** At most eight digits, in the finest unit that has room. */
export function grpcTimeoutText(ms: number): string {
  if (ms < 100_000_000) return `${Math.trunc(ms)}m`;
  const units: readonly (readonly [string, number])[] = [
    ["S", 1000],
    ["M", 60_000],
    ["H", 3_600_000],
  ];
  for (const [unit, size] of units) {
    const amount = Math.trunc(ms / size);
    if (amount < 100_000_000) return `${amount}${unit}`;
  }
  return "99999999H";
}

/** 0 is "for ever", for the header, the cap and the result. */
function grpcTimeout(route: ForwardRoute, headers: HeaderMap): number {
  let wanted = parseGrpcTimeout(headers) ?? 0;
  const offset = route.grpcTimeoutOffsetMs;
  if (offset !== undefined && offset < wanted) wanted -= offset;
  const max = route.maxGrpcTimeoutMs ?? 0;
  return max !== 0 && (wanted === 0 || wanted > max) ? max : wanted;
}

function take(headers: HeaderMap, name: string): number | undefined {
  const text = headers.get(name);
  if (text === undefined) return undefined;
  headers.remove(name);
  return milliseconds(text);
}

function milliseconds(text: string): number | undefined {
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}
