/**
 * The decisions about retries of one request (R-61 … R-75): pure but for the circuit breaker and the statistics that it
 * is given. The router filter asks after each attempt and waits `backOffMs` before the next.
 */
import type { HeaderMap } from "../http/header-map.ts";
import type { ResetReason } from "../http/codec.ts";
import type { Counter } from "../observability/stats.ts";
import type { ClusterTrafficStats, Host, Resource } from "../upstream/types.ts";
import { ExponentialBackOff, lowerBoundBackOff, rateLimitedReset } from "./back-off.ts";
import { parseRetryGrpcOn, parseRetryOn, RetryOn } from "./retry-policy.ts";
import type { HeaderPredicate, RetryPolicy } from "./types.ts";

/** `no`: the policy does not cover it. `no-overflow`: UO. `no-limit-exceeded`: URX. */
export type RetryDecision = "yes" | "no" | "no-overflow" | "no-limit-exceeded";

export type RetryStats = Readonly<
  Record<"rqRetry" | "rqRetryLimitExceeded" | "rqRetryOverflow" | "rqRetrySuccess", Pick<Counter, "inc">>
>;

export interface RetryContext {
  /** `max_retries` or the retry budget of the cluster and priority. */
  readonly retries: Resource;
  readonly stats: ClusterTrafficStats;
  /** Of the request's virtual cluster and route: they count retries beside the cluster. */
  readonly requestStats?: readonly RetryStats[];
  /** 32 random bits a call. */
  random(): number;
  /** Wall clock, ms. */
  now(): number;
}

/** Without a route policy and without headers there is nothing to decide: undefined. Retry headers are removed in any case. */
export function createRetryState(
  policy: RetryPolicy | undefined,
  requestHeaders: HeaderMap,
  hasEnvoyHeaders: boolean,
  context: RetryContext,
): RetryState | undefined {
  if (!hasEnvoyHeaders) {
    return policy === undefined || policy.retryOn === 0
      ? undefined
      : new RetryState(policy, requestHeaders, false, context);
  }
  const wanted =
    (policy !== undefined && policy.retryOn !== 0) ||
    requestHeaders.has("x-envoy-retry-on") ||
    requestHeaders.has("x-envoy-retry-grpc-on");
  const state = wanted ? new RetryState(policy ?? emptyPolicy, requestHeaders, true, context) : undefined;
  for (const name of retryHeaders) requestHeaders.remove(name);
  return state;
}

/** True when a header is there that overrides a timeout or a retry policy: only then each is worth looking for. */
export function hasEnvoyHeaders(headers: HeaderMap): boolean {
  const names = headers.names;
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string;
    if (name.charCodeAt(2) === 101 && name.charCodeAt(0) === 120 && overridingHeaders.has(name)) return true;
  }
  return false;
}

const retryHeaders = [
  "x-envoy-retry-on",
  "x-envoy-retry-grpc-on",
  "x-envoy-max-retries",
  "x-envoy-hedge-on-per-try-timeout",
  "x-envoy-retriable-header-names",
  "x-envoy-retriable-status-codes",
  "x-envoy-upstream-rq-per-try-timeout-ms",
] as const;

const overridingHeaders: ReadonlySet<string> = new Set([
  ...retryHeaders,
  "x-envoy-upstream-rq-timeout-ms",
  "x-envoy-upstream-rq-timeout-alt-response",
  "x-envoy-upstream-alt-stat-name",
  "x-envoy-expected-rq-timeout-ms",
]);

const emptyPolicy: RetryPolicy = {
  retryOn: 0,
  numRetries: 1,
  perTryTimeoutMs: 0,
  perTryIdleTimeoutMs: 0,
  retriableStatusCodes: [],
  retriableHeaders: [],
  retriableRequestHeaders: [],
  baseIntervalMs: 25,
  maxIntervalMs: 250,
  rateLimited: undefined,
  previousHosts: false,
  omitCanaryHosts: false,
  omitHostMetadata: [],
  previousPriorities: undefined,
  hostSelectionRetryMaxAttempts: 1,
};

const grpcBits: Readonly<Record<string, number>> = {
  "1": RetryOn.grpcCancelled,
  "4": RetryOn.grpcDeadlineExceeded,
  "8": RetryOn.grpcResourceExhausted,
  "13": RetryOn.grpcInternal,
  "14": RetryOn.grpcUnavailable,
};
const anyGrpc =
  RetryOn.grpcCancelled |
  RetryOn.grpcDeadlineExceeded |
  RetryOn.grpcResourceExhausted |
  RetryOn.grpcInternal |
  RetryOn.grpcUnavailable;

