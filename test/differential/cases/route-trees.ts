/** Virtual hosts whose routes hang in a tree (`VirtualHost.matcher`). */
import type { Case, Json } from "../harness/case.ts";
import { get, says } from "../harness/requests.ts";

const type = "type.googleapis.com/envoy";
const header = (name: string): Json => ({
  name: "header",
  typed_config: { "@type": `${type}.type.matcher.v3.HttpRequestHeaderMatchInput`, header_name: name },
});
const action = (message: string, value: Json): Json => ({
  action: { name: "route", typed_config: { "@type": `${type}.config.route.v3.${message}`, ...value } },
});
const gives = (text: string, match: Json = { prefix: "/" }): Json => action("Route", says(text, match));
const tree = (name: string, kind: string, map: Json, rest: Json = {}): Json => ({
  matcher_tree: { input: header(name), [kind]: { map } },
  ...rest,
});
const is = (name: string, match: Json): Json => ({ single_predicate: { input: header(name), value_match: match } });
const list = (...matchers: readonly (readonly [predicate: Json, onMatch: Json])[]): Json => ({
  matcher_list: { matchers: matchers.map(([predicate, on_match]) => ({ predicate, on_match })) },
});

const treeCase = (what: string, matcher: Json, exchanges: Case["exchanges"]): Case => ({
  name: `VirtualHost.matcher: ${what}`,
  routes: [],
  virtualHost: { matcher },
  exchanges,
});

export const routeTreeCases: readonly Case[] = [
  treeCase(
    "an exact map by a header, and on_no_match",
    tree(
      "x-to",
      "exact_match_map",
      { a: gives("a"), b: gives("b", { path: "/b" }), "a,b": gives("both") },
      { on_no_match: gives("rest") },
    ),
    [
      get("/", { "x-to": "a" }),
      get("/", { "x-to": "A" }),
      get("/b", { "x-to": "b" }),
      get("/c", { "x-to": "b" }),
      get("/", { "x-to": ["a", "b"] }),
      get("/"),
      get("/", { "x-to": "" }),
    ],
  ),
  treeCase(
    "a prefix map by the path",
    tree(":path", "prefix_match_map", { "/": gives("short"), "/api": gives("long") }),
    [get("/api/1"), get("/ap"), get("/?/api")],
  ),
  treeCase("by the host", tree("host", "exact_match_map", { "{id}.test": gives("host") }), [get("/")]),
  treeCase(
    "a list of predicates, joined",
    list(
      [
        { and_matcher: { predicate: [is("a", { exact: "1" }), { not_matcher: is("b", { prefix: "1" }) }] } },
        gives("and-not"),
      ],
      [
        {
          or_matcher: {
            predicate: [is("c", { safe_regex: { google_re2: {}, regex: "[0-9]+" } }), is("d", { contains: "1" })],
          },
        },
        { matcher: tree("e", "exact_match_map", { "1": gives("nested") }) },
      ],
      [is("c", { suffix: "1", ignore_case: true }), gives("after")],
    ),
    [
      get("/", { a: "1" }),
      get("/", { a: "1", b: "12" }),
      get("/", { d: "x1x", e: "1" }),
      get("/", { c: "11", e: "2" }),
      get("/", { c: "1x" }),
      get("/"),
    ],
  ),
  treeCase(
    "a list of routes",
    tree("x-to", "exact_match_map", {
      a: action("RouteList", { routes: [says("1", { prefix: "/1" }), says("2", { path: "/2" })] }),
    }),
    [get("/1", { "x-to": "a" }), get("/2", { "x-to": "a" }), get("/3", { "x-to": "a" }), get("/1")],
  ),
  {
    ...treeCase(
      "a header that the connection manager writes",
      tree("x-forwarded-proto", "exact_match_map", { http: gives("http") }),
      [get("/")],
    ),
  },
];
