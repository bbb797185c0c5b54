/** Fields of the router filter itself. */
import type { Case, Json } from "../harness/case.ts";
import { answer, filter, forward, get, http2, upstreamOptions } from "../harness/requests.ts";

const routed = (fields: Json): Json => ({
  http_filters: [filter("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router", fields)],
});
const grpc = http2("/s/m", { ":method": "POST", "content-type": "application/grpc", te: "trailers" });
const over2 = { "": { $backends: ["h"], ...upstreamOptions() } };
const counted: Json = {
  virtual_clusters: [{ name: "all", headers: [{ name: ":path", string_match: { prefix: "/" } }] }],
};

/** Retries tell how much time is left. */
const blur: Case["blur"] = [[/x-envoy-expected-rq-timeout-ms: 1[45]\d\d\d/g, "x-envoy-expected-rq-timeout-ms: T"]];

/** Internal, so that what a request says of timeouts is believed. */
const internal: Json = {
  use_remote_address: true,
  internal_address_config: { cidr_ranges: [{ address_prefix: "127.0.0.0", prefix_len: 8 }] },
};

export const routerFilterCases: readonly Case[] = [
  {
    name: "dynamic_stats: false",
    manager: routed({ dynamic_stats: false }),
    virtualHost: counted,
    routes: [forward({ retry_policy: { retry_on: "5xx", num_retries: 1 } }, { stat_prefix: "r" })],
    answers: [answer(500), answer(503), answer(200)],
    exchanges: [get("/"), get("/")],
    blur,
  },
  {
    name: "dynamic_stats: false, and answers of our own",
    manager: routed({ dynamic_stats: false }),
    virtualHost: counted,
    clusters: { "": { $backends: ["none"] }, "-empty": {} },
    routes: [
      { ...forward(), match: { path: "/none" } },
      { ...forward({ cluster: "{id}-empty" }), match: { path: "/empty" } },
    ],
    exchanges: [get("/none"), get("/empty")],
  },
  ...[true, false].map((suppress): Case => ({
    name: `suppress_grpc_request_failure_code_stats: ${suppress}`,
    manager: routed({ suppress_grpc_request_failure_code_stats: suppress }),
    virtualHost: counted,
    routes: [forward({}, { stat_prefix: "r" })],
    clusters: over2,
    http2Answers: [{ headers: { ":status": 200, "grpc-status": "14" } }, { headers: { ":status": 503 } }],
    exchanges: [grpc, grpc, http2("/plain")],
  })),
  {
    name: "respect_expected_rq_timeout",
    manager: { ...internal, ...routed({ respect_expected_rq_timeout: true }) },
    routes: [forward({ timeout: "9s" })],
    exchanges: [
      get("/", { "x-envoy-expected-rq-timeout-ms": "4321" }),
      get("/", { "x-envoy-expected-rq-timeout-ms": "wrong" }),
      get("/", { "x-envoy-upstream-rq-timeout-ms": "1234" }),
      get("/", { "x-envoy-expected-rq-timeout-ms": "4321", "x-envoy-upstream-rq-timeout-ms": "1234" }),
      get("/"),
    ],
  },
  {
    name: "strict_check_headers",
    manager: {
      ...internal,
      ...routed({
        strict_check_headers: ["x-envoy-upstream-rq-timeout-ms", "x-envoy-max-retries", "x-envoy-retry-on"],
      }),
    },
    exchanges: [
      get("/", { "x-envoy-upstream-rq-timeout-ms": "12" }),
      get("/", { "x-envoy-upstream-rq-timeout-ms": "12a" }),
      get("/", { "x-envoy-max-retries": "-1" }),
      get("/", { "x-envoy-retry-on": "5xx,nothing" }),
      get("/", { "x-envoy-retry-on": "5xx" }),
      get("/", { "x-envoy-retry-grpc-on": "nothing" }),
    ],
    blur: [[/x-envoy-expected-rq-timeout-ms: 1[45]\d\d\d/g, "x-envoy-expected-rq-timeout-ms: T"]],
  },
];