/** All of `wanted` is in the host's `envoy.lb`; a list there has it when one of its values is it. Nothing wanted: no. */
function hasMetadata({ metadata }: Host, wanted: Readonly<Record<string, unknown>>): boolean {
  const own = metadata["envoy.lb"];
  const entries = Object.entries(wanted);
  if (own === undefined || entries.length === 0) return false;
  return entries.every(([key, value]) => {
    const held = own[key];
    const text = JSON.stringify(value);
    return Array.isArray(held) ? held.some((one) => JSON.stringify(one) === text) : JSON.stringify(held) === text;
  });
}

export class RetryState {
  /** Wait before the retry that was last decided, ms. */
  backOffMs = 0;
  readonly #policy: RetryPolicy;
  readonly #context: RetryContext;
  readonly #retryOn: number;
  #remaining: number;
  #statusCodes: readonly number[];
  #responseHeaders: readonly HeaderPredicate[];
  #backOff: ExponentialBackOff | undefined = undefined;
  #isRetrying = false;
  #triedHosts: Host[] | undefined = undefined;
  #triedPriorities: number[] | undefined = undefined;

  /** `hasEnvoyHeaders` false: no header overrides anything, so none is looked for. */
  constructor(policy: RetryPolicy, headers: HeaderMap, hasEnvoyHeaders: boolean, context: RetryContext) {
    this.#policy = policy;
    this.#context = context;
    let retryOn = policy.retryOn;
    if (hasEnvoyHeaders) {
      retryOn |= parseRetryOn(headers.get("x-envoy-retry-on") ?? "");
      retryOn |= parseRetryGrpcOn(headers.get("x-envoy-retry-grpc-on") ?? "");
    }
    const conditions = policy.retriableRequestHeaders;
    if (conditions.length > 0 && !conditions.some((matches) => matches(headers))) retryOn = 0;
    this.#retryOn = retryOn;
    const maxRetries = hasEnvoyHeaders ? headers.get("x-envoy-max-retries") : undefined;
    this.#remaining =
      retryOn !== 0 && maxRetries !== undefined && /^\d+$/.test(maxRetries) ? Number(maxRetries) : policy.numRetries;
    this.#statusCodes = policy.retriableStatusCodes;
    this.#responseHeaders = policy.retriableHeaders;
    if (!hasEnvoyHeaders) return;
    this.#statusCodes = withStatusCodes(policy.retriableStatusCodes, headers.get("x-envoy-retriable-status-codes"));
    this.#responseHeaders = withHeaderNames(policy.retriableHeaders, headers.get("x-envoy-retriable-header-names"));
  }

  get isEnabled(): boolean {
    return this.#retryOn !== 0;
  }

  /** Asked for each response's headers, before any of it goes downstream. */
  shouldRetryHeaders(response: HeaderMap): RetryDecision {
    const wanted = this.#wouldRetryHeaders(response);
    return this.#decide(wanted, wanted ? this.#requestedWait(response) : undefined);
  }

  /** Asked when an attempt was reset or had no connection. `requestStarted`: bytes of the request went upstream. */
  shouldRetryReset(reason: ResetReason, requestStarted: boolean): RetryDecision {
    return this.#decide(this.#wouldRetryReset(reason, requestStarted), undefined);
  }

  /** A per-try timeout without hedging counts as a reset. */
  shouldRetryPerTryTimeout(): RetryDecision {
    return this.shouldRetryReset("local reset", true);
  }

  /** With hedging it is retried whatever `retry_on` says. */
  shouldHedgePerTryTimeout(): RetryDecision {
    return this.#decide(true, undefined);
  }

