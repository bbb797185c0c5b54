/** ratelimit: the recorder answers as a rate limit service. */
import { toBinary } from "@bufbuild/protobuf";
import { messageFromJson } from "#protos/json.ts";
import { schema } from "#protos/registry.ts";
import type { RateLimitResponse } from "#protos/gen/envoy/service/ratelimit/v3/rls_pb.js";
import type { Case, Http2Answer, Json } from "../harness/case.ts";
import { cluster, filter, forward, get, upstreamOptions } from "../harness/requests.ts";
import { http, before, overHttp2, by, byHeader, frame } from "./filters-shared.ts";

/** A rate limit service's answer. */
function rls(fields: Json): Http2Answer {
  const type = "envoy.service.ratelimit.v3.RateLimitResponse";
  const { value } = messageFromJson(type, fields);
  if (value === undefined) throw new Error("not a RateLimitResponse");
  const body = Buffer.from(toBinary(schema<RateLimitResponse>(type), value as RateLimitResponse)).toString("latin1");
  return {
    headers: { ":status": 200, "content-type": "application/grpc" },
    body: frame(body),
    trailers: { "grpc-status": "0" },
  };
}

function globalLimit(name: string, answers: readonly Http2Answer[], fields: Json, more: Partial<Case> = {}): Case {
  const service = { grpc_service: { envoy_grpc: { cluster_name: "{id}-rls" } }, transport_api_version: "V3" };
  return {
    name: `ratelimit: ${name}`,
    manager: before(
      filter("rl", `${http}.ratelimit.v3.RateLimit`, {
        domain: "d",
        timeout: "3s",
        rate_limit_service: service,
        ...fields,
      }),
    ),
    routes: [forward({ rate_limits: [by({ generic_key: { descriptor_value: "v" } }), byHeader("x-a")] })],
    clusters: { "": cluster("a"), "-rls": cluster("h", upstreamOptions()) },
    http2Answers: answers,
    exchanges: [get("/", { "x-a": "1" }), get()],
    ...more,
    blur: [
      ...(overHttp2.blur ?? []),
      [
        /(?:grpc-timeout|x-envoy-internal|x-forwarded-for|x-envoy-expected-rq-timeout-ms|te|x-request-id|x-forwarded-proto): [^\r\n]*\r?\n/g,
        "",
      ],
    ],
    statsExcept: {
      ...overHttp2.statsExcept,
      ...Object.fromEntries(
        ["tx_reset", "timeout", "per_try_timeout"].map((stat) => [
          `upstream_rq_${stat}`,
          "a call of the proxy's own has no retries",
        ]),
      ),
    },
  };
}

const limited = { overall_code: "OVER_LIMIT" };

export const rateLimitCases: readonly Case[] = [
  globalLimit("allowed", [rls({ overall_code: "OK" })], {}),
  globalLimit("refused", [rls(limited)], {}),
  globalLimit(
    "refused with a body and headers",
    [
      rls({
        ...limited,
        raw_body: "c29ycnk=",
        response_headers_to_add: [
          { key: "X-Why", value: "because" },
          { key: "content-type", value: "text/x" },
        ],
      }),
    ],
    { response_headers_to_add: [{ header: { key: "x-own", value: "%REQ(:path)%" } }] },
  ),
  globalLimit(
    "allowed, with headers for both sides",
    [
      rls({
        overall_code: "OK",
        request_headers_to_add: [{ key: "x-up", value: "1" }],
        response_headers_to_add: [{ key: "x-down", value: "2" }],
      }),
    ],
    {},
  ),
  globalLimit("a status of its own", [rls(limited)], {
    rate_limited_status: { code: 503 },
    disable_x_envoy_ratelimited_header: true,
  }),
  globalLimit(
    "for gRPC",
    [rls(limited)],
    { rate_limited_as_resource_exhausted: true },
    { exchanges: [get("/", { "content-type": "application/grpc" })] },
  ),
  globalLimit(
    "x-ratelimit headers",
    [
      rls({
        overall_code: "OK",
        statuses: [
          {
            code: "OK",
            current_limit: { requests_per_unit: 9, unit: "MINUTE", name: "first" },
            limit_remaining: 5,
            duration_until_reset: "7s",
          },
          { code: "OK", current_limit: { requests_per_unit: 3, unit: "SECOND" }, limit_remaining: 2 },
          { code: "OK" },
        ],
      }),
    ],
    { enable_x_ratelimit_headers: "DRAFT_VERSION_03" },
  ),
  globalLimit(
    "an error lets pass",
    [{ headers: { ":status": 200, "content-type": "application/grpc", "grpc-status": "14" } }],
    {},
  ),
  globalLimit("an error refuses", [{ headers: { ":status": 503 } }], { failure_mode_deny: true }),
  globalLimit("an error with a status of its own", [{ headers: { ":status": 503 } }], {
    failure_mode_deny: true,
    status_on_error: { code: 502 },
  }),
  globalLimit("no answer in time", [{ hang: true }], { timeout: "0.05s", failure_mode_deny: true }),
  globalLimit("without descriptors nobody is asked", [rls(limited)], { stage: 3 }),
  globalLimit("only internal requests", [rls(limited)], { request_type: "internal" }),
  globalLimit("not enforced", [rls(limited)], { filter_enforced: { default_value: { numerator: 0 } } }),
  globalLimit("not enabled", [rls(limited)], { filter_enabled: { default_value: { numerator: 0 } } }),
];
