/** buffer, health_check, fault. */
import type { Case, Json } from "../harness/case.ts";
import { answer, cluster, filter, forward, get, http2, request, requestText } from "../harness/requests.ts";
import { http, before, perRoute, leftOver, buffer, overHttp2 } from "./filters-shared.ts";

const chunked = (...chunks: readonly string[]): string =>
  `${chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join("")}0\r\n\r\n`;

const posted = (body: string): string =>
  requestText("POST", "/", { "transfer-encoding": "chunked" }).replace(/$/, body);

export const bufferCases: readonly Case[] = [
  {
    name: "buffer: a chunked body gets a length",
    manager: before(buffer(100)),
    exchanges: [{ kind: "raw", steps: [posted(chunked("abc", "defg"))] }],
  },
  {
    name: "buffer: a body with a length keeps it",
    manager: before(buffer(100)),
    exchanges: [request("POST", "/", {}, "abc")],
  },
  { name: "buffer: without a body nothing waits", manager: before(buffer(100)), exchanges: [get()] },
  {
    name: "buffer: a body that is too large",
    statsExcept: leftOver,
    manager: before(buffer(4)),
    exchanges: [
      { kind: "raw", steps: [posted(chunked("abc", "defg"))] },
      request("POST", "/", {}, "abcd"),
      request("POST", "/", {}, "abcde"),
    ],
  },
  {
    name: "buffer: trailers end a body",
    manager: before(buffer(100)),
    ...overHttp2,
    exchanges: [http2("/", {}, { body: "abc", trailers: { "x-t": "1" } })],
  },
  {
    name: "buffer: over HTTP/2 without a length",
    manager: before(buffer(100)),
    exchanges: [http2("/", {}, { body: "abc" })],
  },
  {
    name: "buffer: a route switches it off",
    manager: before(buffer(2)),
    routes: [forward({}, perRoute("b", `${http}.buffer.v3.BufferPerRoute`, { disabled: true }))],
    exchanges: [request("POST", "/", {}, "abcdef")],
  },
  {
    name: "buffer: a route with a limit of its own",
    statsExcept: leftOver,
    manager: before(buffer(100)),
    routes: [forward({}, perRoute("b", `${http}.buffer.v3.BufferPerRoute`, { buffer: { max_request_bytes: 2 } }))],
    exchanges: [request("POST", "/", {}, "abc"), request("POST", "/", {}, "ab")],
  },
];

const health = (fields: Json): Json =>
  filter("hc", `${http}.health_check.v3.HealthCheck`, {
    headers: [{ name: ":path", string_match: { exact: "/hc" } }],
    ...fields,
  });

export const healthCheckCases: readonly Case[] = [
  {
    name: "health_check: answers by itself",
    manager: before(health({ pass_through_mode: false })),
    exchanges: [get("/hc"), get("/"), request("POST", "/hc", {}, "abc")],
  },
  {
    name: "health_check: passes through",
    manager: before(health({ pass_through_mode: true })),
    exchanges: [get("/hc"), get("/")],
  },
  {
    name: "health_check: an answer is given again",
    manager: before(health({ pass_through_mode: true, cache_time: "60s" })),
    answers: [answer(503), answer(200)],
    exchanges: [get("/hc"), get("/hc"), get("/hc")],
  },
  {
    name: "health_check: a degraded answer is given again",
    manager: before(health({ pass_through_mode: true, cache_time: "60s" })),
    answers: [answer(200, { "x-envoy-degraded": "1" })],
    exchanges: [get("/hc"), get("/hc")],
  },
  {
    name: "health_check: by the health of a cluster",
    manager: before(health({ pass_through_mode: false, cluster_min_healthy_percentages: { "{id}": { value: 50 } } })),
    exchanges: [get("/hc")],
  },
  {
    name: "health_check: a cluster that is not there",
    manager: before(health({ pass_through_mode: false, cluster_min_healthy_percentages: { nowhere: { value: 1 } } })),
    exchanges: [get("/hc")],
  },
  {
    name: "health_check: a cluster without hosts",
    manager: before(health({ pass_through_mode: false, cluster_min_healthy_percentages: { "{id}-e": { value: 1 } } })),
    clusters: { "": cluster("a"), "-e": cluster([]) },
    exchanges: [get("/hc")],
  },
  {
    name: "health_check: too few are healthy",
    manager: before(health({ pass_through_mode: false, cluster_min_healthy_percentages: { "{id}-e": { value: 60 } } })),
    clusters: {
      "": cluster("a"),
      "-e": {
        load_assignment: {
          cluster_name: "{id}-e",
          endpoints: [
            {
              lb_endpoints: [
                { endpoint: { address: { socket_address: { address: "127.0.0.1", port_value: "port:a" } } } },
                {
                  health_status: "UNHEALTHY",
                  endpoint: { address: { socket_address: { address: "127.0.0.1", port_value: "port:b" } } },
                },
              ],
            },
          ],
        },
      },
    },
    exchanges: [get("/hc")],
  },
  {
    name: "health_check: without headers every request is one",
    manager: before(health({ pass_through_mode: false, headers: [] })),
    exchanges: [get("/any"), http2("/x")],
  },
];

