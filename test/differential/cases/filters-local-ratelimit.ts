/** local_ratelimit, and the actions of rate limits. */
import type { Case, Exchange, Json } from "../harness/case.ts";
import { filter, forward, get, inTurn, requestText } from "../harness/requests.ts";
import { http, before, perRoute, counts, always, bucket, by, byHeader } from "./filters-shared.ts";

const localLimit = (fields: Json): Json =>
  filter("lrl", `${http}.local_ratelimit.v3.LocalRateLimit`, {
    stat_prefix: "{id}",
    filter_enabled: always,
    filter_enforced: always,
    ...fields,
  });

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
