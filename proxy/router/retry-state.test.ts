import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { HeaderMap } from "../http/header-map.ts";
import { createStatsStore } from "../observability/stats-store.ts";
import { TrafficStats } from "../upstream/cluster-stats.ts";
import { createResourceManager, defaultThresholds } from "../upstream/resource-manager.ts";
import { hostAt } from "../upstream/testing/hosts.ts";
import { ExponentialBackOff, lowerBoundBackOff, rateLimitedReset } from "./back-off.ts";
import { parseRetryGrpcOn, parseRetryOn, RetryOn } from "./retry-policy.ts";
import { createRetryState, hasEnvoyHeaders, type RetryState } from "./retry-state.ts";
import type { RateLimitedBackOff, RetryPolicy } from "./types.ts";

const store = createStatsStore();
let clusters = 0;

interface Setup {
  readonly state: RetryState | undefined;
  readonly stats: TrafficStats;
  readonly retries: ReturnType<typeof createResourceManager>["retries"];
  readonly headers: HeaderMap;
}

function policyOf(fields: Partial<RetryPolicy>): RetryPolicy {
  return {
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
    ...fields,
  };
}

function setUp(
  policy: Partial<RetryPolicy> | undefined,
  requestHeaders: Record<string, string> = {},
  options: { readonly maxRetries?: number; readonly random?: number[]; readonly nowMs?: number } = {},
): Setup {
  const scope = store.root.scope(`cluster.c${clusters++}`);
  const stats = new TrafficStats(scope);
  const thresholds = { ...defaultThresholds, maxRetries: options.maxRetries ?? 3 };
  const { retries } = createResourceManager(thresholds, "default", scope);
  const headers = HeaderMap.of({ ":method": "GET", ":path": "/", ...requestHeaders });
  const randoms = options.random ?? [0];
  let next = 0;
  const state = createRetryState(
    policy === undefined ? undefined : policyOf(policy),
    headers,
    hasEnvoyHeaders(headers),
    {
      stats,
      retries,
      random: () => randoms[next++ % randoms.length] as number,
      now: () => options.nowMs ?? 0,
    },
  );
  return { state, stats, retries, headers };
}

function response(status: number, fields: Record<string, string> = {}): HeaderMap {
  const headers = HeaderMap.of(fields);
  headers.status = status;
  return headers;
}

