import { describe, expect, test } from "vitest";
import { messageFromJson } from "#protos/json.ts";
import { HeaderMap } from "../http/header-map.ts";
import { StreamInfo } from "../stream-info.ts";
import { parseRouteConfiguration } from "./parse-route-config.ts";
import { hasEnvoyHeaders } from "./retry-state.ts";
import { grpcTimeoutText, parseGrpcTimeout, setTimeoutHeaders, timeoutsOf, type TimeoutOptions } from "./timeouts.ts";
import type { ForwardRoute } from "./types.ts";

function routeOf(action: object): ForwardRoute {
  const json = {
    name: "r",
    virtualHosts: [
      { name: "v", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: "c", ...action } }] },
    ],
  };
  const message = messageFromJson("envoy.config.route.v3.RouteConfiguration", json);
  const { value, problems } = parseRouteConfiguration(message.value as never, { filters: [] });
  if (value === undefined) throw new Error(JSON.stringify(problems));
  const headers = HeaderMap.of({ ":path": "/", ":authority": "a", "x-forwarded-proto": "http" });
  return value.match(headers, { streamRandom: 0n, info: new StreamInfo() }) as ForwardRoute;
}

function timeoutsFor(action: object, fields: Record<string, string>, options: Partial<TimeoutOptions> = {}) {
  const headers = HeaderMap.of(fields);
  const all = { isGrpc: false, respectExpected: false, hasEnvoyHeaders: hasEnvoyHeaders(headers), ...options };
  const { globalMs, perTryMs } = timeoutsOf(routeOf(action), headers, all);
  return { globalMs, perTryMs, left: headers.names };
}

describe("timeouts", () => {
  test("R-47: 15 s unless the route says otherwise; 0 is none", () => {
    expect(timeoutsFor({}, {})).toMatchObject({ globalMs: 15_000, perTryMs: 0 });
    expect(timeoutsFor({ timeout: "3s" }, {})).toMatchObject({ globalMs: 3000 });
    expect(timeoutsFor({ timeout: "0s" }, {})).toMatchObject({ globalMs: 0 });
    const route = routeOf({});
    const options = { isGrpc: false, respectExpected: false, hasEnvoyHeaders: false };
    expect(timeoutsOf(route, new HeaderMap(), options)).toBe(route.timeouts);
  });

  test("R-47: max_stream_duration takes the place of the timeout", () => {
    const route = routeOf({ timeout: "3s", maxStreamDuration: { maxStreamDuration: "9s" } });
    expect([route.timeoutMs, route.maxStreamDuration?.maxStreamDurationMs]).toEqual([0, 9000]);
  });

  test("R-48, R-51: headers override and are removed", () => {
    const fields = {
      "x-envoy-upstream-rq-timeout-ms": "200",
      "x-envoy-upstream-rq-per-try-timeout-ms": "50",
      other: "1",
    };
    expect(timeoutsFor({}, fields)).toEqual({ globalMs: 200, perTryMs: 50, left: ["other"] });
    expect(timeoutsFor({}, { "x-envoy-upstream-rq-timeout-ms": "soon" })).toMatchObject({ globalMs: 15_000, left: [] });
    expect(timeoutsFor({}, { "x-envoy-upstream-rq-timeout-ms": "0" })).toMatchObject({ globalMs: 0 });
  });

  test("R-49: respect_expected_rq_timeout reads the other header and keeps it", () => {
    const fields = { "x-envoy-expected-rq-timeout-ms": "120", "x-envoy-upstream-rq-timeout-ms": "200" };
    expect(timeoutsFor({}, fields, { respectExpected: true }).globalMs).toBe(120);
    expect(timeoutsFor({}, fields, { respectExpected: true }).left).toContain("x-envoy-expected-rq-timeout-ms");
    expect(timeoutsFor({}, fields).globalMs).toBe(200);
  });

  test("R-51: a per-try timeout that is not shorter than the whole is ignored", () => {
    const retryPolicy = { retryOn: "5xx", perTryTimeout: "2s" };
    expect(timeoutsFor({ timeout: "3s", retryPolicy }, {}).perTryMs).toBe(2000);
    expect(timeoutsFor({ timeout: "2s", retryPolicy }, {}).perTryMs).toBe(0);
    expect(timeoutsFor({ timeout: "0s", retryPolicy }, {}).perTryMs).toBe(2000);
  });

  test.each([
    ["1S", "10s", undefined, 1000],
    ["20S", "10s", undefined, 10_000],
    ["20S", "0s", undefined, 20_000],
    [undefined, "10s", undefined, 10_000],
    [undefined, "0s", undefined, 0],
    ["100m", "10s", "0.05s", 50],
    ["100m", "10s", "0.2s", 100],
  ])(
    "R-50: grpc-timeout %s, max_grpc_timeout %s, offset %s: %i ms",
    (header, maxGrpcTimeout, grpcTimeoutOffset, expected) => {
      const action = { maxGrpcTimeout, ...(grpcTimeoutOffset === undefined ? {} : { grpcTimeoutOffset }) };
      const fields: Record<string, string> = header === undefined ? {} : { "grpc-timeout": header };
      expect(timeoutsFor(action, fields, { isGrpc: true }).globalMs).toBe(expected);
      expect(timeoutsFor(action, fields, { isGrpc: false }).globalMs).toBe(15_000);
    },
  );

  test("R-50: the format has at most eight digits and a unit", () => {
    const parse = (text: string): number | undefined => parseGrpcTimeout(HeaderMap.of({ "grpc-timeout": text }));
    expect(["1H", "2M", "3S", "4m", "5000u", "6000000n"].map(parse)).toEqual([3_600_000, 120_000, 3000, 4, 5, 6]);
    expect(["", "5", "S", "123456789m", "1s", "-1S"].map(parse)).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
    expect([1, 99_999_999, 100_000_000, 1e12].map(grpcTimeoutText)).toEqual([
      "1m",
      "99999999m",
      "100000S",
      "16666666M",
    ]);
  });

  test("R-53: the next hop is told what is left", () => {
    const told = (
      timeouts: { globalMs: number; perTryMs: number },
      elapsedMs: number,
      hedgesPerTry = false,
      isGrpc = false,
    ): (string | undefined)[] => {
      const headers = new HeaderMap();
      setTimeoutHeaders(
        routeOf({ maxGrpcTimeout: "0s" }),
        headers,
        { ...timeouts, perTryIdleMs: 0 },
        { isGrpc, hedgesPerTry, writeExpected: true, elapsedMs },
      );
      return [headers.get("x-envoy-expected-rq-timeout-ms"), headers.get("grpc-timeout")];
    };
    expect(told({ globalMs: 0, perTryMs: 0 }, 0)).toEqual([undefined, undefined]);
    expect(told({ globalMs: 200, perTryMs: 0 }, 0)).toEqual(["200", undefined]);
    expect(told({ globalMs: 200, perTryMs: 50 }, 0)).toEqual(["50", undefined]);
    expect(told({ globalMs: 200, perTryMs: 50 }, 170)).toEqual(["30", undefined]);
    expect(told({ globalMs: 200, perTryMs: 50 }, 500)).toEqual(["1", undefined]);
    expect(told({ globalMs: 200, perTryMs: 50 }, 0, true)).toEqual(["200", undefined]);
    expect(told({ globalMs: 0, perTryMs: 50 }, 0, false, true)).toEqual(["50", "50m"]);
  });
});
