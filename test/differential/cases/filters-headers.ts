/** header_mutation, set_metadata, set_filter_state. */
import type { Case, Json } from "../harness/case.ts";
import { answer, filter, forward, get, http2 } from "../harness/requests.ts";
import { http, before, perRoute, append, mutation, overHttp2 } from "./filters-shared.ts";

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
