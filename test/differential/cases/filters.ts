/** HTTP filters that stand before the router. */
import { request as nodeRequest } from "node:http";
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from "node:zlib";
import { toBinary } from "@bufbuild/protobuf";
import { messageFromJson } from "#protos/json.ts";
import { schema } from "#protos/registry.ts";
import type { RateLimitResponse } from "#protos/gen/envoy/service/ratelimit/v3/rls_pb.js";
import { withId } from "../harness/bootstrap.ts";
import type { BackendName, Case, Exchange, Http2Answer, Json } from "../harness/case.ts";
import { exchangeRaw, openPlain } from "../harness/client.ts";
import {
  answer,
  cluster,
  filter,
  forward,
  get,
  http2,
  inTurn,
  request,
  requestText,
  router,
  upstreamOptions,
} from "../harness/requests.ts";

const http = "envoy.extensions.filters.http";

/** A connection manager with these filters, for a listener of the case's own. */
function before(...filters: readonly Json[]): Json {
  return { http_filters: [...filters, router] };
}

/** Per-route configuration of the filter `name`. */
function perRoute(name: string, type: string, fields: Json): Json {
  return { typed_per_filter_config: { [name]: { "@type": `type.googleapis.com/${type}`, ...fields } } };
}

/** Statistics whose names hold the case's, as an exchange: for those that stand outside of what is compared anyway. */
function counts(pattern: string): Exchange {
  return {
    kind: "own",
    run: async (side, id) => {
      const page = await side.admin(`/stats?usedonly&filter=${encodeURIComponent(pattern.replaceAll("{id}", id))}`);
      return page.split("\n").toSorted().join("\n");
    },
  };
}

/** Over HTTP/2 Envoy writes pseudo headers in another order, and counts trailers where it receives them. */
const overHttp2: Pick<Case, "clusters" | "blur" | "statsExcept"> = {
  clusters: { "": cluster("h", upstreamOptions()) },
  blur: [[/(?:h: )?:(?:authority|scheme|method|path): [^\r\n]*\r?\n/g, ""]],
  statsExcept: {
    "http2.nghttp2_upstream_connections": "names Envoy's codec",
    "http2.trailers": "ours counts all, Envoy those of some codecs",
  },
};

/** What remains of a body after the answer is thrown away with the connection: whether the client hears of it is a race. */
const leftOver = { downstream_rq_rx_reset: "whether the client's end is seen first is a race" } as const;

const append = (key: string, value: string, action = "APPEND_IF_EXISTS_OR_ADD"): Json => ({
  append: { header: { key, value }, append_action: action },
});
const mutation = (mutations: Json, more: Json = {}): Json =>
  filter("hm", `${http}.header_mutation.v3.HeaderMutation`, { mutations, ...more });
const mutationPerRoute = (mutations: Json): Json =>
  perRoute("hm", `${http}.header_mutation.v3.HeaderMutationPerRoute`, { mutations });
const query = (key: string, value: string, action = "APPEND_IF_EXISTS_OR_ADD"): Json => ({
  append: { record: { key, value }, action },
});

