import { describe, expect, test } from "vitest";
import { createStatsStore } from "../observability/stats-store.ts";
import type { ForwardingConfig } from "./connection-manager-config.ts";
import { connectionManagerStats } from "./connection-manager-stats.ts";
import { HeaderMap } from "./header-map.ts";
import { decideTrace } from "./trace-decision.ts";
import type { RouteTracing } from "../router/route-tracing.ts";
import type { TraceReason } from "./tracing.ts";

const forwarding: ForwardingConfig = {
  useRemoteAddress: false,
  xffNumTrustedHops: 0,
  skipXffAppend: false,
  originalIpDetections: [],
  appendXForwardedPort: false,
  internalCidrs: [],
  internalUnixSockets: false,
  via: "",
  addUserAgent: false,
  generateRequestId: true,
  preserveExternalRequestId: false,
  alwaysSetRequestIdInResponse: false,
  packTraceReason: true,
  useRequestIdForTraceSampling: true,
};
/** Its first eight digits are 5000 modulo 10,000. */
const id = "00001388-0000-4000-8000-000000000000";
const store = createStatsStore();
const { tracing: stats } = connectionManagerStats(store.root.scope("a"), store.root.scope("b"), store.root);

interface Asked {
  readonly id?: string;
  readonly random?: number;
  readonly client?: number;
  readonly overall?: number;
  readonly isForced?: boolean;
  readonly clientTraceId?: string;
  readonly config?: Partial<ForwardingConfig>;
  readonly route?: RouteTracing;
}

function decide(asked: Asked): readonly [TraceReason, string | undefined] {
  const headers = HeaderMap.of({ "x-request-id": asked.id ?? id });
  if (asked.clientTraceId !== undefined) headers.set("x-client-trace-id", asked.clientTraceId);
  const sampling = {
    clientSampling: asked.client ?? 10_000,
    randomSampling: asked.random ?? 0,
    overallSampling: asked.overall ?? 10_000,
    hasOperation: false,
    makeTracer: undefined,
  };
  const config = { ...forwarding, ...asked.config };
  const reason = decideTrace(headers, sampling, config, asked.isForced ?? false, stats, () => 0.5, asked.route);
  return [reason, headers.get("x-request-id")];
}

describe("R-82, R-83 the decision to trace", () => {
  test("is drawn from the request id, so that every proxy decides alike, and told in its 15th character", () => {
    expect(decide({ random: 5001 })).toEqual(["sampled", "00001388-0000-9000-8000-000000000000"]);
    expect(decide({ random: 5000 })).toEqual(["none", id]);
  });

  test("was made by the proxy before, and holds", () => {
    expect(decide({ id: "00001388-0000-9000-8000-000000000000" })[0]).toBe("sampled");
    expect(decide({ id: "00001388-0000-a000-8000-000000000000" })[0]).toBe("service-forced");
    expect(decide({ id: "00001388-0000-b000-8000-000000000000" })[0]).toBe("client-forced");
  });

  test("is forced by us, or by a client with a trace id", () => {
    expect(decide({ isForced: true })).toEqual(["service-forced", "00001388-0000-a000-8000-000000000000"]);
    expect(decide({ clientTraceId: "1" })).toEqual(["client-forced", "00001388-0000-b000-8000-000000000000"]);
    expect(decide({ clientTraceId: "1", client: 0 })[0]).toBe("none");
  });

  test("is bounded by the overall sampling, which takes a reason back", () => {
    expect(decide({ random: 10_000, overall: 5000 })).toEqual(["none", id]);
    expect(decide({ id: "00001388-0000-9000-8000-000000000000", overall: 5000 })).toEqual(["none", id]);
  });

  test("leaves the id alone where it is not to be packed, and is no for an id that is none of ours", () => {
    expect(decide({ random: 10_000, config: { packTraceReason: false } })).toEqual(["sampled", id]);
    expect(decide({ id: "mine", random: 10_000 })).toEqual(["none", "mine"]);
  });

  test("can be drawn afresh", () => {
    expect(decide({ id: "mine", random: 5001, config: { useRequestIdForTraceSampling: false } })[0]).toBe("sampled");
    expect(decide({ id: "mine", random: 5000, config: { useRequestIdForTraceSampling: false } })[0]).toBe("none");
  });

  test("is counted", () => {
    const before = stats.randomSampling.value;
    decide({ random: 10_000 });
    expect(stats.randomSampling.value).toBe(before + 1);
  });

  test("what a route says of sampling stands in place of the connection manager's", () => {
    const share = (numerator: number, denominator: 100 | 10_000 | 1_000_000 = 100) => ({ numerator, denominator });
    const route = (random: RouteTracing["randomSampling"], overall = share(100)): RouteTracing => ({
      clientSampling: share(0),
      randomSampling: random,
      overallSampling: overall,
      customTags: [],
      operation: undefined,
    });
    expect(decide({ route: route(share(100)) })[0]).toBe("sampled");
    expect(decide({ random: 10_000, route: route(share(0)) })[0]).toBe("none");
    // 5000 of 10,000 is 0 of 100.
    expect(decide({ route: route(share(1)) })[0]).toBe("sampled");
    expect(decide({ route: route(share(5000, 10_000)) })[0]).toBe("none");
    expect(decide({ route: route(share(5001, 1_000_000)) })[0]).toBe("sampled");
    expect(decide({ route: route(share(100), share(0)) })[0]).toBe("none");
    expect(decide({ clientTraceId: "c", route: route(share(0)) })[0]).toBe("none");
  });
});
