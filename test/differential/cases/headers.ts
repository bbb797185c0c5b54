/** Headers: what is added, taken off, and written into them (R-31 … … R-90, §4.3). */
import type { Case, Json } from "../harness/case.ts";
import {
  answer,
  cluster,
  filter,
  forward,
  get,
  http2,
  inTurn,
  raw,
  request,
  requestText,
  router,
  says,
  rawUntilClosed,
  upstreamOptions,
} from "../harness/requests.ts";

const option = (key: string, value: string, more: Json = {}): Json => ({ header: { key, value }, ...more });
const managerCase = (name: string, manager: Json, ...exchanges: Case["exchanges"]): Case => ({
  name,
  manager,
  exchanges: exchanges.length === 0 ? [get("/"), http2("/")] : exchanges,
});
const tenSlashEight = { cidr_ranges: [{ address_prefix: "10.0.0.0", prefix_len: 8 }] };
const loopback = { cidr_ranges: [{ address_prefix: "127.0.0.0", prefix_len: 8 }] };
const xff = (...values: readonly (string | undefined)[]) =>
  values.map((value) => get("/", value === undefined ? {} : { "x-forwarded-for": value }));
const own = {
  "x-envoy-internal": "true",
  "x-envoy-force-trace": "1",
  "x-envoy-retry-on": "5xx",
  "x-envoy-ip-tags": "x",
  "x-envoy-original-url": "u",
  "x-envoy-original-path": "/o",
  "x-envoy-original-host": "h",
  "x-envoy-decorator-operation": "op",
  "x-envoy-downstream-service-cluster": "c",
  "x-envoy-downstream-service-node": "n",
  "x-envoy-external-address": "9.9.9.9",
  "x-envoy-expected-rq-timeout-ms": "5",
  "x-envoy-attempt-count": "9",
  "x-envoy-upstream-alt-stat-name": "alt",
  "x-envoy-hedge-on-per-try-timeout": "true",
  "x-envoy-peer-metadata": "x",
  "x-request-id": "mine",
  "x-forwarded-proto": "https",
  "x-forwarded-host": "fh",
  "x-forwarded-port": "1",
  "x-client-trace-id": "t",
};

/** Request operators by the name of the header they are written into. */
const operators = [
  "%PROTOCOL%",
  "%REQ(x-a)%",
  "%REQ(x-none)%",
  "%REQ(x-none?x-a)%",
  "%REQ(x-a):2%",
  "%REQ(:path)%",
  "%REQ(:method)%",
  "%REQ(:authority)%",
  "%REQ(:scheme)%",
  "%ROUTE_NAME%",
  "%RESPONSE_CODE%",
  "%RESPONSE_CODE_DETAILS%",
  "%RESPONSE_FLAGS%",
  "%BYTES_RECEIVED%",
  "%BYTES_SENT%",
  "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
  "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
  "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%",
  "%UPSTREAM_CLUSTER%",
  "%UPSTREAM_CLUSTER_RAW%",
  "%UPSTREAM_HOST%",
  "%UPSTREAM_REMOTE_ADDRESS%",
  "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
  "%REQUESTED_SERVER_NAME%",
  "%DYNAMIC_METADATA(a:b)%",
  "%CLUSTER_METADATA(a:b)%",
  "%UPSTREAM_METADATA(a:b)%",
  "%FILTER_STATE(a)%",
  "%DOWNSTREAM_PEER_SUBJECT%",
  "%DOWNSTREAM_TLS_VERSION%",
  "%VIRTUAL_CLUSTER_NAME%",
  "%QUERY_PARAM(q)%",
  "%QUERY_PARAM(none)%",
  "%PATH(NQ)%",
  "%PATH(WQ:PATH)%",
  "%PATH(NQ:ORIG)%",
  "%PATH(WQ:ORIG_OR_PATH):3%",
  "%REQUEST_HEADER(x-a)%",
  "%RESP(x-backend)%",
  "%RESPONSE_HEADER(x-backend)%",
  "%TRAILER(x)%",
  "%GRPC_STATUS%",
  "%%",
  "100%%",
  "a%REQ(x-a)%b%REQ(x-none)%c",
  "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
  "%CONNECTION_TERMINATION_DETAILS%",
  "%FILTER_CHAIN_NAME%",
  "%UPSTREAM_PROTOCOL%",
  "%UPSTREAM_HOST_NAME%",
  "%DOWNSTREAM_LOCAL_SUBJECT%",
  "%LOCAL_REPLY_BODY%",
] as const;