describe("retry decisions", () => {
  test("R-61: without a policy and without headers there is nothing to decide", () => {
    expect(setUp(undefined).state).toBeUndefined();
    expect(setUp({ retryOn: 0 }).state).toBeUndefined();
  });

  test("R-61: headers add to the policy, are removed, and x-envoy-max-retries wins over num_retries", () => {
    const { state, headers } = setUp(
      { retryOn: RetryOn.connectFailure, numRetries: 5 },
      {
        "x-envoy-retry-on": "5xx, nonsense",
        "x-envoy-max-retries": "1",
        "x-envoy-retry-grpc-on": "internal",
        "x-envoy-retriable-status-codes": "418",
        "x-envoy-hedge-on-per-try-timeout": "true",
      },
    );
    expect(headers.names).toEqual([]);
    expect(state?.shouldRetryHeaders(response(500))).toBe("yes");
    expect(state?.shouldRetryHeaders(response(500))).toBe("no-limit-exceeded");
  });

  test("R-61: headers are removed where nothing is to be retried, too", () => {
    const { state, headers } = setUp(undefined, { "x-envoy-max-retries": "4", "x-other": "stays" });
    expect(state).toBeUndefined();
    expect(headers.names).toEqual(["x-other"]);
  });

  test.each([
    ["5xx", 500, "yes"],
    ["5xx", 503, "yes"],
    ["5xx", 404, "no"],
    ["gateway-error", 502, "yes"],
    ["gateway-error", 500, "no"],
    ["retriable-4xx", 409, "yes"],
    ["retriable-4xx", 404, "no"],
    ["reset", 503, "no"],
    ["connect-failure", 503, "no"],
  ])("R-62 … R-66: %s and status %i: %s", (retryOn, status, decision) => {
    const { state } = setUp({ retryOn: parseRetryOn(retryOn) });
    expect(state?.shouldRetryHeaders(response(status))).toBe(decision);
  });

  test.each([
    ["5xx", "connection termination", true, "yes"],
    ["gateway-error", "remote reset", true, "yes"],
    ["reset", "remote reset", true, "yes"],
    ["reset", "connection timeout", false, "yes"],
    ["reset-before-request", "connection termination", false, "yes"],
    ["reset-before-request", "connection termination", true, "no"],
    ["connect-failure", "remote connection failure", false, "yes"],
    ["connect-failure", "connection timeout", false, "yes"],
    ["connect-failure", "connection termination", true, "no"],
    ["refused-stream", "remote refused stream reset", true, "yes"],
    ["refused-stream", "remote reset", true, "no"],
    ["5xx,reset", "overflow", false, "no"],
    ["retriable-4xx", "remote reset", true, "no"],
  ] as const)("R-62 … R-65: %s and %s (request started: %s): %s", (retryOn, reason, started, decision) => {
    const { state } = setUp({ retryOn: parseRetryOn(retryOn) });
    expect(state?.shouldRetryReset(reason, started)).toBe(decision);
  });

  test("R-66: retriable status codes and headers, of the policy and of the request", () => {
    const policy = {
      retryOn: parseRetryOn("retriable-status-codes,retriable-headers"),
      retriableStatusCodes: [418],
      retriableHeaders: [(headers: HeaderMap) => headers.get("x-again") === "yes"],
      numRetries: 10,
    };
    const { state } = setUp(policy, {
      "x-envoy-retriable-status-codes": "425, x, 451",
      "x-envoy-retriable-header-names": "X-Upstream-Busy, x-other",
    });
    const decisions = [
      response(418),
      response(451),
      response(429),
      response(200, { "x-again": "yes" }),
      response(200, { "x-again": "no" }),
      response(200, { "x-upstream-busy": "" }),
    ].map((headers) => state?.shouldRetryHeaders(headers));
    state?.close();
    expect(decisions).toEqual(["yes", "yes", "no", "yes", "no", "yes"]);
  });

  test("R-67: a rate-limited response of another Envoy is retried by envoy-ratelimited only", () => {
    const limited = response(503, { "x-envoy-ratelimited": "true" });
    expect(setUp({ retryOn: parseRetryOn("5xx") }).state?.shouldRetryHeaders(limited)).toBe("no");
    expect(setUp({ retryOn: parseRetryOn("envoy-ratelimited") }).state?.shouldRetryHeaders(limited)).toBe("yes");
  });

  test("R-68: gRPC statuses in headers", () => {
    const { state } = setUp({ retryOn: parseRetryGrpcOn("unavailable,cancelled"), numRetries: 9 });
    const decide = (status: string): string | undefined =>
      state?.shouldRetryHeaders(response(200, { "grpc-status": status }));
    expect([decide("14"), decide("1"), decide("13"), decide("0")]).toEqual(["yes", "yes", "no", "no"]);
  });

  test("R-70: retriable_request_headers: one of them must match", () => {
    const policy = {
      retryOn: RetryOn.serverError,
      retriableRequestHeaders: [(headers: HeaderMap) => headers.has("x-safe")],
    };
    expect(setUp(policy).state?.shouldRetryHeaders(response(500))).toBe("no");
    expect(setUp(policy).state?.isEnabled).toBe(false);
    expect(setUp(policy, { "x-safe": "1" }).state?.shouldRetryHeaders(response(500))).toBe("yes");
  });

  test("R-73: max_retries is held while a retry is under way", () => {
    const { state, retries, stats } = setUp({ retryOn: RetryOn.serverError, numRetries: 5 }, {}, { maxRetries: 1 });
    expect(state?.shouldRetryHeaders(response(500))).toBe("yes");
    expect(retries.count).toBe(1);
    const other = setUp({ retryOn: RetryOn.serverError }, {}, { maxRetries: 0 });
    expect(other.state?.shouldRetryHeaders(response(500))).toBe("no-overflow");
    expect(other.stats.rqRetryOverflow.value).toBe(1);
    expect(state?.shouldRetryHeaders(response(200))).toBe("no");
    expect(retries.count).toBe(0);
    expect(stats.rqRetrySuccess.value).toBe(1);
    state?.close();
    expect(retries.count).toBe(0);
  });

  test("R-73: a retry budget allows a share of what is active, and a minimum", () => {
    const scope = store.root.scope("cluster.budget");
    const manager = createResourceManager(
      { ...defaultThresholds, retryBudget: { percent: 20, minRetryConcurrency: 3 } },
      "default",
      scope,
    );
    expect(manager.retries.max).toBe(3);
    for (let i = 0; i < 40; i++) manager.requests.inc();
    expect(manager.retries.max).toBe(8);
    for (let i = 0; i < 8; i++) {
      expect(manager.retries.canCreate()).toBe(true);
      manager.retries.inc();
    }
    expect(manager.retries.canCreate()).toBe(false);
  });

  test("R-74: used up", () => {
    const { state, stats } = setUp({ retryOn: RetryOn.serverError, numRetries: 2 });
    const decisions = [1, 2, 3].map(() => state?.shouldRetryHeaders(response(500)));
    expect(decisions).toEqual(["yes", "yes", "no-limit-exceeded"]);
    expect([stats.rqRetry.value, stats.rqRetryLimitExceeded.value]).toEqual([2, 1]);
  });

  test("R-75: previous hosts and canaries are rejected", () => {
    const { state } = setUp({ retryOn: RetryOn.serverError, previousHosts: true, omitCanaryHosts: true });
    const [first, second] = [hostAt("10.0.0.1:80"), hostAt("10.0.0.2:80")];
    const canary = hostAt("10.0.0.3:80", { metadata: { "envoy.lb": { canary: true } } });
    state?.onHostAttempted(first);
    expect([first, second, canary].map((host) => state?.shouldSelectAnotherHost(host))).toEqual([true, false, true]);
  });

  test("R-75: hosts with metadata that is to be omitted are rejected, a list by any of its values", () => {
    const omitted = (wanted: Readonly<Record<string, unknown>>, own?: Record<string, unknown>): boolean | undefined =>
      setUp({ retryOn: RetryOn.serverError, omitHostMetadata: [wanted] }).state?.shouldSelectAnotherHost(
        hostAt("10.0.0.1:80", own === undefined ? {} : { metadata: { "envoy.lb": own } }),
      );
    expect(omitted({ stage: "canary" }, { stage: "canary", other: 1 })).toBe(true);
    expect(omitted({ stage: "canary" }, { stage: ["prod", "canary"] })).toBe(true);
    expect(omitted({ stage: "canary", zone: "a" }, { stage: "canary" })).toBe(false);
    expect(omitted({ stage: "canary" }, { stage: "prod" })).toBe(false);
    expect(omitted({ stage: "canary" })).toBe(false);
    expect(omitted({}, { stage: "canary" })).toBe(false);
  });

  test("R-75: priorities are left out each update_frequency attempts", () => {
    const { state } = setUp({ retryOn: RetryOn.serverError, previousPriorities: 2 });
    const tried = [0, 0, 1].map((priority) => {
      state?.onHostAttempted(hostAt("10.0.0.1:80", { priority }));
      return state?.triedPriorities;
    });
    expect(tried).toEqual([undefined, [0, 0], [0, 0]]);
  });

  test("R-76: a hedge is always allowed while retries are left", () => {
    const { state } = setUp({ retryOn: RetryOn.retriable4xx });
    expect(state?.shouldHedgePerTryTimeout()).toBe("yes");
    expect(state?.shouldHedgePerTryTimeout()).toBe("no-limit-exceeded");
  });

  test("R-72: the wait that a response asks for is kept for this retry only", () => {
    const rateLimited: RateLimitedBackOff = {
      maxIntervalMs: 300_000,
      resetHeaders: [{ name: "retry-after", format: "seconds" }],
    };
    const policy = { retryOn: RetryOn.serverError, numRetries: 3, rateLimited };
    const { state, stats } = setUp(policy, {}, { random: [190] });
    state?.shouldRetryHeaders(response(503, { "retry-after": "2" }));
    expect(state?.backOffMs).toBe(2190);
    state?.shouldRetryHeaders(response(503));
    expect(state?.backOffMs).toBe(15);
    expect([stats.rqRetryBackoffRatelimited.value, stats.rqRetryBackoffExponential.value]).toEqual([1, 1]);
  });
});