  /** To be called for the host of every attempt. */
  onHostAttempted(host: Host): void {
    if (this.#policy.previousHosts) (this.#triedHosts ??= []).push(host);
    if (this.#policy.previousPriorities !== undefined) (this.#triedPriorities ??= []).push(host.priority);
  }

  /** True: pick another host, if attempts are left. */
  shouldSelectAnotherHost(host: Host): boolean {
    const { omitCanaryHosts, omitHostMetadata } = this.#policy;
    if ((this.#triedHosts?.includes(host) ?? false) || (omitCanaryHosts && host.canary)) return true;
    return omitHostMetadata.some((wanted) => hasMetadata(host, wanted));
  }

  get hostSelectionMaxAttempts(): number {
    return this.#policy.hostSelectionRetryMaxAttempts;
  }

  /** Priorities to be left out, updated each `update_frequency` attempts; undefined: none. */
  get triedPriorities(): readonly number[] | undefined {
    const frequency = this.#policy.previousPriorities;
    const tried = this.#triedPriorities;
    if (frequency === undefined || tried === undefined) return undefined;
    const counted = tried.slice(0, Math.floor(tried.length / frequency) * frequency);
    return counted.length === 0 ? undefined : counted;
  }

  /** The request is over: gives back what a retry under way holds. */
  close(): void {
    this.#endRetry();
  }

  #decide(wouldRetry: boolean, requestedWaitMs: number | undefined): RetryDecision {
    const { retries } = this.#context;
    if (this.#isRetrying && !wouldRetry) this.#count("rqRetrySuccess");
    this.#endRetry();
    if (!wouldRetry) return "no";
    if (this.#remaining === 0) {
      this.#count("rqRetryLimitExceeded");
      return "no-limit-exceeded";
    }
    this.#remaining--;
    if (!retries.canCreate()) {
      this.#count("rqRetryOverflow");
      return "no-overflow";
    }
    retries.inc();
    this.#isRetrying = true;
    this.#count("rqRetry");
    this.#wait(requestedWaitMs);
    return "yes";
  }

  #count(what: keyof RetryStats): void {
    const { stats, requestStats } = this.#context;
    stats[what].inc();
    if (requestStats !== undefined) for (const one of requestStats) one[what].inc();
  }

  #wait(requestedMs: number | undefined): void {
    const { stats } = this.#context;
    if (requestedMs !== undefined) {
      stats.rqRetryBackoffRatelimited.inc();
      this.backOffMs = lowerBoundBackOff(requestedMs, this.#context.random());
      return;
    }
    stats.rqRetryBackoffExponential.inc();
    this.#backOff ??= new ExponentialBackOff(this.#policy.baseIntervalMs, this.#policy.maxIntervalMs);
    this.backOffMs = this.#backOff.next(this.#context.random());
  }

  #requestedWait(response: HeaderMap): number | undefined {
    const { rateLimited } = this.#policy;
    return rateLimited === undefined ? undefined : rateLimitedReset(rateLimited, response, this.#context.now());
  }

  #endRetry(): void {
    if (!this.#isRetrying) return;
    this.#isRetrying = false;
    this.#context.retries.dec();
  }

  #wouldRetryHeaders(response: HeaderMap): boolean {
    const on = this.#retryOn;
    if (response.has("x-envoy-ratelimited")) return (on & RetryOn.envoyRateLimited) !== 0;
    const status = response.status;
    if ((on & RetryOn.serverError) !== 0 && status >= 500 && status < 600) return true;
    if ((on & RetryOn.gatewayError) !== 0 && status >= 502 && status <= 504) return true;
    if ((on & RetryOn.retriable4xx) !== 0 && status === 409) return true;
    if ((on & RetryOn.retriableStatusCodes) !== 0 && this.#statusCodes.includes(status)) return true;
    if ((on & RetryOn.retriableHeaders) !== 0 && this.#responseHeaders.some((matches) => matches(response)))
      return true;
    if ((on & anyGrpc) === 0) return false;
    const grpcStatus = response.get("grpc-status");
    return grpcStatus !== undefined && (on & (grpcBits[grpcStatus] ?? 0)) !== 0;
  }

  #wouldRetryReset(reason: ResetReason, requestStarted: boolean): boolean {
    const on = this.#retryOn;
    if (reason === "overflow") return false;
    if ((on & (RetryOn.reset | RetryOn.serverError | RetryOn.gatewayError)) !== 0) return true;
    if ((on & RetryOn.resetBeforeRequest) !== 0 && !requestStarted) return true;
    if ((on & RetryOn.refusedStream) !== 0 && reason === "remote refused stream reset") return true;
    return (on & RetryOn.connectFailure) !== 0 && isConnectFailure(reason);
  }
}

function isConnectFailure(reason: ResetReason): boolean {
  return (
    reason === "local connection failure" || reason === "remote connection failure" || reason === "connection timeout"
  );
}

function withStatusCodes(codes: readonly number[], text: string | undefined): readonly number[] {
  if (text === undefined) return codes;
  const more = text
    .split(",")
    .map((code) => code.trim())
    .filter((code) => /^\d+$/.test(code));
  return [...codes, ...more.map(Number)];
}

function withHeaderNames(predicates: readonly HeaderPredicate[], text: string | undefined): readonly HeaderPredicate[] {
  if (text === undefined) return predicates;
  const names = text.split(",").map((name) => name.trim().toLowerCase());
  return [
    ...predicates,
    ...names.filter((name) => name !== "").map((name) => (headers: HeaderMap) => headers.has(name)),
  ];
}
