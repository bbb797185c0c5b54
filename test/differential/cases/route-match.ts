/** Which route of a virtual host takes a request (R-09 … R-27). */
import type { Case, Json } from "../harness/case.ts";
import { get, http2, raw, request, requestText, says } from "../harness/requests.ts";

const paths = (...targets: readonly string[]) => targets.map((target) => get(target));
const regex = (pattern: string): Json => ({ regex: pattern });
const template = (pattern: string): Json => ({
  path_match_policy: {
    name: "envoy.path.match.uri_template.uri_template_matcher",
    typed_config: {
      "@type": "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig",
      path_template: pattern,
    },
  },
});

/** One route that says `yes` for a header matcher, and one that says `no`. */
function headerCase(what: string, matcher: Json, ...values: readonly (string | readonly string[] | undefined)[]): Case {
  return {
    name: `R-17: header ${what}`,
    routes: [says("yes", { prefix: "/", headers: [{ name: "x-h", ...matcher }] }), says("no", { prefix: "/" })],
    exchanges: values.map((value) => get("/", value === undefined ? {} : { "x-h": value })),
  };
}

function queryCase(what: string, matcher: Json, ...queries: readonly string[]): Case {
  return {
    name: `R-23: query parameter ${what}`,
    routes: [says("yes", { prefix: "/", query_parameters: [{ name: "q", ...matcher }] }), says("no", { prefix: "/" })],
    exchanges: queries.map((query) => get(`/${query}`)),
  };
}

function templateCase(pattern: string, ...targets: readonly string[]): Case {
  return {
    name: `R-15: template ${pattern}`,
    routes: [says("yes", template(pattern)), says("no", { prefix: "/" })],
    exchanges: paths(...targets),
  };
}

