/** Retries, timeouts, failures of upstreams (R-47 … R-76). */
import type { Answer, Case, Exchange, Json } from "../harness/case.ts";
import {
  answer,
  cluster,
  endpoint,
  filter,
  forward,
  get,
  http2,
  request,
  upstreamOptions,
} from "../harness/requests.ts";

const fast: Json = { retry_back_off: { base_interval: "0.001s", max_interval: "0.002s" } };
const policy = (retryOn: string, more: Json = {}): Json => ({
  retry_policy: { retry_on: retryOn, num_retries: 2, ...fast, ...more },
});
const ok = answer(200, { "x-backend": "a" }, "ok");
const hang: Answer = { steps: [{ act: "hang" }] };
const reset: Answer = { steps: [{ act: "reset" }] };
const close: Answer = { steps: [{ act: "close" }] };

function retryCase(
  what: string,
  retryOn: string,
  answers: readonly Answer[],
  more: { policy?: Json; exchanges?: readonly Exchange[]; host?: Json; action?: Json; extra?: Partial<Case> } = {},
): Case {
  return {
    name: `R-62: retry_on ${what}`,
    virtualHost: { include_request_attempt_count: true, include_attempt_count_in_response: true, ...more.host },
    routes: [forward({ ...policy(retryOn, more.policy), ...more.action })],
    answers,
    exchanges: more.exchanges ?? [get("/")],
    blur: [[/x-envoy-expected-rq-timeout-ms: 1[45]\d\d\d/g, "x-envoy-expected-rq-timeout-ms: T"]],
    ...more.extra,
  };
}

/** Internal, so that what a request says of retries is believed. */
const internal = {
  use_remote_address: true,
  internal_address_config: { cidr_ranges: [{ address_prefix: "127.0.0.0", prefix_len: 8 }] },
};

function headerCase(
  what: string,
  fields: Readonly<Record<string, string>>,
  answers: readonly Answer[],
  more: Partial<Case> = {},
): Case {
  return {
    name: `R-61: ${what}`,
    manager: internal,
    answers,
    exchanges: [get("/", fields)],
    blur: [[/x-envoy-expected-rq-timeout-ms: 1[45]\d\d\d/g, "x-envoy-expected-rq-timeout-ms: T"]],
    ...more,
  };
}