export const headerMutationCases: readonly Case[] = [
  {
    name: "header_mutation: the four ways to add, with operators",
    manager: before(
      mutation({
        request_mutations: [
          append("x-a", "two"),
          append("x-b", "%REQ(x-a)%"),
          append("x-c", "c", "ADD_IF_ABSENT"),
          append("x-d", "d", "ADD_IF_ABSENT"),
          append("x-e", "e", "OVERWRITE_IF_EXISTS"),
          append("x-f", "f", "OVERWRITE_IF_EXISTS"),
          append("x-g", "g", "OVERWRITE_IF_EXISTS_OR_ADD"),
          append("x-empty", "%REQ(nothing)%"),
        ],
      }),
    ),
    exchanges: [get("/", { "x-a": "one", "x-c": "0", "x-e": "0", "x-g": ["0", "1"] })],
  },
  {
    name: "header_mutation: removes, by name and by match",
    manager: before(
      mutation({
        request_mutations: [{ remove: "x-a" }, { remove_on_match: { key_matcher: { prefix: "x-drop-" } } }],
        response_mutations: [{ remove: "x-secret" }],
      }),
    ),
    answers: answer(200, { "x-secret": "1", "x-keep": "2" }, "ok"),
    exchanges: [get("/", { "x-a": "1", "x-drop-one": "1", "x-drop-two": "2", "x-b": "3" })],
  },
  {
    name: "header_mutation: responses, and answers of the proxy",
    manager: before(
      mutation({ response_mutations: [append("x-status", "%RESPONSE_CODE%"), append("x-path", "%REQ(:path)%")] }),
    ),
    routes: [
      { match: { path: "/own" }, direct_response: { status: 418, body: { inline_string: "own" } } },
      forward({}, { match: { path: "/" } }),
    ],
    exchanges: [get("/"), get("/own"), get("/none")],
  },
  {
    name: "header_mutation: levels of the route, the least specific last",
    manager: before(
      mutation({ request_mutations: [append("x-l", "filter")], response_mutations: [append("x-l", "filter")] }),
    ),
    routes: [
      forward(
        {},
        mutationPerRoute({ request_mutations: [append("x-l", "route")], response_mutations: [append("x-l", "route")] }),
      ),
    ],
    virtualHost: mutationPerRoute({
      request_mutations: [append("x-l", "host")],
      response_mutations: [append("x-l", "host")],
    }),
    exchanges: [get()],
  },
  {
    name: "header_mutation: levels of the route, the most specific last",
    manager: before(mutation({}, { most_specific_header_mutations_wins: true })),
    routes: [
      forward({}, mutationPerRoute({ request_mutations: [append("x-l", "route", "OVERWRITE_IF_EXISTS_OR_ADD")] })),
    ],
    virtualHost: mutationPerRoute({ request_mutations: [append("x-l", "host", "OVERWRITE_IF_EXISTS_OR_ADD")] }),
    exchanges: [get()],
  },
  {
    name: "header_mutation: query parameters",
    manager: before(
      mutation({
        query_parameter_mutations: [
          query("a", "2"),
          query("b", "%REQ(x-b)%", "ADD_IF_ABSENT"),
          query("c", "new", "OVERWRITE_IF_EXISTS"),
          query("d", "new", "OVERWRITE_IF_EXISTS_OR_ADD"),
          { remove: "e" },
        ],
      }),
    ),
    exchanges: [
      get("/p?z=1&a=1&c=0&d=0&e=0&f", { "x-b": "b c/ü" }),
      get("/p?c=%20x%2f&a=%41+b", { "x-b": "1" }),
      get("/p", { "x-b": "1" }),
    ],
  },
  {
    name: "header_mutation: trailers",
    manager: before(
      mutation({
        request_trailers_mutations: [append("x-t", "req")],
        response_trailers_mutations: [append("x-t", "res"), { remove: "x-drop" }],
      }),
    ),
    ...overHttp2,
    http2Answers: [{ headers: { ":status": 200 }, body: "ok", trailers: { "x-end": "1", "x-drop": "1" } }],
    exchanges: [http2("/", {}, { body: "b", trailers: { "x-own": "1" } })],
  },
];

const buffer = (max: number): Json => filter("b", `${http}.buffer.v3.Buffer`, { max_request_bytes: max });
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

const setMetadata = (fields: Json, name = "sm"): Json => filter(name, `${http}.set_metadata.v3.Config`, fields);
const shows = (ns: string): Json => mutation({ response_mutations: [append("x-md", `%DYNAMIC_METADATA(${ns})%`)] });

export const metadataCases: readonly Case[] = [
  {
    name: "set_metadata: a value",
    manager: before(setMetadata({ metadata: [{ metadata_namespace: "ns", value: { a: 1, b: "x" } }] }), shows("ns")),
    exchanges: [get()],
  },
  {
    name: "set_metadata: the deprecated fields",
    manager: before(setMetadata({ metadata_namespace: "ns", value: { a: [1, 2] } }), shows("ns")),
    exchanges: [get()],
  },
  {
    name: "set_metadata: overwriting is denied",
    manager: before(
      setMetadata({
        metadata: [
          { metadata_namespace: "ns", value: { a: 1 } },
          { metadata_namespace: "ns", value: { a: 2 } },
        ],
      }),
      shows("ns"),
    ),
    exchanges: [get()],
  },
  {
    name: "set_metadata: overwriting merges",
    manager: before(
      setMetadata({
        metadata: [
          { metadata_namespace: "ns", value: { a: 1, l: [1], s: { x: 1 } } },
          { metadata_namespace: "ns", allow_overwrite: true, value: { a: 2, l: [2], s: { y: 2 } } },
        ],
      }),
      shows("ns"),
    ),
    exchanges: [get()],
  },
  {
    name: "set_metadata: two filters, two namespaces",
    manager: before(
      setMetadata({ metadata: [{ metadata_namespace: "ns", value: { a: 1 } }] }),
      setMetadata({ metadata: [{ metadata_namespace: "other", value: { b: 1 } }] }, "sm2"),
      shows("other"),
    ),
    exchanges: [get()],
  },
  {
    name: "set_metadata: an empty value",
    manager: before(setMetadata({ metadata: [{ metadata_namespace: "ns" }] }), shows("ns")),
    exchanges: [get()],
  },
  {
    name: "set_metadata: one key",
    manager: before(
      setMetadata({ metadata: [{ metadata_namespace: "ns", value: { a: { b: "deep" } } }] }),
      shows("ns:a:b"),
    ),
    exchanges: [get()],
  },
  {
    name: "set_metadata: a disabled filter",
    manager: before(
      { ...setMetadata({ metadata: [{ metadata_namespace: "ns", value: { a: 1 } }] }), disabled: true },
      shows("ns"),
    ),
    exchanges: [get()],
  },
];