const fault = (fields: Json): Json => filter("fault", `${http}.fault.v3.HTTPFault`, fields);

const hundred: Json = { numerator: 100 };

export const faultCases: readonly Case[] = [
  {
    name: "fault: an abort",
    manager: before(fault({ abort: { http_status: 418, percentage: hundred } })),
    exchanges: [get(), get("/", { "content-type": "application/grpc" })],
  },
  {
    name: "fault: an abort with a gRPC status",
    manager: before(fault({ abort: { grpc_status: 14, percentage: hundred } })),
    exchanges: [get(), http2("/s/m", { "content-type": "application/grpc" })],
  },
  {
    name: "fault: a delay",
    manager: before(fault({ delay: { fixed_delay: "0.05s", percentage: hundred } })),
    exchanges: [get(), request("POST", "/", {}, "abc")],
  },
  {
    name: "fault: a delay, then an abort",
    manager: before(
      fault({ delay: { fixed_delay: "0.05s", percentage: hundred }, abort: { http_status: 503, percentage: hundred } }),
    ),
    exchanges: [get()],
  },
  {
    name: "fault: by headers",
    manager: before(
      fault({ abort: { header_abort: {}, percentage: hundred }, delay: { header_delay: {}, percentage: hundred } }),
    ),
    exchanges: [
      get(),
      get("/", { "x-envoy-fault-abort-request": "429" }),
      get("/", { "x-envoy-fault-abort-request": "9" }),
      get("/", { "x-envoy-fault-abort-grpc-request": "5" }),
      get("/", { "x-envoy-fault-abort-request": "429", "x-envoy-fault-abort-request-percentage": "0" }),
      get("/", { "x-envoy-fault-delay-request": "30" }),
    ],
  },
  {
    name: "fault: a slow response",
    manager: before(fault({ response_rate_limit: { fixed_limit: { limit_kbps: 1 }, percentage: hundred } })),
    answers: answer(200, {}, "x".repeat(120)),
    exchanges: [get()],
  },
  {
    name: "fault: a slow response by a header",
    manager: before(fault({ response_rate_limit: { header_limit: {}, percentage: hundred } })),
    exchanges: [
      get(),
      get("/", { "x-envoy-fault-throughput-response": "1" }),
      get("/", { "x-envoy-fault-throughput-response": "x" }),
    ],
  },
  {
    name: "fault: a slow response with trailers",
    manager: before(fault({ response_rate_limit: { fixed_limit: { limit_kbps: 1 }, percentage: hundred } })),
    ...overHttp2,
    http2Answers: [{ headers: { ":status": 200 }, body: "y".repeat(100), trailers: { "x-end": "1" } }],
    exchanges: [http2("/")],
  },
  {
    name: "fault: only for a cluster, a node, a header",
    manager: before(
      fault({
        upstream_cluster: "{id}",
        downstream_nodes: ["n"],
        headers: [{ name: "x-a", string_match: { exact: "1" } }],
        abort: { http_status: 418, percentage: hundred },
      }),
    ),
    exchanges: [get(), get("/", { "x-a": "1" }), get("/", { "x-a": "1", "x-envoy-downstream-service-node": "n" })],
  },
  {
    name: "fault: a route's own",
    manager: before(fault({ abort: { http_status: 418, percentage: hundred } })),
    routes: [
      forward(
        {},
        perRoute("fault", `${http}.fault.v3.HTTPFault`, { abort: { http_status: 404, percentage: hundred } }),
      ),
    ],
    exchanges: [get()],
  },
  {
    name: "fault: none at a time",
    manager: before(fault({ max_active_faults: 0, abort: { http_status: 418, percentage: hundred } })),
    exchanges: [get()],
  },
];