export const retryCases: readonly Case[] = [
  ...[500, 501, 502, 503, 504, 505, 599].map((status) =>
    retryCase(`5xx: ${status}`, "5xx", [answer(status, {}, "bad"), ok]),
  ),
  ...[500, 502, 503, 504, 505].map((status) =>
    retryCase(`gateway-error: ${status}`, "gateway-error", [answer(status, {}, "bad"), ok]),
  ),
  retryCase("5xx: 429 is none", "5xx", [answer(429), ok]),
  retryCase("5xx: a reset", "5xx", [reset, ok]),
  retryCase("5xx: a connection that is closed", "5xx", [close, ok]),
  retryCase("5xx: x-envoy-ratelimited is never retried", "5xx", [answer(503, { "x-envoy-ratelimited": "true" }), ok]),
  retryCase("5xx twice", "5xx", [answer(500), answer(503), ok]),
  retryCase("5xx too often", "5xx", [answer(500, {}, "1"), answer(502, {}, "2"), answer(503, {}, "3")]),
  retryCase("5xx too often, by resets", "5xx", [reset, reset, reset]),
  retryCase("nothing of it", "", [answer(500)]),
  retryCase("reset", "reset", [reset, ok]),
  retryCase("reset: not 503", "reset", [answer(503), ok]),
  retryCase("reset-before-request: the request was sent", "reset-before-request", [reset, ok]),
  retryCase("connect-failure: not of a reset", "connect-failure", [reset, ok]),
  retryCase("connect-failure", "connect-failure", [], {
    extra: {
      clusters: { "": cluster("none") },
    },
  }),
  retryCase("retriable-4xx", "retriable-4xx", [answer(409), answer(400), ok]),
  retryCase("retriable-status-codes", "retriable-status-codes", [answer(418), answer(200, {}, "fine")], {
    policy: { retriable_status_codes: [418, 425] },
  }),
  retryCase("retriable-headers", "retriable-headers", [answer(200, { "x-again": "yes" }), ok], {
    policy: { retriable_headers: [{ name: "x-again", string_match: { exact: "yes" } }] },
  }),
  retryCase("envoy-ratelimited", "envoy-ratelimited", [answer(429, { "x-envoy-ratelimited": "true" }), ok]),
  retryCase("refused-stream over HTTP/2", "refused-stream", [], {
    extra: {
      clusters: { "": cluster("h", upstreamOptions()) },
      http2Answers: [{ reset: 7 }, { body: "fine" }],
    },
  }),
  retryCase("refused-stream: not another reset", "refused-stream", [], {
    extra: { clusters: { "": cluster("h", upstreamOptions()) }, http2Answers: [{ reset: 2 }, { body: "fine" }] },
  }),
  ...(
    [
      ["cancelled", "1"],
      ["deadline-exceeded", "4"],
      ["internal", "13"],
      ["resource-exhausted", "8"],
      ["unavailable", "14"],
    ] as const
  ).map(([name, status]) =>
    retryCase(`gRPC ${name}`, name, [], {
      exchanges: [http2("/", { "content-type": "application/grpc", te: "trailers" }, { body: "\0\0\0\0\0" })],
      extra: {
        clusters: { "": cluster("h", upstreamOptions()) },
        http2Answers: [
          { headers: { "grpc-status": status, "content-type": "application/grpc" }, body: "" },
          { headers: { "content-type": "application/grpc" }, body: "x", trailers: { "grpc-status": "0" } },
        ],
      },
    }),
  ),
  retryCase("gRPC: not by trailers", "unavailable", [], {
    exchanges: [http2("/", { "content-type": "application/grpc", te: "trailers" }, { body: "\0\0\0\0\0" })],
    extra: {
      clusters: { "": cluster("h", upstreamOptions()) },
      http2Answers: [{ headers: { "content-type": "application/grpc" }, body: "x", trailers: { "grpc-status": "14" } }],
    },
  }),
  retryCase("5xx, with a body that is sent again", "5xx", [answer(500), ok], {
    exchanges: [request("POST", "/", {}, "the body")],
  }),
  retryCase("5xx, a body too large to be kept", "5xx", [answer(500), ok], {
    host: { per_request_buffer_limit_bytes: 4 },
    exchanges: [request("POST", "/", {}, "the body")],
  }),
  retryCase("retriable_request_headers: one that matches", "5xx", [answer(500), ok], {
    policy: { retriable_request_headers: [{ name: "x-idempotent", present_match: true }] },
    exchanges: [get("/", { "x-idempotent": "1" })],
  }),
  retryCase("retriable_request_headers: none that matches", "5xx", [answer(500), ok], {
    policy: { retriable_request_headers: [{ name: "x-idempotent", present_match: true }] },
  }),
  retryCase("names that nobody knows", "foo, 5xx ,bar", [answer(500), ok]),
  retryCase("5xx, of the virtual host", "", [answer(500), ok], {
    host: policy("5xx"),
    action: { retry_policy: undefined },
  }),
  retryCase("5xx, with a rate-limited back-off", "5xx", [answer(503, { "retry-after": "0" }), ok], {
    policy: { rate_limited_retry_back_off: { reset_headers: [{ name: "retry-after", format: "SECONDS" }] } },
  }),
  retryCase("5xx, where the circuit breaker lets none through", "5xx", [answer(500, {}, "first"), ok], {
    extra: { clusters: { "": cluster("a", { circuit_breakers: { thresholds: [{ max_retries: 0 }] } }) } },
  }),
  retryCase("5xx, to other hosts", "5xx", [answer(500), answer(500), ok], {
    policy: {
      retry_host_predicate: [
        {
          name: "envoy.retry_host_predicates.previous_hosts",
          typed_config: {
            "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
          },
        },
      ],
      host_selection_retry_max_attempts: 5,
    },
  }),
  retryCase("5xx and virtual clusters", "5xx", [answer(500), ok], {
    host: { virtual_clusters: [{ name: "vc", headers: [{ name: ":path", string_match: { prefix: "/v" } }] }] },
    exchanges: [get("/v"), get("/other")],
  }),
  {
    name: "R-74: statistics of a route with a stat_prefix",
    routes: [{ ...forward(policy("5xx")), stat_prefix: "own" }],
    answers: [answer(500), ok],
    exchanges: [get("/"), get("/")],
    blur: [[/x-envoy-expected-rq-timeout-ms: 1[45]\d\d\d/g, "x-envoy-expected-rq-timeout-ms: T"]],
  },
  headerCase("x-envoy-retry-on", { "x-envoy-retry-on": "5xx" }, [answer(500), ok]),
  headerCase("x-envoy-max-retries", { "x-envoy-retry-on": "5xx", "x-envoy-max-retries": "0" }, [answer(500), ok]),
  headerCase("x-envoy-retry-grpc-on", { "x-envoy-retry-grpc-on": "unavailable" }, [
    answer(200, { "grpc-status": "14" }),
    ok,
  ]),
  headerCase(
    "x-envoy-retriable-status-codes",
    { "x-envoy-retry-on": "retriable-status-codes", "x-envoy-retriable-status-codes": "418, x, 419" },
    [answer(419), ok],
  ),
  headerCase(
    "x-envoy-retriable-header-names",
    { "x-envoy-retry-on": "retriable-headers", "x-envoy-retriable-header-names": "X-Again" },
    [answer(200, { "x-again": "" }), ok],
  ),
  headerCase("x-envoy-upstream-rq-timeout-ms", { "x-envoy-upstream-rq-timeout-ms": "100" }, [hang]),
  headerCase(
    "x-envoy-upstream-rq-timeout-alt-response",
    { "x-envoy-upstream-rq-timeout-ms": "100", "x-envoy-upstream-rq-timeout-alt-response": "1" },
    [hang],
  ),
  headerCase(
    "x-envoy-upstream-rq-per-try-timeout-ms",
    { "x-envoy-retry-on": "5xx", "x-envoy-upstream-rq-per-try-timeout-ms": "80" },
    [hang, ok],
  ),
  headerCase("x-envoy-expected-rq-timeout-ms from outside", { "x-envoy-expected-rq-timeout-ms": "7" }, [ok]),
  headerCase(
    "x-envoy-upstream-rq-timeout-ms that is no number",
    { "x-envoy-upstream-rq-timeout-ms": "x", "x-envoy-max-retries": "y" },
    [ok],
  ),
  {
    name: "R-77: an external request says nothing of retries",
    manager: { use_remote_address: true },
    answers: [answer(500), ok],
    exchanges: [
      get("/", {
        "x-envoy-retry-on": "5xx",
        "x-envoy-upstream-rq-timeout-ms": "1",
        "x-envoy-original-path": "/x",
        "x-envoy-foo": "1",
      }),
    ],
  },
  {
    name: "R-47: the timeout of a route",
    routes: [forward({ timeout: "0.1s" })],
    answers: hang,
    exchanges: [get("/"), http2("/"), http2("/", { "content-type": "application/grpc" })],
  },
  {
    name: "R-47: a timeout after the response has begun",
    routes: [forward({ timeout: "0.15s" })],
    answers: { steps: ["HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", { act: "hang" }] },
    exchanges: [get("/"), http2("/")],
  },
  {
    name: "R-47: no timeout",
    routes: [forward({ timeout: "0s" })],
    exchanges: [get("/")],
  },
  {
    name: "R-51: per_try_timeout without retries",
    routes: [forward({ retry_policy: { per_try_timeout: "0.1s" } })],
    answers: hang,
    exchanges: [get("/")],
  },
  retryCase("5xx by per_try_timeout", "5xx", [hang, ok], { policy: { per_try_timeout: "0.1s" } }),
  retryCase("5xx by per_try_timeout, too often", "5xx", [hang], { policy: { per_try_timeout: "0.06s" } }),
  retryCase("5xx, and whether a timeout was the reason", "5xx", [hang, answer(500), ok], {
    policy: { per_try_timeout: "0.1s" },
    host: { include_is_timeout_retry_header: true },
  }),
  retryCase("5xx by per_try_idle_timeout", "5xx", [hang, ok], { policy: { per_try_idle_timeout: "0.1s" } }),
  retryCase("5xx, hedged", "5xx", [{ steps: [{ waitMs: 400 }, ok] }, answer(200, { "x-which": "second" }, "2")], {
    policy: { per_try_timeout: "0.1s" },
    action: { hedge_policy: { hedge_on_per_try_timeout: true } },
    extra: { statsExcept: { upstream_rq_tx_reset: "whether the slow attempt is still there" } },
  }),
  {
    name: "R-53: what the next hop is told of the time",
    routes: [
      forward({ timeout: "0s" }, { match: { prefix: "/none" } }),
      forward(
        { timeout: "3s", retry_policy: { retry_on: "5xx", per_try_timeout: "2s" } },
        { match: { prefix: "/try" } },
      ),
      forward(
        { timeout: "3s", retry_policy: { retry_on: "5xx", per_try_timeout: "9s" } },
        { match: { prefix: "/long" } },
      ),
      forward({ timeout: "0.5s" }, { match: { prefix: "/short" } }),
    ],
    exchanges: [get("/none"), get("/try"), get("/long"), get("/short")],
  },
  {
    name: "R-50: grpc-timeout and max_stream_duration",
    routes: [
      forward({ max_stream_duration: { grpc_timeout_header_max: "5s" } }, { match: { prefix: "/max" } }),
      forward({ max_stream_duration: { grpc_timeout_header_max: "0s" } }, { match: { prefix: "/nomax" } }),
      forward(
        { max_stream_duration: { grpc_timeout_header_max: "5s", grpc_timeout_header_offset: "1s" } },
        { match: { prefix: "/off" } },
      ),
      forward({ max_grpc_timeout: "4s" }, { match: { prefix: "/old" } }),
      forward({}, { match: { prefix: "/" } }),
    ],
    exchanges: ["/max", "/nomax", "/off", "/old", "/"].flatMap((path) =>
      ["3S", "10S", "1M", "1500m", "x", undefined].map((timeout) =>
        http2(path, {
          "content-type": "application/grpc",
          ...(timeout === undefined ? {} : { "grpc-timeout": timeout }),
        }),
      ),
    ),
  },
  {
    name: "R-54: the idle timeout of a route",
    routes: [forward({ idle_timeout: "0.15s", timeout: "0s" })],
    answers: hang,
    exchanges: [get("/"), http2("/")],
  },
  ...(
    [
      [
        "answers with 101 that nobody asked for",
        "HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        "a connection that one side takes for a tunnel and the other does not can be used to smuggle",
        /^HTTP\/1\.1 502 /,
      ],
      [
        "resets inside a body that ends with the connection",
        { steps: ["HTTP/1.1 200 OK\r\n\r\nabc", { waitMs: 60 }, { act: "reset" }] },
        "a body that a reset has cut off is not passed off as whole",
        /abc\(no end\)\(closed\)$/,
      ],
      [
        "names fields of its own in connection",
        "HTTP/1.1 200 OK\r\nconnection: x-foo\r\nx-foo: 1\r\ncontent-length: 1\r\n\r\nx",
        "what an upstream says of its connection ends there (RFC 9110, 7.6.1)",
        /^(?![^]*x-foo)/,
      ],
      [
        "sends twice what is a list",
        answer(200, { vary: ["a", "b"], "cache-control": ["x", "y"] }, "x"),
        "fields of one name stay apart here; they mean the same (RFC 9110, 5.3)",
        /vary: a\r\nvary: b\r\n/,
      ],
    ] as const
  ).map(([what, given, why, ours]): Case => ({
    name: `R-97: an upstream ${what}`,
    answers: given,
    exchanges: [get("/")],
    differs: { why, ours },
  })),
  {
    name: "R-54: stream_idle_timeout while the request comes",
    manager: { stream_idle_timeout: "0.15s" },
    statsExcept: { downstream_rq_rx_reset: "the rest of the request is waited for by Envoy, and ends as a reset" },
    exchanges: [
      { kind: "raw", steps: ["POST / HTTP/1.1\r\nhost: {id}.test\r\nx-case: {id}\r\ncontent-length: 9\r\n\r\nabc"] },
    ],
  },
  {
    name: "R-54: stream_idle_timeout after the response has begun",
    manager: { stream_idle_timeout: "0.15s" },
    answers: { steps: ["HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", { act: "hang" }] },
    statsExcept: {
      downstream_rq_rx_reset: "the client's end is seen first by Envoy",
      downstream_cx_delayed_close_timeout: "the same",
    },
    exchanges: [get("/"), http2("/")],
  },
  {
    name: "R-55: request_timeout",
    manager: { request_timeout: "0.15s" },
    statsExcept: { downstream_rq_rx_reset: "the rest of the request is waited for by Envoy, and ends as a reset" },
    exchanges: [
      { kind: "raw", steps: ["POST / HTTP/1.1\r\nhost: {id}.test\r\nx-case: {id}\r\ncontent-length: 9\r\n\r\nabc"] },
    ],
  },
  {
    name: "R-55: request_headers_timeout",
    manager: { request_headers_timeout: "0.15s" },
    exchanges: [{ kind: "raw", steps: ["POST / HTTP/1.1\r\nhost: {id}.test\r\nx-case: {id}\r\n"] }],
  },
  {
    name: "R-56: max_stream_duration of the connection manager",
    manager: { common_http_protocol_options: { max_stream_duration: "0.15s" } },
    answers: hang,
    exchanges: [get("/"), http2("/"), http2("/", { "content-type": "application/grpc" })],
  },
  {
    name: "R-56: max_stream_duration of a route",
    routes: [forward({ max_stream_duration: { max_stream_duration: "0.15s" } })],
    answers: hang,
    exchanges: [get("/"), http2("/")],
  },
  {
    name: "R-56: max_stream_duration of a cluster",
    clusters: { "": cluster("a", upstreamOptions({ common_http_protocol_options: { max_stream_duration: "0.15s" } })) },
    answers: hang,
    exchanges: [get("/")],
  },
  ...(
    [
      ["closes before it answers", close],
      ["resets before it answers", reset],
      ["closes inside its head", { steps: ["HTTP/1.1 200 OK\r\nx-a: 1\r\n", { act: "close" }] }],
      [
        "closes inside a body of known length",
        { steps: ["HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", { act: "close" }] },
      ],
      [
        "resets inside a body of known length",
        { steps: ["HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", { waitMs: 60 }, { act: "reset" }] },
      ],
      [
        "closes inside a chunked body",
        {
          steps: [
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
            { waitMs: 60 },
            { act: "close" },
          ],
        },
      ],
      [
        "closes inside a chunk",
        { steps: ["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nabc", { waitMs: 60 }, { act: "close" }] },
      ],
      ["ends its body with the connection", { steps: ["HTTP/1.1 200 OK\r\n\r\nabc", { act: "close" }] }],
      ["answers with HTTP/1.0", { steps: ["HTTP/1.0 200 OK\r\n\r\nabc", { act: "close" }] }],
      ["answers with nonsense", "nonsense\r\n\r\n"],
      [
        "answers with both framings",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
      ],
      ["answers with two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd"],
      ["answers with a wrong chunk", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"],
      ["answers with a header without colon", "HTTP/1.1 200 OK\r\nfoo\r\ncontent-length: 0\r\n\r\n"],
      ["answers with 100 first", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx"],
      [
        "answers with 103 first",
        "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx",
      ],
      ["answers with a status of 999", "HTTP/1.1 999 What\r\ncontent-length: 0\r\n\r\n"],
      ["answers with connection: close", "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx"],
      [
        "answers with hop-by-hop fields",
        "HTTP/1.1 200 OK\r\nkeep-alive: 5\r\nproxy-connection: x\r\nupgrade: h2c\r\ntrailer: x\r\nte: trailers\r\ncontent-length: 1\r\n\r\nx",
      ],
      [
        "answers with 101 fields",
        answer(200, Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`x-${i}`, "1"])), "x"),
      ],
      ["answers with a head of 79 KiB", answer(200, { "x-a": "a".repeat(79_000) }, "x")],
      ["answers with a head of 83 KiB", answer(200, { "x-a": "a".repeat(83_000) }, "x")],
      ["answers 204 with a length of 0", "HTTP/1.1 204 No\r\ncontent-length: 0\r\n\r\n"],
      ["answers 304 with a length", "HTTP/1.1 304 No\r\ncontent-length: 7\r\n\r\n"],
      ["answers 304 without one", "HTTP/1.1 304 No\r\n\r\n"],
      ["answers 205 with a body", "HTTP/1.1 205 Reset\r\ncontent-length: 2\r\n\r\nab"],
      ["sends more than it said", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nxyz"],
      [
        "has a date and a server of its own",
        answer(200, { date: "Thu, 01 Jan 1970 00:00:00 GMT", server: "own", via: "1.1 x" }, "x"),
      ],
      ["sends fields twice", answer(200, { "set-cookie": ["a", "b"], "x-a": ["1", "2"] }, "x")],
      ["sends trailers", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nx-t: 1\r\n\r\n"],
      ["sends bytes above ASCII", answer(200, { "x-a": "\xc3\xa9\xff" }, "\xc3\xa9")],
    ] as const
  ).map(([what, given]): Case => ({
    name: `R-97: an upstream ${what}`,
    answers: given as Answer,
    // What is larger is too much for the client over HTTP/2.
    exchanges: what.includes("KiB") ? [get("/")] : [get("/"), http2("/"), request("HEAD", "/")],
  })),
  ...(
    [
      ["a reset", { reset: 8 }],
      ["a refused stream", { reset: 7 }],
      ["NO_ERROR", { reset: 0 }],
      ["a reset after its head", { headers: { ":status": 200 }, body: "part", reset: 8 }],
      ["trailers", { body: "x", trailers: { "x-t": "1" } }],
      ["fields twice", { headers: { "set-cookie": "a", "x-a": "1" }, body: "x" }],
      ["204", { headers: { ":status": 204 }, body: "" }],
      ["500", { headers: { ":status": 500 }, body: "bad" }],
      [
        "grpc trailers only",
        { headers: { "content-type": "application/grpc", "grpc-status": "5", "grpc-message": "no" }, body: "" },
      ],
    ] as const
  ).map(([what, given]): Case => ({
    name: `R-99: an HTTP/2 upstream answers with ${what}`,
    clusters: { "": cluster("h", upstreamOptions()) },
    http2Answers: [given],
    exchanges: [
      get("/?1"),
      http2("/?2"),
      http2("/?3", { "content-type": "application/grpc", te: "trailers" }, { body: "x", trailers: { t: "1" } }),
      request("POST", "/?4", {}, "body"),
    ],
  })),
  {
    name: "R-75: refresh_cluster_on_retry, and hosts omitted by their metadata",
    clusters: {
      "": {
        load_assignment: {
          cluster_name: "{id}",
          endpoints: [
            { lb_endpoints: [endpoint("a", { metadata: { filter_metadata: { "envoy.lb": { stage: "canary" } } } })] },
            { priority: 1, lb_endpoints: [endpoint("b")] },
          ],
        },
      },
    },
    routes: [
      forward(
        policy("5xx", {
          refresh_cluster_on_retry: true,
          host_selection_retry_max_attempts: "3",
          retry_host_predicate: [
            filter(
              "envoy.retry_host_predicates.omit_host_metadata",
              "envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig",
              { metadata_match: { filter_metadata: { "envoy.lb": { stage: "canary" } } } },
            ),
          ],
        }),
      ),
    ],
    answers: [answer(500), ok],
    exchanges: [get("/")],
    blur: [[/x-envoy-expected-rq-timeout-ms: 1[45]\d\d\d/g, "x-envoy-expected-rq-timeout-ms: T"]],
  },
];