const addsHeader = { response_headers_to_add: [option("x-r", "%ROUTE_NAME% %RESPONSE_CODE%")] };

export const headerCases: readonly Case[] = [
  ...operators.map((operator): Case => ({
    name: `R-32: ${operator} in headers`,
    routes: [
      forward(
        {},
        {
          name: "the route",
          request_headers_to_add: [option("x-out", operator), option("x-keep", operator, { keep_empty_value: true })],
          response_headers_to_add: [option("x-out", operator)],
        },
      ),
    ],
    exchanges: [get("/p/a?q=1&r", { "x-a": "value" }), request("POST", "/", {}, "body")],
  })),
  ...["APPEND_IF_EXISTS_OR_ADD", "ADD_IF_ABSENT", "OVERWRITE_IF_EXISTS_OR_ADD", "OVERWRITE_IF_EXISTS"].map(
    (action): Case => ({
      name: `R-33: ${action}`,
      routes: [
        forward(
          {},
          {
            request_headers_to_add: [
              option("x-a", "new", { append_action: action }),
              option("x-a", "newer", { append_action: action }),
            ],
            response_headers_to_add: [
              option("x-backend", "new", { append_action: action }),
              option("x-none", "new", { append_action: action }),
            ],
          },
        ),
      ],
      exchanges: [get("/"), get("/", { "x-a": "old" }), get("/", { "x-a": ["one", "two"] })],
    }),
  ),
  {
    name: "R-33: the older append",
    routes: [
      forward(
        {},
        {
          request_headers_to_add: [option("x-a", "new", { append: false }), option("x-b", "new", { append: true })],
          request_headers_to_remove: ["x-gone", "X-Cap"],
          response_headers_to_remove: ["x-backend"],
        },
      ),
    ],
    exchanges: [get("/", { "x-a": "old", "x-b": "old", "x-gone": "1", "x-cap": "1" })],
  },
  {
    name: "R-33: headers of which there is one",
    routes: [
      forward(
        {},
        {
          request_headers_to_add: [
            "user-agent",
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-request-id",
            "via",
            "content-type",
            "te",
            "accept",
            "cookie",
            "authorization",
            "x-forwarded-host",
            "expect",
            "x-envoy-internal",
            "referer",
            "origin",
            "accept-encoding",
            "cache-control",
          ].map((name) => option(name, "more")),
          response_headers_to_add: [
            "server",
            "date",
            "location",
            "via",
            "content-type",
            "vary",
            "cache-control",
            "set-cookie",
            "etag",
            "x-request-id",
            "content-encoding",
          ].map((name) => option(name, "more")),
        },
      ),
    ],
    answers: answer(
      200,
      {
        server: "s",
        location: "/l",
        via: "v",
        "content-type": "text/x",
        vary: "v",
        "cache-control": "c",
        "set-cookie": "c",
        etag: "e",
        "x-request-id": "r",
        "content-encoding": "gzip",
      },
      "x",
    ),
    exchanges: [
      get("/", {
        "user-agent": "u",
        "x-forwarded-for": "1.2.3.4",
        via: "v",
        "content-type": "text/x",
        te: "trailers",
        accept: "a",
        cookie: "c=1",
        authorization: "x",
        "x-forwarded-host": "h",
        referer: "r",
        origin: "o",
        "accept-encoding": "e",
        "cache-control": "c",
      }),
    ],
  },
  {
    name: "R-17: fields that are sent twice",
    exchanges: [
      get("/", {
        "x-a": ["1", "2"],
        "user-agent": ["1", "2"],
        accept: ["1", "2"],
        cookie: ["a=1", "b=2"],
        via: ["1", "2"],
        "x-forwarded-for": ["1.1.1.1", "2.2.2.2"],
        "x-forwarded-proto": ["http", "https"],
        "content-type": ["a", "b"],
        "x-request-id": ["1", "2"],
        authorization: ["1", "2"],
        referer: ["1", "2"],
        "cache-control": ["1", "2"],
        te: ["trailers", "x"],
        "accept-encoding": ["1", "2"],
      }),
      http2("/", {
        "x-a": ["1", "2"],
        accept: ["1", "2"],
        cookie: ["a=1", "b=2"],
        via: ["1", "2"],
        "x-forwarded-for": ["1.1.1.1", "2.2.2.2"],
      }),
    ],
    differs: {
      why: "fields of one name stay apart here; they mean the same (RFC 9110, 5.3)",
      ours: /^HTTP\/1\.1 200 /,
    },
  },
  { name: "R-77: Envoy's own headers, inside", exchanges: [get("/", own), http2("/", own)] },
  managerCase("R-77: Envoy's own headers, at the edge", { use_remote_address: true }, get("/", own), http2("/", own)),
  managerCase(
    "R-77: Envoy's own headers, from inside at the edge",
    { use_remote_address: true, internal_address_config: loopback },
    get("/", own),
    get("/", { ...own, "x-forwarded-for": "10.0.0.1" }),
  ),
  managerCase(
    "R-77: internal by one hop",
    { internal_address_config: tenSlashEight },
    ...xff(
      "10.0.0.1",
      "1.2.3.4, 10.0.0.1",
      "10.0.0.1, 10.0.0.2",
      "1.2.3.4",
      "x",
      "",
      undefined,
      "10.0.0.1,",
      " 10.0.0.1 ",
      "10.0.0.1:80",
      "[::1]",
    ),
  ),
  {
    name: "R-77: internal_only_headers",
    routeConfig: { internal_only_headers: ["x-secret"] },
    manager: { internal_address_config: tenSlashEight },
    exchanges: [get("/", { "x-secret": "1" }), get("/", { "x-secret": "1", "x-forwarded-for": "10.0.0.1" })],
  },
  managerCase(
    "R-78: use_remote_address",
    { use_remote_address: true },
    ...xff(undefined, "1.2.3.4", "1.2.3.4, 5.6.7.8", "", "x"),
  ),
  managerCase(
    "R-78: use_remote_address and trusted hops",
    { use_remote_address: true, xff_num_trusted_hops: 1 },
    ...xff(undefined, "1.2.3.4", "1.2.3.4, 5.6.7.8", "x", "1.2.3.4,x"),
    get("/", { "x-forwarded-proto": "https" }),
  ),
  managerCase(
    "R-78: skip_xff_append",
    { use_remote_address: true, skip_xff_append: true },
    ...xff(undefined, "1.2.3.4"),
  ),
  ...[0, 1, 2].map((hops) =>
    managerCase(
      `R-79: ${hops} trusted hops`,
      { xff_num_trusted_hops: hops },
      ...xff(
        undefined,
        "1.1.1.1",
        "1.1.1.1, 2.2.2.2",
        "1.1.1.1,2.2.2.2,3.3.3.3",
        "1.1.1.1,,3.3.3.3",
        "::1, 2001:db8::1",
        "x,y,z",
      ),
    ),
  ),
  managerCase(
    "R-80: x-forwarded-proto inside",
    {},
    get("/", { "x-forwarded-proto": "https" }),
    get("/", { "x-forwarded-proto": "HTTP" }),
    get("/", { "x-forwarded-proto": "foo" }),
    http2("/", { ":scheme": "https" }),
    http2("/", { ":scheme": "https", "x-forwarded-proto": "http" }),
  ),
  managerCase(
    "R-80: x-forwarded-proto at the edge",
    { use_remote_address: true },
    get("/", { "x-forwarded-proto": "https" }),
    http2("/", { ":scheme": "https" }),
  ),
  managerCase(
    "R-80: scheme_header_transformation",
    { scheme_header_transformation: { scheme_to_overwrite: "https" } },
    get("/"),
    http2("/", { "x-forwarded-proto": "http" }),
  ),
  managerCase(
    "R-80: append_x_forwarded_port",
    { use_remote_address: true, append_x_forwarded_port: true },
    get("/"),
    get("/", { "x-forwarded-port": "1" }),
    get("/", { "x-forwarded-proto": "https" }),
  ),
  managerCase(
    "R-80: append_x_forwarded_port inside",
    { append_x_forwarded_port: true },
    get("/"),
    get("/", { "x-forwarded-port": "1" }),
  ),
  managerCase(
    "R-82: no request id is made",
    { generate_request_id: false },
    get("/"),
    get("/", { "x-request-id": "x" }),
  ),
  managerCase(
    "R-82: request ids at the edge",
    { use_remote_address: true },
    get("/", { "x-request-id": "mine" }),
    get("/", { "x-request-id": "00000000-0000-4000-8000-000000000000" }),
  ),
  managerCase(
    "R-82: request ids kept at the edge",
    { use_remote_address: true, preserve_external_request_id: true },
    get("/", { "x-request-id": "mine" }),
    get("/"),
  ),
  managerCase(
    "R-82: request ids in responses",
    { always_set_request_id_in_response: true },
    get("/", { "x-request-id": "mine" }),
    get("/"),
  ),
  managerCase(
    "R-82: request ids that tell of no trace",
    {
      request_id_extension: {
        typed_config: {
          "@type": "type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig",
          pack_trace_reason: false,
        },
      },
    },
    get("/", { "x-request-id": "00000000-0000-9000-8000-000000000000" }),
  ),
  managerCase("R-85: via", { via: "me" }, get("/"), get("/", { via: "1.1 you" }), http2("/", { via: ["a", "b"] })),
  managerCase("R-85: via of a local reply", { via: "me" }, get("/", { host: "nobody.test" })),
  managerCase(
    "R-85: add_user_agent",
    { add_user_agent: true },
    get("/"),
    get("/", { "user-agent": "own" }),
    http2("/"),
  ),
  ...["OVERWRITE", "APPEND_IF_ABSENT", "PASS_THROUGH"].map((mode): Case => ({
    name: `R-87: server ${mode}`,
    manager: { server_header_transformation: mode, server_name: "named" },
    answers: [answer(200, { server: "upstream" }, "x"), answer(200, {}, "x")],
    exchanges: [get("/"), get("/"), get("/", { host: "nobody.test" })],
  })),
  ...["ALLOW", "REJECT_REQUEST", "DROP_HEADER"].map((mode) =>
    managerCase(
      `R-90: underscores ${mode}`,
      { common_http_protocol_options: { headers_with_underscores_action: mode } },
      get("/", { x_y: "1", "x-z": "2" }),
      http2("/", { x_y: "1" }),
    ),
  ),
  managerCase(
    "R-98: enable_trailers",
    { http_protocol_options: { enable_trailers: true } },
    raw(requestText("POST", "/", { "transfer-encoding": "chunked" }, "1\r\nx\r\n0\r\nx-t: 1\r\n\r\n")),
    http2("/", {}, { body: "x", trailers: { "x-t": "1" } }),
  ),
  {
    name: "R-107: trailers to an HTTP/1.1 upstream that takes them, and back",
    manager: { http_protocol_options: { enable_trailers: true } },
    clusters: {
      "": cluster("a", upstreamOptions({ explicit_http_config: { http_protocol_options: { enable_trailers: true } } })),
    },
    answers: "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nx-t: 1\r\n\r\n",
    exchanges: [
      raw(
        requestText("POST", "/", { "transfer-encoding": "chunked", te: "trailers" }, "1\r\nx\r\n0\r\nx-r: 1\r\n\r\n"),
      ),
      http2("/", { te: "trailers" }, { body: "x", trailers: { "x-r": "1" } }),
    ],
  },
  {
    name: "R-107: trailers to an HTTP/2 upstream",
    clusters: { "": cluster("h", upstreamOptions()) },
    http2Answers: [{ body: "x", trailers: { "x-t": "1" } }],
    exchanges: [http2("/", { te: "trailers" }, { body: "x", trailers: { "x-r": "1" } }), request("POST", "/", {}, "x")],
  },
  managerCase(
    "R-106: proxy_100_continue",
    { proxy_100_continue: true },
    raw(requestText("POST", "/", { expect: "100-continue", "content-length": "1" }), { waitMs: 50 }, "x"),
  ),
  {
    name: "R-106: proxy_100_continue, and what the upstream says first",
    manager: { proxy_100_continue: true },
    answers: {
      at: "head",
      steps: ["HTTP/1.1 100 Continue\r\n\r\n", { until: "abc" }, answer(200, {}, "done")],
    },
    exchanges: [
      raw(requestText("POST", "/", { expect: "100-continue", "content-length": "3" }), { until: "100" }, "abc"),
    ],
  },
  {
    name: "R-106: 100-continue is answered by the proxy",
    exchanges: [
      raw(requestText("POST", "/", { expect: "100-continue", "content-length": "1" }), { until: "100" }, "x"),
      http2("/", { expect: "100-continue" }, { body: "x" }),
    ],
  },
  {
    name: "R-108: an early answer",
    answers: { at: "head", steps: [answer(413, {}, "no")] },
    exchanges: [raw(requestText("POST", "/", { "content-length": "100" }), "abc")],
  },
  ...["a", "no"].map((kind): Case => ({
    name: `R-97: max_request_headers_kb and count: ${kind}`,
    manager: { max_request_headers_kb: 2, common_http_protocol_options: { max_headers_count: 10 } },
    exchanges:
      kind === "a"
        ? [get("/", { "x-a": "a".repeat(3000) }), http2("/", { "x-a": "a".repeat(3000) })]
        : [
            get("/", Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`x-${i}`, "1"]))),
            http2("/", Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`x-${i}`, "1"]))),
          ],
    logs: 2,
  })),
  {
    name: "R-98: preserve_case to the upstream and back",
    manager: {
      http_protocol_options: {
        header_key_format: {
          stateful_formatter: {
            name: "preserve_case",
            typed_config: {
              "@type":
                "type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig",
            },
          },
        },
      },
    },
    clusters: {
      "": cluster(
        "a",
        upstreamOptions({
          explicit_http_config: {
            http_protocol_options: {
              header_key_format: {
                stateful_formatter: {
                  name: "preserve_case",
                  typed_config: {
                    "@type":
                      "type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig",
                  },
                },
              },
            },
          },
        }),
      ),
    },
    answers: "HTTP/1.1 200 OK\r\nX-Own-Case: 1\r\nContent-Length: 1\r\n\r\nx",
    exchanges: [raw("GET / HTTP/1.1\r\nHost: {id}.test\r\nX-Case: {id}\r\nX-MiXed: 1\r\n\r\n")],
  },
  {
    name: "early_header_mutation",
    manager: {
      early_header_mutation_extensions: [
        {
          name: "m",
          typed_config: {
            "@type":
              "type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
            mutations: [
              { append: option("x-early", "%REQ(x-a)%") },
              { remove: "x-gone" },
              { append: option("x-route", "early", { append_action: "OVERWRITE_IF_EXISTS_OR_ADD" }) },
            ],
          },
        },
      ],
    },
    routes: [
      says("early", { prefix: "/r", headers: [{ name: "x-route", string_match: { exact: "early" } }] }),
      forward(),
    ],
    exchanges: [get("/", { "x-a": "1", "x-gone": "1" }), get("/r")],
  },
  managerCase(
    "R-98: preserve_case",
    {
      http_protocol_options: {
        header_key_format: {
          stateful_formatter: {
            name: "preserve_case",
            typed_config: {
              "@type":
                "type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig",
            },
          },
        },
      },
    },
    raw("GET / HTTP/1.1\r\nHost: {id}.test\r\nX-Case: {id}\r\nX-MiXed: 1\r\n\r\n"),
  ),
  managerCase(
    "R-98: proper case",
    { http_protocol_options: { header_key_format: { proper_case_words: {} } } },
    get("/"),
    get("/", { host: "nobody.test" }),
  ),
  {
    name: "R-78: original_ip_detection by xff",
    manager: {
      original_ip_detection_extensions: [
        {
          name: "xff",
          typed_config: {
            "@type": "type.googleapis.com/envoy.extensions.http.original_ip_detection.xff.v3.XffConfig",
            xff_num_trusted_hops: 1,
          },
        },
      ],
      use_remote_address: false,
    },
    exchanges: xff(undefined, "1.1.1.1", "1.1.1.1, 2.2.2.2"),
  },
  {
    name: "R-78: original_ip_detection by a header",
    manager: {
      original_ip_detection_extensions: [
        {
          name: "header",
          typed_config: {
            "@type":
              "type.googleapis.com/envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig",
            header_name: "x-client",
            reject_with_status: { code: "Forbidden" },
          },
        },
      ],
      use_remote_address: false,
    },
    exchanges: [get("/", { "x-client": "1.2.3.4" }), get("/"), get("/", { "x-client": "nonsense" })],
  },
  {
    name: "R-57: max_connection_duration that is safe for HTTP/1",
    manager: {
      common_http_protocol_options: { max_connection_duration: "0.1s" },
      http1_safe_max_connection_duration: true,
    },
    logs: 2,
    exchanges: [
      {
        kind: "raw",
        responses: 2,
        steps: [requestText("GET", "/1"), { until: "#1" }, { waitMs: 200 }, requestText("GET", "/2")],
      },
    ],
  },
  {
    name: "R-31: headers of the route in a reply of the proxy: upgrade",
    routes: [forward({}, { name: "r", ...addsHeader })],
    exchanges: [get("/", { connection: "upgrade", upgrade: "websocket" })],
  },
  {
    name: "R-31: headers of the route in a reply of the proxy: rbac",
    manager: {
      http_filters: [
        filter("envoy.filters.http.rbac", "envoy.extensions.filters.http.rbac.v3.RBAC", {
          rules: { action: "ALLOW", policies: {} },
        }),
        router,
      ],
    },
    routes: [forward({}, { name: "r", ...addsHeader })],
    exchanges: [get("/")],
  },
  {
    name: "R-31: headers of the route in a reply of the proxy: fault",
    manager: {
      http_filters: [
        filter("envoy.filters.http.fault", "envoy.extensions.filters.http.fault.v3.HTTPFault", {
          abort: { http_status: 418, percentage: { numerator: 100 } },
        }),
        router,
      ],
    },
    routes: [forward({}, { name: "r", ...addsHeader })],
    exchanges: [get("/")],
  },
  {
    name: "R-31: headers of the route in a reply of the proxy: unhealthy",
    clusters: { "": cluster([]) },
    routes: [forward({}, { name: "r", ...addsHeader })],
    exchanges: [get("/")],
  },
  {
    name: "R-31: headers of the route in a reply of the proxy: fragment",
    routes: [forward({}, { name: "r", ...addsHeader })],
    exchanges: [get("/a#b")],
  },
  {
    name: "R-31: headers of the route in a reply of the proxy: idle",
    manager: { stream_idle_timeout: "0.1s" },
    routes: [forward({}, { name: "r", ...addsHeader })],
    answers: { steps: [{ act: "hang" }] },
    exchanges: [get("/")],
  },
  {
    name: "R-31: headers of the route in a reply of the proxy: not found",
    virtualHost: addsHeader,
    routes: [says("x", { path: "/x" })],
    exchanges: [get("/")],
  },
  {
    name: "R-31: headers of the route in a reply of the proxy: missing host",
    routeConfig: addsHeader,
    routes: [],
    exchanges: [get("/", { host: "other" })],
  },
  {
    name: "R-57: max_requests_per_connection",
    manager: { common_http_protocol_options: { max_requests_per_connection: 2 } },
    logs: 2,
    exchanges: [
      { kind: "raw", responses: 2, steps: [requestText("GET", "/"), { until: "#1" }, requestText("GET", "/")] },
    ],
  },
  {
    name: "R-57: keep-alive",
    logs: 3,
    exchanges: [inTurn(requestText("GET", "/1"), requestText("POST", "/2", {}, "x"), requestText("GET", "/3"))],
  },
  {
    name: "R-57: pipelining",
    logs: 2,
    exchanges: [{ kind: "raw", responses: 2, steps: [requestText("GET", "/1") + requestText("GET", "/2")] }],
  },
  { name: "R-57: connection: close", exchanges: [rawUntilClosed(requestText("GET", "/", { connection: "close" }))] },
  managerCase(
    "R-93: normalize_path",
    { normalize_path: true },
    ...[
      "/a/../b",
      "/a/./b?x=/../",
      "/%61%2f%2E%2e/b",
      "/a//b",
      "/a\\b",
      "/..",
      "/a/..",
      "/%00",
      "/%zz",
      "/a%",
      "//",
      "/a/b/",
      "/%7Euser",
      "/a;b/../c",
      "/a/%2e%2e/b",
      "/\x80",
      "/a b",
    ].map((path) => get(path)),
  ),
  managerCase(
    "R-94: merge_slashes",
    { merge_slashes: true },
    ...["//a///b//?x=//", "/", "//", "/a//../b"].map((path) => get(path)),
  ),
  managerCase(
    "R-94: merge_slashes and normalize_path",
    { merge_slashes: true, normalize_path: true },
    ...["//a///b//?x=//", "/a//../b", "/a/%2f/b", "/a/.//b"].map((path) => get(path)),
  ),
  ...["KEEP_UNCHANGED", "REJECT_REQUEST", "UNESCAPE_AND_REDIRECT", "UNESCAPE_AND_FORWARD"].map((action) =>
    managerCase(
      `R-95: escaped slashes: ${action}`,
      { path_with_escaped_slashes_action: action, normalize_path: true, merge_slashes: true },
      ...["/a%2fb", "/a%5Cb?x=%2f", "/a%2F..%2Fb", "/a", "/%2f%2f", "/a%252fb"].map((path) => get(path)),
      http2("/a%2fb", { "content-type": "application/grpc" }),
    ),
  ),
  managerCase(
    "R-96: strip_any_host_port",
    { strip_any_host_port: true },
    get("/", { host: "{id}.test:1" }),
    get("/", { host: "{id}.test" }),
    get("/", { host: "{id}.test:x" }),
    http2("/", { ":authority": "{id}.test:99" }),
  ),
  managerCase("R-96: strip_matching_host_port", { strip_matching_host_port: true }, get("/", { host: "{id}.test:80" })),
  managerCase(
    "R-96: strip_trailing_host_dot",
    { strip_trailing_host_dot: true },
    get("/", { host: "{id}.test." }),
    get("/", { host: "{id}.test.:80" }),
    get("/", { host: "{id}.test.." }),
  ),
  ...(
    [
      [
        "a body and a status",
        { mappers: [{ filter: status(404), status_code: 410, body: { inline_string: "gone: %REQ(:path)%" } }] },
      ],
      [
        "headers",
        {
          mappers: [
            {
              filter: status(404),
              headers_to_add: [
                option("x-mapped", "%RESPONSE_CODE%"),
                option("server", "mapped", { append_action: "OVERWRITE_IF_EXISTS_OR_ADD" }),
              ],
            },
          ],
        },
      ],
      [
        "a format of text",
        {
          body_format: { text_format_source: { inline_string: "[%LOCAL_REPLY_BODY%] %RESPONSE_CODE% %REQ(:path)%\n" } },
        },
      ],
      [
        "a format of text with a type",
        { body_format: { text_format_source: { inline_string: "<%LOCAL_REPLY_BODY%>" }, content_type: "text/html" } },
      ],
      [
        "a format of JSON",
        {
          body_format: {
            json_format: {
              code: "%RESPONSE_CODE%",
              body: "%LOCAL_REPLY_BODY%",
              path: "%REQ(:path)%",
              none: "%REQ(x-none)%",
            },
          },
        },
      ],
      [
        "a format of its own",
        {
          mappers: [
            {
              filter: status(404),
              body: { inline_string: "own" },
              body_format_override: { json_format: { b: "%LOCAL_REPLY_BODY%" } },
            },
          ],
          body_format: { text_format_source: { inline_string: "never" } },
        },
      ],
      ["by flag", { mappers: [{ filter: { response_flag_filter: { flags: ["NR"] } }, status_code: 444 }] }],
      [
        "by header",
        {
          mappers: [
            {
              filter: { header_filter: { header: { name: "x-a", present_match: true } } },
              body: { inline_string: "has x-a" },
            },
          ],
        },
      ],
    ] as const
  ).map(([what, config]) =>
    managerCase(
      `R-110: local replies: ${what}`,
      { local_reply_config: config },
      get("/x", { host: "nobody.test" }),
      get("/x", { host: "nobody.test", "x-a": "1" }),
      http2("/x", { ":authority": "nobody.test", "content-type": "application/grpc" }),
      request("HEAD", "/", { host: "nobody.test" }),
    ),
  ),
  {
    name: "R-110: local replies of direct responses",
    manager: {
      local_reply_config: { mappers: [{ filter: status(418), status_code: 200, body: { inline_string: "mapped" } }] },
    },
    routes: [{ match: { prefix: "/" }, direct_response: { status: 418, body: { inline_string: "tea" } } }],
    exchanges: [get("/")],
  },
  {
    name: "R-109: local replies to gRPC",
    exchanges: [400, 401, 403, 404, 429, 502, 503, 504, 500, 413].map((code) =>
      http2(`/${code}`, { "content-type": "application/grpc" }),
    ),
    routes: [400, 401, 403, 404, 429, 502, 503, 504, 500, 413].map((code) => ({
      match: { path: `/${code}` },
      direct_response: { status: code, body: { inline_string: "b\xf6dy %\n" } },
    })),
  },
  {
    name: "R-103: an upgrade that is not enabled",
    exchanges: [get("/", { connection: "upgrade", upgrade: "websocket" })],
  },
  {
    name: "R-104: a WebSocket",
    manager: { upgrade_configs: [{ upgrade_type: "websocket" }] },
    answers:
      "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: x\r\n\r\n",
    exchanges: [
      {
        kind: "raw",
        steps: [
          requestText("GET", "/", {
            connection: "Upgrade",
            upgrade: "websocket",
            "sec-websocket-key": "k",
            "sec-websocket-version": "13",
          }),
          { until: "101" },
          "ping",
          { until: "ping" },
          { act: "close" },
        ],
      },
    ],
    // The same two fields, written anew.
    blur: [[/(connection|upgrade): (upgrade|websocket)\r\n/gi, ""]],
    statsExcept: { downstream_rq_rx_reset: "the client's end is seen first by Envoy" },
  },
  {
    name: "R-104: a WebSocket that is refused",
    manager: { upgrade_configs: [{ upgrade_type: "websocket" }] },
    answers: answer(403, {}, "no"),
    exchanges: [get("/", { connection: "Upgrade", upgrade: "websocket" })],
    // The same two fields, written anew.
    blur: [[/(connection|upgrade): (upgrade|websocket)\r\n/gi, ""]],
    statsExcept: { downstream_rq_rx_reset: "the client's end is seen first by Envoy" },
  },
  {
    name: "R-86: te and connection",
    exchanges: [
      get("/", { te: "trailers" }),
      get("/", { te: "gzip" }),
      get("/", { te: "trailers;q=1, x" }),
      get("/", { connection: "x-a, close", "x-a": "1" }),
    ],
  },
  {
    name: "R-17: bytes above Latin-1 in values of the configuration",
    routes: [
      forward(
        {},
        { request_headers_to_add: [option("x-u", "€ é")], response_headers_to_add: [option("x-u", "€ %REQ(x-a)%")] },
      ),
    ],
    exchanges: [get("/", { "x-a": "\xe2\x82\xac" })],
  },
];

function status(value: number): Json {
  return { status_code_filter: { comparison: { op: "EQ", value: { default_value: value, runtime_key: "none" } } } };
}