export const routeMatchCases: readonly Case[] = [
  {
    name: "R-09: the first that matches wins",
    routes: [says("a", { prefix: "/a" }), says("ab", { prefix: "/ab" }), says("rest", { prefix: "" })],
    exchanges: paths("/ab", "/a", "/b"),
  },
  {
    name: "R-10: a prefix matches the path without its query",
    routes: [says("a", { prefix: "/a" }), says("q", { prefix: "/b?x" })],
    exchanges: paths("/a", "/ab?x", "/b", "/A", "/b?x", "/?/a"),
  },
  {
    name: "R-10: a prefix may ignore case",
    routes: [says("a", { prefix: "/aB", case_sensitive: false }), says("no", { prefix: "/" })],
    exchanges: paths("/ab", "/AB/x", "/a"),
  },
  {
    name: "R-11: an exact path",
    routes: [says("a", { path: "/a" }), says("b", { path: "/B", case_sensitive: false }), says("e", { path: "/e/" })],
    exchanges: paths("/a", "/a?b=c", "/a/", "/a;x", "/b", "/B?x", "/e", "/e/", "/a%20", "/%61"),
  },
  {
    name: "R-12: a regex matches the whole path without the query",
    routes: [
      says("d", { safe_regex: regex("/\\d+") }),
      says("alt", { safe_regex: regex("/a|/b") }),
      says("i", { safe_regex: regex("(?i)/case") }),
      says("cls", { safe_regex: regex("/[[:alpha:]]{2,3}") }),
      says("dot", { safe_regex: regex("/x.y") }),
    ],
    logs: 10,
    exchanges: paths("/12", "/12a", "/12?a", "/a", "/b", "/ab", "/CASE", "/abc", "/abcd", "/x.y", "/x\xe9y"),
  },
  {
    name: "R-13: a prefix of path segments",
    routes: [
      says("a", { path_separated_prefix: "/a" }),
      says("bc", { path_separated_prefix: "/b/c", case_sensitive: false }),
      says("no", { prefix: "/" }),
    ],
    exchanges: paths("/a", "/a/", "/a/b", "/a?x", "/ab", "/a;x", "/b/C", "/b/c/d", "/b/cd", "/a#"),
  },
  {
    name: "R-14: CONNECT is matched by its own matcher",
    routes: [says("connect", { connect_matcher: {} }), says("other", { prefix: "/" })],
    exchanges: [get("/"), raw("CONNECT {id}.test:80 HTTP/1.1\r\nhost: {id}.test\r\nx-case: {id}\r\n\r\n")],
  },
  templateCase("/a/{x}/b", "/a/1/b", "/a//b", "/a/1/2/b", "/a/1/b?q", "/a/1/b/", "/A/1/b", "/a/%2F/b"),
  templateCase("/a/*", "/a/", "/a/b", "/a/b/c", "/a", "/a/b?c=d"),
  templateCase("/a/**", "/a/", "/a/b", "/a/b/c", "/a", "/a/b/"),
  templateCase("/{x=*}/y/{z=**}", "/a/y/b", "/a/y/b/c", "/a/y/", "/a/z/b"),
  templateCase("/**.m3u8", "/a.m3u8", "/a/b.m3u8", "/.m3u8", "/a.m3u"),
  templateCase("/{a=v1/*}/x", "/v1/k/x", "/v2/k/x", "/v1//x"),
  templateCase("/a-b_c.d~e/*", "/a-b_c.d~e/f", "/a-b/f"),
  headerCase("exact", { string_match: { exact: "a" } }, "a", "A", "ab", "", undefined, ["a", "b"], "a,b"),
  headerCase("exact ignoring case", { string_match: { exact: "aB", ignore_case: true } }, "ab", "AB", "a"),
  headerCase("prefix", { string_match: { prefix: "ab" } }, "ab", "abc", "a", undefined, ["ab", "c"]),
  headerCase("suffix", { string_match: { suffix: "bc" } }, "bc", "abc", "c", ["x", "abc"]),
  headerCase("suffix ignoring case", { string_match: { suffix: "bC", ignore_case: true } }, "BC", "aBc", "c"),
  headerCase("contains", { string_match: { contains: "b" } }, "abc", "b", "ac", ["a", "b"]),
  headerCase("contains ignoring case", { string_match: { contains: "BB", ignore_case: true } }, "abbc", "aBBc", "b"),
  headerCase("regex", { string_match: { safe_regex: regex("a.c") } }, "abc", "abcd", "xabc", "a\xe9c", "a\xffc"),
  headerCase("present", { present_match: true }, "a", "", undefined),
  headerCase("absent", { present_match: false }, "a", "", undefined),
  headerCase("not present", { present_match: true, invert_match: true }, "a", undefined),
  headerCase("without a matcher", {}, "a", undefined),
  headerCase("not exact", { string_match: { exact: "a" }, invert_match: true }, "a", "b", undefined),
  headerCase(
    "not exact, missing as empty",
    { string_match: { exact: "a" }, invert_match: true, treat_missing_header_as_empty: true },
    "a",
    "b",
    undefined,
  ),
  headerCase(
    "empty, missing as empty",
    { string_match: { exact: "" }, treat_missing_header_as_empty: true },
    "",
    undefined,
    "a",
  ),
  headerCase("present, missing as empty", { present_match: true, treat_missing_header_as_empty: true }, "a", undefined),
  headerCase("absent, missing as empty", { present_match: false, treat_missing_header_as_empty: true }, "a", undefined),
  headerCase(
    "range",
    { range_match: { start: -5, end: 10 } },
    "-5",
    "9",
    "10",
    "-6",
    "0",
    "1a",
    " 1",
    "+1",
    "",
    "99999999999999999999",
    undefined,
    ["1", "2"],
  ),
  headerCase("not in range", { range_match: { start: 1, end: 10 }, invert_match: true }, "5", "11", "x", undefined),
  headerCase("exact, empty", { string_match: { exact: "" } }, "", "a", undefined),
  headerCase("of several values", { string_match: { exact: "a,b" } }, ["a", "b"], "a,b", ["a,b", "c"]),
  headerCase(
    "not one of several",
    { string_match: { exact: "a" }, invert_match: true },
    ["a", "b"],
    ["b", "a"],
    ["b", "c"],
  ),
  headerCase("regex of several", { string_match: { safe_regex: regex("a,b|c") } }, ["a", "b"], ["c", "d"], ["d", "c"]),
  headerCase("contains across values", { string_match: { contains: "a,b" } }, ["a", "b"], "a,b"),
  headerCase(
    "range of several, inverted",
    { range_match: { start: 1, end: 5 }, invert_match: true },
    ["1", "9"],
    ["9", "8"],
  ),
  {
    name: "R-17: all header matchers must match",
    routes: [
      says("both", {
        prefix: "/",
        headers: [
          { name: "x-a", string_match: { exact: "1" } },
          { name: "x-b", present_match: true },
        ],
      }),
      says("no", { prefix: "/" }),
    ],
    exchanges: [get("/", { "x-a": "1" }), get("/", { "x-a": "1", "x-b": "" }), get("/", { "x-b": "1" })],
  },
  {
    name: "R-17: pseudo headers may be matched",
    routes: [
      says("post", { prefix: "/", headers: [{ name: ":method", string_match: { exact: "POST" } }] }),
      says("auth", { prefix: "/", headers: [{ name: ":authority", string_match: { prefix: "x." } }] }),
      says("path", { prefix: "/", headers: [{ name: ":path", string_match: { suffix: "?q" } }] }),
      says("scheme", { prefix: "/", headers: [{ name: ":scheme", string_match: { exact: "https" } }] }),
      says("no", { prefix: "/" }),
    ],
    exchanges: [
      request("POST", "/", {}, ""),
      get("/?q"),
      get("/"),
      get("/", { "x-forwarded-proto": "https" }),
      http2("/", { ":scheme": "https" }),
      http2("/", { ":method": "POST" }),
    ],
  },
  {
    name: "R-17: host is no header of its own",
    routes: [
      says("host", { prefix: "/", headers: [{ name: "host", present_match: true }] }),
      says("no", { prefix: "/" }),
    ],
    exchanges: [get("/"), http2("/")],
  },
  {
    name: "R-17: a name in capitals",
    routes: [
      says("yes", { prefix: "/", headers: [{ name: "X-Up", present_match: true }] }),
      says("no", { prefix: "/" }),
    ],
    exchanges: [get("/", { "x-up": "1" }), get("/", { "X-UP": "1" })],
  },
  queryCase(
    "exact",
    { string_match: { exact: "a" } },
    "?q=a",
    "?q=b",
    "?q",
    "",
    "?q=a&q=b",
    "?q=b&q=a",
    "?x=1&q=a",
    "?Q=a",
    "?q=%61",
  ),
  queryCase("prefix", { string_match: { prefix: "a" } }, "?q=ab", "?q=", "?q"),
  queryCase("regex", { string_match: { safe_regex: regex("\\d+") } }, "?q=12", "?q=12a", "?q=", "?q=1&q=x"),
  queryCase("present", { present_match: true }, "?q", "?q=", "?q=1", "?p=q", "", "?q1=1", "?%71=1", "?a=1;q=2"),
  queryCase("absent", { present_match: false }, "?q", "", "?p"),
  queryCase("without a matcher", {}, "?q", "", "?q=1#x"),
  queryCase("exact empty", { string_match: { exact: "" } }, "?q", "?q=", "?q=1", ""),
  {
    name: "R-23: odd queries",
    routes: [
      says("yes", { prefix: "/", query_parameters: [{ name: "a", string_match: { exact: "b=c" } }] }),
      says("plus", { prefix: "/", query_parameters: [{ name: "a", string_match: { exact: "x+y" } }] }),
      says("empty", { prefix: "/", query_parameters: [{ name: "a", string_match: { exact: "" } }] }),
      says("no", { prefix: "/" }),
    ],
    exchanges: paths("/?a=b=c", "/?a=x+y", "/?&&a=", "/?=&a", "/??a=b", "/?a=?", "/?a&a=x+y"),
  },
  {
    name: "R-24: gRPC requests",
    routes: [says("grpc", { prefix: "/", grpc: {} }), says("no", { prefix: "/" })],
    exchanges: [
      get("/", { "content-type": "application/grpc" }),
      get("/", { "content-type": "application/grpc+proto" }),
      get("/", { "content-type": "application/grpc-web" }),
      get("/", { "content-type": "application/grpc; charset=utf-8" }),
      get("/"),
      http2("/", { "content-type": "application/grpc" }),
    ],
  },
  {
    name: "R-16: a runtime fraction of nothing and of all",
    routes: [
      says("never", { prefix: "/", runtime_fraction: { default_value: { numerator: 0, denominator: "HUNDRED" } } }),
      says("always", { prefix: "/", runtime_fraction: { default_value: { numerator: 100, denominator: "HUNDRED" } } }),
    ],
    exchanges: paths("/", "/a"),
  },
  {
    name: "R-25: the client's certificate, where there is none",
    routes: [
      says("presented", { prefix: "/p", tls_context: { presented: true } }),
      says("not presented", { prefix: "/", tls_context: { presented: false } }),
    ],
    exchanges: paths("/p", "/"),
  },
  {
    name: "R-26: dynamic metadata that nobody has set",
    routes: [
      says("yes", {
        prefix: "/",
        dynamic_metadata: [{ filter: "f", path: [{ key: "k" }], value: { string_match: { exact: "v" } } }],
      }),
      says("inverted", {
        prefix: "/i",
        dynamic_metadata: [
          { filter: "f", path: [{ key: "k" }], value: { string_match: { exact: "v" } }, invert: true },
        ],
      }),
      says("no", { prefix: "/" }),
    ],
    exchanges: paths("/", "/i"),
  },
  {
    name: "R-27: path parameters are ignored when asked to be",
    routeConfig: { ignore_path_parameters_in_path_matching: true },
    routes: [
      says("a", { path: "/a" }),
      says("b", { prefix: "/b/c" }),
      says("r", { safe_regex: regex("/r/\\d") }),
      says("no", { prefix: "/" }),
    ],
    exchanges: paths("/a;x=1", "/a;x?q", "/b;x/c", "/b/c;x", "/r/1;v=2", "/a?;"),
  },
  {
    name: "R-10: bytes above ASCII",
    routes: [says("e", { prefix: "/é" }), says("p", { prefix: "/%C3%A9" }), says("no", { prefix: "/" })],
    logs: 2,
    exchanges: paths("/\xc3\xa9", "/%C3%A9", "/%c3%a9"),
  },
  {
    name: "R-17: bytes above ASCII in header matchers",
    routes: [
      says("e", { prefix: "/", headers: [{ name: "x-h", string_match: { exact: "é" } }] }),
      says("no", { prefix: "/" }),
    ],
    exchanges: [get("/", { "x-h": "\xc3\xa9" }), get("/", { "x-h": "\xe9" })],
  },
  {
    name: "R-10: * for OPTIONS",
    routes: [says("star", { path: "*" }), says("slash", { prefix: "/" })],
    exchanges: [
      raw(requestText("OPTIONS", "*")),
      raw(requestText("OPTIONS", "/")),
      http2("*", { ":method": "OPTIONS" }),
    ],
  },
  {
    name: "R-09: a cookie matcher",
    routes: [
      says("yes", { prefix: "/", cookies: [{ name: "c", string_match: { exact: "1" } }] }),
      says("no", { prefix: "/" }),
    ],
    exchanges: [get("/", { cookie: "c=1" }), get("/", { cookie: "a=b; c=1" }), get("/", { cookie: "c=2" }), get("/")],
  },
  {
    name: "R-09: filter state that nobody has set",
    routes: [
      says("yes", { prefix: "/", filter_state: [{ key: "k", string_match: { exact: "v" } }] }),
      says("no", { prefix: "/" }),
    ],
    exchanges: [get("/")],
  },
];