const setState = (values: readonly Json[], more: Json = {}): Json =>
  filter("sfs", `${http}.set_filter_state.v3.Config`, { on_request_headers: values, ...more });
const stateValue = (key: string, format: string, more: Json = {}): Json => ({
  object_key: key,
  factory_key: "envoy.string",
  format_string: { text_format_source: { inline_string: format } },
  ...more,
});
const showsState = (key: string): Json =>
  mutation({ response_mutations: [append("x-fs", `%FILTER_STATE(${key}:PLAIN)%`)] });

export const filterStateCases: readonly Case[] = [
  {
    name: "set_filter_state: a text",
    manager: before(setState([stateValue("k", "%REQ(x-a)%!")]), showsState("k")),
    exchanges: [get("/", { "x-a": "1" }), get()],
  },
  {
    name: "set_filter_state: empty texts are skipped",
    manager: before(
      setState([
        stateValue("k", "%REQ(x-a)%", {
          skip_if_empty: true,
          format_string: { omit_empty_values: true, text_format_source: { inline_string: "%REQ(x-a)%" } },
        }),
      ]),
      showsState("k"),
    ),
    exchanges: [get("/", { "x-a": "1" }), get()],
  },
  {
    name: "set_filter_state: the last of a key wins",
    manager: before(setState([stateValue("k", "1"), stateValue("k", "2")]), showsState("k")),
    exchanges: [get()],
  },
  {
    name: "set_filter_state: several keys",
    manager: before(setState([stateValue("k", "1"), stateValue("l", "2")]), showsState("l")),
    exchanges: [get()],
  },
  {
    name: "set_filter_state: a route adds its own",
    manager: before(setState([stateValue("k", "filter")]), showsState("k")),
    routes: [
      forward(
        {},
        perRoute("sfs", `${http}.set_filter_state.v3.Config`, { on_request_headers: [stateValue("k", "route")] }),
      ),
    ],
    exchanges: [get()],
  },
  {
    name: "set_filter_state: hashable",
    manager: before(setState([stateValue("k", "h", { factory_key: "envoy.hashable_string" })]), showsState("k")),
    exchanges: [get()],
  },
  {
    name: "set_filter_state: the client's address",
    manager: before(setState([stateValue("k", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%")]), showsState("k")),
    exchanges: [get()],
  },
  {
    name: "set_filter_state: disabled, enabled by the route",
    manager: before({ ...setState([stateValue("k", "on")]), disabled: true }, showsState("k")),
    routes: [
      forward({}, { match: { path: "/on" }, ...perRoute("sfs", "envoy.config.route.v3.FilterConfig", { config: {} }) }),
      forward(),
    ],
    exchanges: [get("/on"), get("/off")],
  },
];

const always: Json = { default_value: { numerator: 100 } };
const bucket = (max: number, more: Json = {}): Json => ({
  max_tokens: max,
  tokens_per_fill: max,
  fill_interval: "60s",
  ...more,
});
const localLimit = (fields: Json): Json =>
  filter("lrl", `${http}.local_ratelimit.v3.LocalRateLimit`, {
    stat_prefix: "{id}",
    filter_enabled: always,
    filter_enforced: always,
    ...fields,
  });
const by = (action: Json, more: Json = {}): Json => ({ actions: [action], ...more });
const byHeader = (name: string, more: Json = {}): Json =>
  by({ request_headers: { header_name: name, descriptor_key: name } }, more);
const descriptor = (key: string, value: string, max: number, more: Json = {}): Json => ({
  entries: [{ key, value }],
  token_bucket: bucket(max),
  ...more,
});
const limitCounts = counts("^{id}\\.http_local");
const resets = [[/x-ratelimit-reset: \d+/g, "x-ratelimit-reset: N"]] as const;

/** A request that takes a descriptor's only token, then one that is refused if the action gave the descriptor. */
function limitedBy(
  name: string,
  action: Json,
  key: string,
  value: string,
  first: Exchange,
  ...others: readonly Exchange[]
): Case {
  return {
    name: `rate limit actions: ${name}`,
    manager: before(localLimit({ token_bucket: bucket(100), descriptors: [descriptor(key, value, 1)] })),
    routes: [forward({ rate_limits: [by(action)] }, { metadata: { filter_metadata: { ns: { a: "meta" } } } })],
    exchanges: [first, first, ...others],
  };
}

export const localRateLimitCases: readonly Case[] = [
  {
    name: "local_ratelimit: refuses, with headers",
    manager: before(
      localLimit({
        token_bucket: bucket(2, { tokens_per_fill: 1 }),
        enable_x_ratelimit_headers: "DRAFT_VERSION_03",
        enable_retry_after_header: true,
        response_headers_to_add: [{ header: { key: "x-refused", value: "%REQ(:path)%" } }],
      }),
    ),
    exchanges: [get("/1"), get("/2"), get("/3"), get("/4", { "content-type": "application/grpc" }), limitCounts],
    logs: 4,
  },
  {
    name: "local_ratelimit: a status of its own",
    manager: before(localLimit({ token_bucket: bucket(1), status: { code: 503 } })),
    exchanges: [get(), get()],
  },
  {
    name: "local_ratelimit: a status below 400 is 429",
    manager: before(localLimit({ token_bucket: bucket(1), status: { code: 200 } })),
    exchanges: [get(), get()],
  },
  {
    name: "local_ratelimit: RESOURCE_EXHAUSTED",
    manager: before(localLimit({ token_bucket: bucket(1), rate_limited_as_resource_exhausted: true })),
    exchanges: [get(), get("/", { "content-type": "application/grpc" })],
  },
  {
    name: "local_ratelimit: not enforced",
    manager: before(
      localLimit({
        token_bucket: bucket(1),
        filter_enforced: { default_value: { numerator: 0 } },
        request_headers_to_add_when_not_enforced: [{ header: { key: "x-limited", value: "yes" } }],
      }),
    ),
    exchanges: [get(), get(), limitCounts],
    logs: 2,
  },
  {
    name: "local_ratelimit: not enabled",
    manager: before(localLimit({ token_bucket: bucket(1), filter_enabled: { default_value: { numerator: 0 } } })),
    exchanges: [get(), get(), limitCounts],
    logs: 2,
  },
  {
    name: "local_ratelimit: without a bucket",
    manager: before(localLimit({})),
    exchanges: [get(), get(), limitCounts],
    logs: 2,
  },
  {
    name: "local_ratelimit: descriptors, the slowest decides",
    manager: before(
      localLimit({
        token_bucket: bucket(100),
        enable_x_ratelimit_headers: "DRAFT_VERSION_03",
        descriptors: [descriptor("x-a", "1", 2), descriptor("x-b", "1", 1)],
      }),
    ),
    routes: [forward({ rate_limits: [byHeader("x-a"), byHeader("x-b")] })],
    exchanges: [
      get("/", { "x-a": "1" }),
      get("/", { "x-a": "1", "x-b": "1" }),
      get("/", { "x-a": "1" }),
      get("/", { "x-b": "1" }),
      get("/", { "x-c": "1" }),
      limitCounts,
    ],
    logs: 5,
    blur: resets,
  },
  {
    name: "local_ratelimit: wildcards",
    manager: before(
      localLimit({
        token_bucket: bucket(100),
        enable_x_ratelimit_headers: "DRAFT_VERSION_03",
        descriptors: [descriptor("x-a", "", 1)],
      }),
    ),
    routes: [forward({ rate_limits: [byHeader("x-a")] })],
    exchanges: [get("/", { "x-a": "1" }), get("/", { "x-a": "2" }), get("/", { "x-a": "1" }), get()],
    blur: resets,
  },
  {
    name: "local_ratelimit: shadow mode",
    manager: before(
      localLimit({ token_bucket: bucket(100), descriptors: [descriptor("x-a", "1", 1, { shadow_mode: true })] }),
    ),
    routes: [forward({ rate_limits: [byHeader("x-a")] })],
    exchanges: [get("/", { "x-a": "1" }), get("/", { "x-a": "1" }), limitCounts],
    logs: 2,
  },
  {
    name: "local_ratelimit: the default bucket is spared",
    manager: before(
      localLimit({
        token_bucket: bucket(1),
        always_consume_default_token_bucket: false,
        descriptors: [descriptor("x-a", "1", 2)],
      }),
    ),
    routes: [forward({ rate_limits: [byHeader("x-a")] })],
    exchanges: [get("/", { "x-a": "1" }), get("/", { "x-a": "1" }), get(), get()],
  },
  {
    name: "local_ratelimit: the virtual host's limits where the route has none",
    manager: before(localLimit({ token_bucket: bucket(100), descriptors: [descriptor("x-b", "1", 1)] })),
    virtualHost: { rate_limits: [byHeader("x-b")] },
    exchanges: [get("/", { "x-b": "1" }), get("/", { "x-b": "1" })],
  },
  {
    name: "local_ratelimit: the route's limits in their place",
    manager: before(localLimit({ token_bucket: bucket(100), descriptors: [descriptor("x-b", "1", 1)] })),
    virtualHost: { rate_limits: [byHeader("x-b")] },
    routes: [forward({ rate_limits: [byHeader("x-a")] })],
    exchanges: [get("/", { "x-b": "1" }), get("/", { "x-b": "1" })],
  },
  {
    name: "local_ratelimit: both, where the route includes them",
    manager: before(localLimit({ token_bucket: bucket(100), descriptors: [descriptor("x-b", "1", 1)] })),
    virtualHost: { rate_limits: [byHeader("x-b")] },
    routes: [forward({ rate_limits: [byHeader("x-a")], include_vh_rate_limits: true })],
    exchanges: [get("/", { "x-b": "1" }), get("/", { "x-b": "1" })],
  },
  {
    name: "local_ratelimit: stages",
    manager: before(
      localLimit({
        stage: 1,
        token_bucket: bucket(100),
        descriptors: [descriptor("x-a", "1", 1), descriptor("x-b", "1", 1)],
      }),
    ),
    routes: [forward({ rate_limits: [byHeader("x-a"), byHeader("x-b", { stage: 1 })] })],
    exchanges: [get("/", { "x-a": "1" }), get("/", { "x-a": "1" }), get("/", { "x-b": "1" }), get("/", { "x-b": "1" })],
  },
  {
    name: "local_ratelimit: a connection's own bucket",
    manager: before(localLimit({ token_bucket: bucket(1), local_rate_limit_per_downstream_connection: true })),
    exchanges: [inTurn(requestText("GET", "/1"), requestText("GET", "/2")), get("/3")],
    logs: 3,
  },
  {
    name: "local_ratelimit: a route's own",
    manager: before(localLimit({ token_bucket: bucket(100) })),
    routes: [
      forward(
        {},
        perRoute("lrl", `${http}.local_ratelimit.v3.LocalRateLimit`, {
          stat_prefix: "{id}",
          filter_enabled: always,
          filter_enforced: always,
          token_bucket: bucket(1),
        }),
      ),
    ],
    exchanges: [get(), get(), limitCounts],
    logs: 2,
  },
  limitedBy("remote_address", { remote_address: {} }, "remote_address", "127.0.0.1", get()),
  limitedBy(
    "masked_remote_address",
    { masked_remote_address: { v4_prefix_mask_len: 8 } },
    "masked_remote_address",
    "127.0.0.0/8",
    get(),
  ),
  limitedBy("generic_key", { generic_key: { descriptor_value: "v" } }, "generic_key", "v", get()),
  limitedBy("generic_key with a key", { generic_key: { descriptor_key: "k", descriptor_value: "v" } }, "k", "v", get()),
  limitedBy(
    "generic_key is taken literally",
    { generic_key: { descriptor_value: "%REQ(x-a)%", default_value: "none" } },
    "generic_key",
    "%REQ(x-a)%",
    get(),
    get("/", { "x-a": "1" }),
  ),
  limitedBy("destination_cluster", { destination_cluster: {} }, "destination_cluster", "{id}", get()),
  limitedBy(
    "header_value_match",
    { header_value_match: { descriptor_value: "m", headers: [{ name: "x-a", string_match: { exact: "1" } }] } },
    "header_match",
    "m",
    get("/", { "x-a": "1" }),
    get(),
  ),
  limitedBy(
    "header_value_match, not expected",
    {
      header_value_match: {
        descriptor_value: "m",
        expect_match: false,
        headers: [{ name: "x-a", string_match: { exact: "1" } }],
      },
    },
    "header_match",
    "m",
    get(),
    get("/", { "x-a": "1" }),
  ),
  limitedBy(
    "query_parameter_value_match",
    {
      query_parameter_value_match: {
        descriptor_value: "m",
        query_parameters: [{ name: "q", string_match: { exact: "1" } }],
      },
    },
    "query_match",
    "m",
    get("/?q=1"),
    get("/?q=2"),
  ),
  limitedBy(
    "metadata of the route",
    { metadata: { descriptor_key: "k", source: "ROUTE_ENTRY", metadata_key: { key: "ns", path: [{ key: "a" }] } } },
    "k",
    "meta",
    get(),
  ),
  limitedBy(
    "metadata with a default",
    { metadata: { descriptor_key: "k", default_value: "d", metadata_key: { key: "no", path: [{ key: "a" }] } } },
    "k",
    "d",
    get(),
  ),
  limitedBy(
    "metadata that is absent",
    { metadata: { descriptor_key: "k", metadata_key: { key: "no", path: [{ key: "a" }] } } },
    "k",
    "",
    get(),
  ),
  limitedBy(
    "a header with several values",
    { request_headers: { header_name: "x-a", descriptor_key: "k" } },
    "k",
    "1",
    get("/", { "x-a": ["1", "2"] }),
  ),
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

const grpcWeb = filter("gw", `${http}.grpc_web.v3.GrpcWeb`);
const frame = (text: string, flag = 0): string => `${String.fromCharCode(flag, 0, 0, 0, text.length)}${text}`;
const base64 = (text: string): string => Buffer.from(text, "latin1").toString("base64");
const grpcAnswer = {
  headers: { ":status": 200, "content-type": "application/grpc" },
  body: frame("hello"),
  trailers: { "grpc-status": "0", "grpc-message": "fine" },
};
/** One table's part. */
const grpcWebCase = (name: string, more: Partial<Case> & Pick<Case, "exchanges">): Case => ({
  name: `grpc_web: ${name}`,
  manager: before(grpcWeb),
  ...overHttp2,
  http2Answers: [grpcAnswer],
  ...more,
  statsExcept: { ...overHttp2.statsExcept, ...leftOver, ...more.statsExcept },
});
const call = (type: string, body: string, more: Readonly<Record<string, string>> = {}): Exchange =>
  request("POST", "/pkg.Service/Method", { "content-type": type, ...more }, body);

export const grpcWebCases: readonly Case[] = [
  grpcWebCase("binary", {
    exchanges: [call("application/grpc-web", frame("abc")), call("application/grpc-web+proto", frame("abc"))],
  }),
  grpcWebCase("text", {
    exchanges: [call("application/grpc-web-text", base64(frame("abc")), { accept: "application/grpc-web-text" })],
  }),
  grpcWebCase("a text request, a binary response", {
    exchanges: [call("application/grpc-web-text+proto", base64(frame("abcd")))],
  }),
  grpcWebCase("text that is no base64", {
    // Held back, so that no upstream has begun.
    manager: before(grpcWeb, buffer(1000)),
    statsExcept: {
      downstream_rq_response_before_rq_complete: "Envoy's codec tells of the end of a body after its last bytes",
    },
    exchanges: [call("application/grpc-web-text", "abc"), call("application/grpc-web-text", "a-_=")],
  }),
  grpcWebCase("anything else passes", {
    exchanges: [
      call("application/grpc", frame("abc")),
      call("text/plain", "abc"),
      call("application/grpc-web;x=1", "abc"),
    ],
  }),
  grpcWebCase("only trailers", {
    http2Answers: [
      { headers: { ":status": 200, "content-type": "application/grpc", "grpc-status": "5", "grpc-message": "no" } },
    ],
    exchanges: [call("application/grpc-web", frame("abc"))],
  }),
  grpcWebCase("a response that is no gRPC", {
    http2Answers: [{ headers: { ":status": 503, "content-type": "text/plain" }, body: "some error: 100%" }],
    exchanges: [call("application/grpc-web", frame("abc"))],
  }),
  grpcWebCase("an answer of the proxy", {
    routes: [{ match: { prefix: "/" }, direct_response: { status: 403, body: { inline_string: "forbidden" } } }],
    exchanges: [call("application/grpc-web", frame("abc"))],
  }),
  grpcWebCase("over HTTP/2", {
    exchanges: [
      http2(
        "/pkg.Service/Method",
        { "content-type": "application/grpc-web", "grpc-accept-encoding": "gzip" },
        { body: frame("abc") },
      ),
    ],
  }),
  grpcWebCase("is counted", {
    exchanges: [call("application/grpc-web", frame("abc")), counts("cluster\\.{id}\\.grpc-web")],
    logs: 1,
  }),
];

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

const states = "type.googleapis.com/envoy.extensions.http.stateful_session";
const cookieState = (cookie: Json): Json => ({
  name: "envoy.http.stateful_session.cookie",
  typed_config: { "@type": `${states}.cookie.v3.CookieBasedSessionState`, cookie },
});
const headerState: Json = {
  name: "envoy.http.stateful_session.header",
  typed_config: { "@type": `${states}.header.v3.HeaderBasedSessionState`, name: "x-session" },
};

/** Asks for a backend by its address, in the header or cookie that `field` makes of it. */
function asksFor(
  backend: BackendName | undefined,
  field: (value: string) => Readonly<Record<string, string>>,
  path = "/",
): Exchange {
  return {
    kind: "own",
    run(side, id) {
      const port = backend === undefined ? 1 : side.recorder.ports.get(backend);
      const value = Buffer.from(`127.0.0.1:${port}`).toString("base64");
      const one = withId(get(path, field(value)), id);
      return exchangeRaw(one, () => openPlain(side.port(id)));
    },
  };
}

const inHeader = (value: string): Readonly<Record<string, string>> => ({ "x-session": value });
const inCookie = (value: string): Readonly<Record<string, string>> => ({ cookie: `a=b; sess="${value}"` });

function session(name: string, fields: Json, exchanges: readonly Exchange[], more: Partial<Case> = {}): Case {
  return {
    name: `stateful_session: ${name}`,
    manager: before(filter("ss", `${http}.stateful_session.v3.StatefulSession`, { stat_prefix: "s", ...fields })),
    clusters: { "": cluster(["a", "b"]) },
    exchanges,
    ...more,
    blur: [
      [/x-session: [A-Za-z0-9+/=]+/g, "x-session: S"],
      [/sess="[A-Za-z0-9+/=]+"/g, 'sess="S"'],
    ],
  };
}

export const sessionCases: readonly Case[] = [
  session("a header", { session_state: headerState }, [
    asksFor("b", inHeader),
    asksFor("b", inHeader),
    asksFor("a", inHeader),
  ]),
  session("a cookie", { session_state: cookieState({ name: "sess" }) }, [
    asksFor("b", inCookie),
    asksFor("b", inCookie),
    asksFor("a", inCookie),
  ]),
  session("a new session by a header", { session_state: headerState }, [get()], { clusters: { "": cluster("a") } }),
  session(
    "a new session by a cookie",
    { session_state: cookieState({ name: "sess", path: "/p", ttl: "60s" }) },
    [get("/p"), get("/p/x?y"), get("/px"), get("/p?q")],
    { clusters: { "": cluster("a") } },
  ),
  session("a host that is not there", { session_state: headerState }, [asksFor(undefined, inHeader)], {
    clusters: { "": cluster("a") },
  }),
  session(
    "a host that is not there, strict",
    { strict: true, session_state: headerState },
    [asksFor(undefined, inHeader), asksFor("b", inHeader), get("/", { "x-session": "no base64!" })],
    { clusters: { "": cluster("a") } },
  ),
  session(
    "strict, with a status of its own",
    { strict: true, status_on_strict_destination_not_found: 421, session_state: headerState },
    [asksFor(undefined, inHeader)],
    { clusters: { "": cluster("a") } },
  ),
  session("a route without", { session_state: headerState }, [asksFor("b", inHeader)], {
    clusters: { "": cluster("a") },
    routes: [forward({}, perRoute("ss", `${http}.stateful_session.v3.StatefulSessionPerRoute`, { disabled: true }))],
  }),
  session("a route with another", { session_state: headerState }, [asksFor("b", inCookie), asksFor("b", inCookie)], {
    routes: [
      forward(
        {},
        perRoute("ss", `${http}.stateful_session.v3.StatefulSessionPerRoute`, {
          stateful_session: { session_state: cookieState({ name: "sess" }) },
        }),
      ),
    ],
  }),
  session("no state at all", {}, [get()], { clusters: { "": cluster("a") } }),
];

const libraries = {
  gzip: "envoy.extensions.compression.gzip.compressor.v3.Gzip",
  br: "envoy.extensions.compression.brotli.compressor.v3.Brotli",
  zstd: "envoy.extensions.compression.zstd.compressor.v3.Zstd",
} as const;

const compress = (encoding: keyof typeof libraries, fields: Json = {}): Json =>
  filter(`c-${encoding}`, `${http}.compressor.v3.Compressor`, {
    compressor_library: { name: encoding, typed_config: { "@type": `type.googleapis.com/${libraries[encoding]}` } },
    ...fields,
  });

/** The head of the answer, then its body decoded: two libraries need not write the same bytes. */
function decoded(fields: Readonly<Record<string, string>>, path = "/"): Exchange {
  return {
    kind: "own",
    run: (side, id) =>
      new Promise((resolve, reject) => {
        const headers = { host: `${id}.test`, "x-case": id, connection: "close", ...fields };
        nodeRequest({ port: side.port(id), host: "127.0.0.1", path, headers }, (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.on("end", () => {
            const head = response.rawHeaders
              .filter((_text, at) => at % 2 === 0)
              .map((name) => `${name}: ${String(response.headers[name.toLowerCase()])}`);
            resolve(
              [
                response.statusCode,
                ...head.toSorted(),
                "",
                decompressed(Buffer.concat(chunks), response.headers["content-encoding"]),
              ].join("\n"),
            );
          });
        })
          .on("error", reject)
          .end();
      }),
  };
}

function decompressed(body: Buffer, encoding: string | undefined): string {
  if (encoding === "gzip") return gunzipSync(body).toString();
  if (encoding === "br") return brotliDecompressSync(body).toString();
  if (encoding === "zstd") return zstdDecompressSync(body).toString();
  return body.toString();
}

const page = "all work and no play ".repeat(40);
const accepting = (encoding: string): Exchange => decoded({ "accept-encoding": encoding });

function compression(
  name: string,
  filters: readonly Json[],
  exchanges: readonly Exchange[],
  more: Partial<Case> = {},
): Case {
  const sizes = "the libraries write other bytes";
  const except = filters.flatMap((_one, at) => {
    const lib = ["gzip.gzip", "br.brotli", "zstd.zstd"];
    return lib.flatMap((each) =>
      ["", "response.", "request."].map((way) => [
        `compressor.${each}.${way}total_compressed_bytes`,
        at >= 0 ? sizes : "",
      ]),
    );
  });
  return {
    name: `compressor: ${name}`,
    manager: before(...filters),
    answers: answer(200, { "content-type": "text/plain" }, page),
    exchanges,
    ...more,
    blur: [[/sent=\d+/g, "sent=N"]],
    statsExcept: Object.fromEntries(except) as Readonly<Record<string, string>>,
  };
}

export const compressorCases: readonly Case[] = [
  compression(
    "gzip",
    [compress("gzip")],
    [accepting("gzip"), accepting("gzip, br"), decoded({}), decoded({ "accept-encoding": "gzip" }, "/again")],
  ),
  compression("brotli", [compress("br")], [accepting("br"), accepting("gzip;q=1, br;q=0.1")]),
  compression("zstd", [compress("zstd")], [accepting("zstd")]),
  compression(
    "weights",
    [compress("gzip")],
    [
      accepting("gzip;q=0"),
      accepting("identity;q=1, gzip;q=0.5"),
      accepting("*"),
      accepting("gzip;q=x"),
      accepting("deflate"),
      accepting("GZIP"),
      accepting("*;q=0.1, identity;q=0.2"),
    ],
  ),
  compression(
    "the client's liking among two",
    [compress("gzip"), compress("br")],
    [accepting("gzip, br"), accepting("br, gzip"), accepting("gzip;q=0.5, br"), accepting("*")],
  ),
  compression("too short", [compress("gzip")], [accepting("gzip")], {
    answers: answer(200, { "content-type": "text/plain" }, "short"),
  }),
  compression("a type that is not", [compress("gzip")], [accepting("gzip")], {
    answers: answer(200, { "content-type": "image/png" }, page),
  }),
  compression(
    "types and length of one's own",
    [
      compress("gzip", {
        response_direction_config: { common_config: { min_content_length: 2, content_type: ["x/y"] } },
      }),
    ],
    [accepting("gzip")],
    { answers: answer(200, { "content-type": "x/y; charset=z" }, "abcd") },
  ),
  compression("chunked", [compress("gzip")], [accepting("gzip")], {
    answers: "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
  }),
  compression("tags", [compress("gzip")], [accepting("gzip"), accepting("gzip")], {
    answers: [answer(200, { etag: '"strong"' }, page), answer(200, { etag: 'W/"weak"' }, page)],
  }),
  compression(
    "tags that forbid it",
    [compress("gzip", { response_direction_config: { disable_on_etag_header: true } })],
    [accepting("gzip")],
    { answers: answer(200, { etag: '"strong"' }, page) },
  ),
  compression(
    "tags that are weakened",
    [compress("gzip", { response_direction_config: { weaken_etag_on_compress: true } })],
    [accepting("gzip")],
    { answers: answer(200, { etag: '"strong"' }, page) },
  ),
  compression(
    "vary, no-transform, encoded already",
    [compress("gzip")],
    [accepting("gzip"), accepting("gzip"), accepting("gzip")],
    {
      answers: [
        answer(200, { vary: "Cookie" }, page),
        answer(200, { "cache-control": "no-transform" }, page),
        answer(200, { "content-encoding": "x" }, page),
      ],
    },
  ),
  compression(
    "statuses that are not",
    [compress("gzip", { response_direction_config: { uncompressible_response_codes: [404] } })],
    [accepting("gzip")],
    { answers: answer(404, {}, page) },
  ),
  compression(
    "accept-encoding is removed",
    [compress("gzip", { response_direction_config: { remove_accept_encoding_header: true } })],
    [accepting("gzip")],
  ),
  compression("a route without", [compress("gzip")], [accepting("gzip")], {
    routes: [forward({}, perRoute("c-gzip", `${http}.compressor.v3.CompressorPerRoute`, { disabled: true }))],
  }),
  compression("an answer of the proxy", [compress("gzip")], [accepting("gzip")], {
    routes: [{ match: { prefix: "/" }, direct_response: { status: 200, body: { inline_string: page } } }],
  }),
];

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
