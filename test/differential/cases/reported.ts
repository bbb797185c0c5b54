/** What was once seen to differ, and does so no more. */
import type { Case, Json } from "../harness/case.ts";
import { accessLog } from "../harness/bootstrap.ts";
import { answer, forward, get, http2, raw, requestText } from "../harness/requests.ts";

const adds = (name: string, value: string): Json => ({ header: { key: name, value } });
const formats = [
  adds("x-log-type", "%ACCESS_LOG_TYPE%"),
  adds("x-variable", "%ENVIRONMENT(GLASSMESH_NOT_THERE)%"),
  adds("x-mixed", "a%ENVIRONMENT(GLASSMESH_NOT_THERE)%b"),
  adds("x-path", "%ENVIRONMENT(PATH):1%"),
];

export const reportedCases: readonly Case[] = [
  {
    name: "operators in headers that have nothing to say",
    virtualHost: { request_headers_to_add: formats, response_headers_to_add: formats },
    exchanges: [get("/")],
  },
  ...["\0", "\x01", "\x7f"].map((character): Case => ({
    name: `a control character in a header: ${JSON.stringify(character)}`,
    manager: {},
    exchanges: [raw(requestText("GET", "/", { "x-a": `b${character}c` }))],
  })),
  ...["\0", " ", "\x80", "("].map((character): Case => ({
    name: `a character in the name of a header: ${JSON.stringify(character)}`,
    manager: {},
    exchanges: [raw(requestText("GET", "/", { [`x-${character}a`]: "b" }))],
  })),
  {
    name: "101 that nobody asked for",
    answers: [answer(101, { upgrade: "x", connection: "upgrade" })],
    exchanges: [get("/")],
    differs: {
      why: "after a 101 that nobody asked for the two ends no longer agree on what the bytes mean: it goes no further",
      ours: /^HTTP\/1\.1 502 [^]*protocol error$/,
    },
  },
  ...[0, 50, 100].map((percent): Case => ({
    name: `a retry budget of ${percent} %`,
    clusters: {
      "": {
        circuit_breakers: {
          thresholds: [{ retry_budget: { budget_percent: { value: percent }, min_retry_concurrency: 0 } }],
        },
      },
    },
    routes: [
      forward({ retry_policy: { retry_on: "5xx", num_retries: 2, retry_back_off: { base_interval: "0.001s" } } }),
    ],
    answers: [answer(500), answer(200, {}, "x")],
    exchanges: [get("/")],
  })),
  {
    name: "retries are used up by a connection that fails",
    clusters: { "": { $backends: ["none"] } },
    routes: [
      forward({
        retry_policy: { retry_on: "connect-failure", num_retries: 1, retry_back_off: { base_interval: "0.001s" } },
      }),
    ],
    exchanges: [get("/")],
    blur: [[/x-envoy-expected-rq-timeout-ms: 1[45]\d\d\d/g, "x-envoy-expected-rq-timeout-ms: T"]],
  },
  {
    name: "escaped slashes refused and redirected, with what the route adds to responses",
    manager: { path_with_escaped_slashes_action: "UNESCAPE_AND_REDIRECT" },
    virtualHost: { response_headers_to_add: [adds("x-added", "yes")] },
    exchanges: [get("/a%2fb"), http2("/a%5Cb"), get("/ok")],
  },
  {
    name: "escaped slashes refused, with what the route adds to responses",
    manager: { path_with_escaped_slashes_action: "REJECT_REQUEST" },
    virtualHost: { response_headers_to_add: [adds("x-added", "yes")] },
    exchanges: [get("/a%2fb"), http2("/a%5Cb"), get("/ok")],
  },
  ...[
    { flush_access_log_on_new_request: true },
    { access_log_options: { flush_access_log_on_new_request: true } },
    { access_log_options: { flush_log_on_tunnel_successfully_established: true } },
  ].map((options): Case => ({
    name: `access logs before the end: ${JSON.stringify(options)}`,
    manager: {
      ...options,
      upgrade_configs: [{ upgrade_type: "websocket" }],
      access_log: [
        accessLog("{id}", { type: "%ACCESS_LOG_TYPE%", trace: "%TRACE_ID%", response: "%RESP(X-BACKEND)%" }),
      ],
    },
    routes: [{ match: { path: "/direct" }, direct_response: { status: 204 } }, forward()],
    answers: [
      answer(200, {}, "x"),
      answer(200, {}, "x"),
      {
        steps: [
          "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
          { act: "hang" },
        ],
        at: "head",
      },
    ],
    exchanges: [
      get("/direct"),
      get("/"),
      http2("/"),
      raw(requestText("GET", "/upgrade", { connection: "upgrade", upgrade: "websocket" })),
    ],
    // Where the field stands among the others differs.
    blur: [[/upgrade: websocket\r?\n/g, ""]],
    logs: "access_log_options" in options && !("flush_access_log_on_new_request" in options.access_log_options) ? 5 : 8,
  })),
  {
    name: "represent_ipv4_remote_address_as_ipv4_mapped_ipv6",
    manager: { use_remote_address: true, represent_ipv4_remote_address_as_ipv4_mapped_ipv6: true },
    exchanges: [get("/"), get("/", { "x-forwarded-for": "1.2.3.4" })],
  },
  {
    name: "an interval of access logs",
    manager: {
      access_log_options: { access_log_flush_interval: "0.4s" },
      access_log: [accessLog("{id}", { type: "%ACCESS_LOG_TYPE%" })],
    },
    answers: { steps: [{ waitMs: 1000 }, answer(200, {}, "x")] },
    exchanges: [get("/")],
    logs: 3,
  },
];