const folder = join(import.meta.dirname, "../../../shared/vectors");
const isThere = existsSync(folder);
if (!isThere) console.log("skipped: the vectors folder is not beside the checkout");

interface Vectors {
  readonly backoff: { base_ms: number; max_ms: number | null; random: number[]; delay_ms: number[] }[];
  readonly rate_limited_reset: {
    now_epoch: number;
    reset_headers: [string, string][];
    max_interval_s: number;
    cases: { headers: Record<string, string>; ms: number | null }[];
  }[];
  readonly retry_on_remote_response: [string, string, number | string, boolean][];
}

describe.skipIf(!isThere)("retry vectors", () => {
  const vectors = isThere
    ? (JSON.parse(readFileSync(join(folder, "retry_state.json"), "utf8")) as Vectors)
    : ({ backoff: [], rate_limited_reset: [], retry_on_remote_response: [] } as Vectors);

  test.each(vectors.backoff.map((row) => [row.base_ms, row.max_ms, row] as const))(
    "R-72: base %s max %s",
    (base, max, row) => {
      const backOff = new ExponentialBackOff(base, max ?? base * 10);
      expect(row.random.map((random) => backOff.next(random))).toEqual(row.delay_ms);
    },
  );

  test("R-72: rate limited", () => {
    for (const { now_epoch: now, reset_headers: headers, max_interval_s: maxS, cases } of vectors.rate_limited_reset) {
      const policy: RateLimitedBackOff = {
        maxIntervalMs: maxS * 1000,
        resetHeaders: headers.map(([name, format]) => ({
          name: name.toLowerCase(),
          format: format === "SECONDS" ? "seconds" : "unix-timestamp",
        })),
      };
      for (const row of cases)
        expect([row, rateLimitedReset(policy, HeaderMap.of(row.headers), now * 1000) ?? null]).toEqual([row, row.ms]);
    }
    expect(lowerBoundBackOff(2000, 190)).toBe(2190);
  });

  test.each(vectors.retry_on_remote_response)("R-62 … R-68: %s: %s, %s", (header, value, outcome, isRetried) => {
    const { state } = setUp(undefined, { [header]: value });
    const grpc = /grpc-status (\d+)/.exec(String(outcome));
    const headers = grpc === null ? response(Number(outcome)) : response(200, { "grpc-status": grpc[1] ?? "" });
    expect(state?.shouldRetryHeaders(headers)).toBe(isRetried ? "yes" : "no");
  });
});
