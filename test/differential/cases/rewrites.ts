/** Rewrites, redirects, direct responses (R-37 … R-46). */
import type { Case, Exchange, Json } from "../harness/case.ts";
import { answer, cluster, forward, get, http2, request, requestText, raw, says } from "../harness/requests.ts";

const rewriteCase = (what: string, action: Json, match: Json, ...exchanges: readonly Exchange[]): Case => ({
  name: `R-40: ${what}`,
  routes: [forward(action, { match })],
  exchanges,
});
const hostCase = (what: string, action: Json, ...exchanges: readonly Exchange[]): Case => ({
  name: `R-38: ${what}`,
  routes: [forward(action)],
  exchanges: exchanges.length === 0 ? [get("/")] : exchanges,
});
const redirectCase = (what: string, redirect: Json, ...exchanges: readonly Exchange[]): Case => ({
  name: `R-42: redirect: ${what}`,
  routes: [{ match: { prefix: "/old" }, redirect }],
  exchanges: exchanges.length === 0 ? [get("/old/x?y=z")] : exchanges,
});
const regex = (pattern: string, substitution: string): Json => ({ pattern: { regex: pattern }, substitution });
const internal = (policy: Json = {}): Json => ({ internal_redirect_policy: policy });

/** `followed`: how many redirects are; each has a line of its own in the access log. */
function internalCase(
  what: string,
  policy: Json,
  followed: number,
  answers: Case["answers"],
  ...exchanges: readonly Exchange[]
): Case {
  return {
    name: `R-46: internal redirect: ${what}`,
    routes: [forward({ cluster: "{id}-x" }, { match: { prefix: "/new" } }), forward(internal(policy))],
    clusters: { "-x": cluster("b") },
    answers: answers as NonNullable<Case["answers"]>,
    exchanges: exchanges.length === 0 ? [get("/old?q")] : exchanges,
    logs: Math.max(exchanges.length, 1) + followed,
  };
}
const moved = (location: string, status = 302, more: Readonly<Record<string, string>> = {}) =>
  answer(status, { location, ...more }, "moved");

export const rewriteCases: readonly Case[] = [
  rewriteCase(
    "prefix_rewrite",
    { prefix_rewrite: "/new" },
    { prefix: "/old" },
    get("/old"),
    get("/old/x?y"),
    get("/oldx"),
  ),
  rewriteCase(
    "prefix_rewrite of a slash",
    { prefix_rewrite: "/" },
    { prefix: "/old/" },
    get("/old/"),
    get("/old/x"),
    get("/old//x"),
  ),
  rewriteCase(
    "prefix_rewrite to a slash makes two",
    { prefix_rewrite: "/" },
    { prefix: "/old" },
    get("/old/x"),
    get("/old"),
  ),
  rewriteCase(
    "prefix_rewrite of an exact path",
    { prefix_rewrite: "/new" },
    { path: "/old" },
    get("/old?q"),
    get("/old"),
  ),
  rewriteCase(
    "prefix_rewrite ignoring case",
    { prefix_rewrite: "/new" },
    { prefix: "/old", case_sensitive: false },
    get("/OLD/x"),
  ),
  rewriteCase(
    "prefix_rewrite of segments",
    { prefix_rewrite: "/new" },
    { path_separated_prefix: "/old" },
    get("/old"),
    get("/old/x"),
    get("/old?q=1"),
  ),
  rewriteCase(
    "prefix_rewrite with a regex match",
    { prefix_rewrite: "/new" },
    { safe_regex: { regex: "/old.*" } },
    get("/old/x?q"),
  ),
  rewriteCase(
    "regex_rewrite",
    { regex_rewrite: regex("^/old/([^/]+)/(.*)$", "/\\2/by/\\1") },
    { prefix: "/" },
    get("/old/a/b?q=1"),
    get("/x"),
  ),
  rewriteCase("regex_rewrite of all matches", { regex_rewrite: regex("a", "b") }, { prefix: "/" }, get("/aXa?a=a")),
  rewriteCase("regex_rewrite with an empty match", { regex_rewrite: regex("x*", "-") }, { prefix: "/" }, get("/axxb")),
  rewriteCase("regex_rewrite to nothing", { regex_rewrite: regex("^/.*$", "") }, { prefix: "/" }, get("/a?b")),
  rewriteCase(
    "regex_rewrite of the whole match",
    { regex_rewrite: regex("one", "<\\0>") },
    { prefix: "/" },
    get("/one/one"),
  ),
  rewriteCase(
    "regex_rewrite case-insensitive group",
    { regex_rewrite: regex("(?i)/Case/(\\w+)", "/\\1\\\\") },
    { prefix: "/" },
    get("/cAsE/x"),
  ),
  rewriteCase(
    "path_rewrite_policy",
    {
      path_rewrite_policy: {
        name: "envoy.path.rewrite.uri_template.uri_template_rewriter",
        typed_config: {
          "@type": "type.googleapis.com/envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig",
          path_template_rewrite: "/{b}/x/{a}",
        },
      },
    },
    {
      path_match_policy: {
        name: "envoy.path.match.uri_template.uri_template_matcher",
        typed_config: {
          "@type": "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig",
          path_template: "/v/{a}/{b=**}",
        },
      },
    },
    get("/v/1/2"),
    get("/v/1/2/3?q=4"),
  ),
  rewriteCase(
    "path_rewrite with operators",
    { path_rewrite: "/%REQ(x-p)%/%REQ(:method)%" },
    { prefix: "/" },
    get("/a?b", { "x-p": "v" }),
    get("/a"),
  ),
  rewriteCase(
    "an original path that is there already",
    { prefix_rewrite: "/new" },
    { prefix: "/" },
    get("/a", { "x-envoy-original-path": "/mine" }),
  ),
  rewriteCase("prefix_rewrite over HTTP/2", { prefix_rewrite: "/new" }, { prefix: "/old" }, http2("/old/x?y")),
  hostCase("host_rewrite_literal", { host_rewrite_literal: "new.test" }, get("/"), http2("/")),
  hostCase(
    "host_rewrite_literal with x-forwarded-host",
    { host_rewrite_literal: "new.test", append_x_forwarded_host: true },
    get("/"),
    get("/", { "x-forwarded-host": "a.test" }),
    get("/", { "x-forwarded-host": "a, {id}.test" }),
    get("/", { "x-forwarded-host": "{id}.test" }),
  ),
  hostCase("host_rewrite_literal that changes nothing", { host_rewrite_literal: "{id}.test" }),
  hostCase(
    "host_rewrite_header",
    { host_rewrite_header: "x-host" },
    get("/", { "x-host": "h.test" }),
    get("/"),
    get("/", { "x-host": "" }),
    get("/", { "x-host": ["one", "two"] }),
  ),
  hostCase(
    "host_rewrite_path_regex",
    { host_rewrite_path_regex: regex("^/([^/]+)/.*$", "\\1.test") },
    get("/name/x?y"),
    get("/none"),
  ),
  hostCase("host_rewrite with operators", { host_rewrite: "%REQ(x-h)%.test" }, get("/", { "x-h": "v" }), get("/")),
  {
    name: "R-38: auto_host_rewrite",
    routes: [forward({ auto_host_rewrite: true, append_x_forwarded_host: true })],
    clusters: {
      "": {
        load_assignment: {
          cluster_name: "{id}",
          endpoints: [
            {
              lb_endpoints: [
                {
                  endpoint: {
                    hostname: "backend.test",
                    address: { socket_address: { address: "127.0.0.1", port_value: "port:a" } },
                  },
                },
              ],
            },
          ],
        },
      },
    },
    exchanges: [get("/"), http2("/")],
  },
  {
    name: "R-38: auto_host_rewrite of a host without a name",
    routes: [forward({ auto_host_rewrite: true })],
    exchanges: [get("/")],
  },
  {
    name: "R-39: rewrites leave no trace when Envoy's headers are suppressed",
    manager: {
      http_filters: [
        {
          name: "envoy.filters.http.router",
          typed_config: {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            suppress_envoy_headers: true,
          },
        },
      ],
    },
    virtualHost: { include_request_attempt_count: true, include_attempt_count_in_response: true },
    routes: [forward({ prefix_rewrite: "/new", host_rewrite_literal: "new.test" })],
    exchanges: [get("/old")],
  },
  {
    name: "R-37: mutations see the request before its rewrites",
    virtualHost: { include_request_attempt_count: true },
    routes: [
      forward(
        { prefix_rewrite: "/new", host_rewrite_literal: "new.test" },
        {
          request_headers_to_add: [
            { header: { key: "x-path", value: "%REQ(:path)% %REQ(:authority)%" } },
            { header: { key: "x-try", value: "%REQ(x-envoy-attempt-count)% %REQ(x-envoy-expected-rq-timeout-ms)%" } },
            { header: { key: "x-orig", value: "%REQ(x-envoy-original-path)%" } },
          ],
        },
      ),
    ],
    exchanges: [get("/old")],
  },
  redirectCase(
    "https",
    { https_redirect: true },
    get("/old"),
    get("/old", { host: "{id}.test:80" }),
    get("/old", { host: "{id}.test:8080" }),
    get("/old", { "x-forwarded-proto": "https" }),
    http2("/old"),
  ),
  redirectCase("a scheme", { scheme_redirect: "ftp" }),
  redirectCase("a host", { host_redirect: "new.test" }),
  redirectCase(
    "a host with a port of its own",
    { host_redirect: "new.test:99" },
    get("/old", { host: "{id}.test:8080" }),
  ),
  redirectCase("a port", { port_redirect: 8443 }, get("/old"), get("/old", { host: "{id}.test:8080" })),
  redirectCase("host and port", { host_redirect: "new.test:1", port_redirect: 2 }),
  redirectCase("a path", { path_redirect: "/new" }, get("/old"), get("/old?q=1")),
  redirectCase("a path with a query", { path_redirect: "/new?own=1" }, get("/old?q=1")),
  redirectCase("a path without slash", { path_redirect: "new" }),
  redirectCase("a prefix", { prefix_rewrite: "/new" }, get("/old/x?y"), get("/old")),
  redirectCase("a regex", { regex_rewrite: regex("^/old/(.*)$", "/\\1/new") }, get("/old/x?y"), get("/old")),
  redirectCase("without the query", { path_redirect: "/new", strip_query: true }, get("/old?x=y")),
  redirectCase("without the query, of a prefix", { prefix_rewrite: "/new", strip_query: true }, get("/old/x?x=y")),
  redirectCase("without anything", {}, get("/old?q"), request("HEAD", "/old")),
  ...["MOVED_PERMANENTLY", "FOUND", "SEE_OTHER", "TEMPORARY_REDIRECT", "PERMANENT_REDIRECT"].map((code) =>
    redirectCase(
      code,
      { path_redirect: "/new", response_code: code },
      get("/old"),
      request("POST", "/old", {}, "body"),
      http2("/old"),
    ),
  ),
  redirectCase("bytes above ASCII", { host_redirect: "é.test", path_redirect: "/é" }),
  redirectCase(
    "IPv6 hosts",
    { scheme_redirect: "https" },
    get("/old", { host: "[::1]:80" }),
    get("/old", { host: "[::1]" }),
  ),
  {
    name: "R-42: redirect with operators",
    routes: [{ match: { prefix: "/" }, redirect: { path_rewrite: "/%REQ(x-a)%/new" } }],
    exchanges: [get("/x?y", { "x-a": "v" })],
  },
  {
    name: "R-42: redirect with response headers",
    virtualHost: {
      response_headers_to_add: [{ header: { key: "x-v", value: "%ROUTE_NAME%" } }],
      response_headers_to_remove: ["location"],
    },
    routes: [
      {
        name: "r",
        match: { prefix: "/" },
        redirect: { path_redirect: "/n" },
        response_headers_to_add: [{ header: { key: "x-r", value: "1" } }],
      },
    ],
    exchanges: [get("/")],
  },
  ...[200, 201, 301, 400, 404, 418, 500, 599].map((status): Case => ({
    name: `R-44: direct response ${status}`,
    routes: [{ match: { prefix: "/" }, direct_response: { status, body: { inline_string: "hello" } } }],
    exchanges: [get("/"), request("HEAD", "/"), http2("/"), http2("/", { "content-type": "application/grpc" })],
  })),
  ...[204, 304].map((status): Case => ({
    name: `R-45: direct response ${status}`,
    routes: [{ match: { prefix: "/" }, direct_response: { status, body: { inline_string: "hello" } } }],
    exchanges: [get("/")],
    differs: {
      why: "a response that has no body (RFC 9110) is sent without one: what Envoy sends is read as the next response",
      ours: /^HTTP\/1\.1 (204|304) [^]*\r\n\r\n$/,
    },
  })),
  {
    name: "R-44: direct response without body, with bytes, with UTF-8",
    routes: [
      { match: { prefix: "/none" }, direct_response: { status: 200 } },
      { match: { prefix: "/bytes" }, direct_response: { status: 200, body: { inline_bytes: "AP/g" } } },
      { match: { prefix: "/utf" }, direct_response: { status: 200, body: { inline_string: "grüß €" } } },
    ],
    exchanges: [get("/none"), get("/bytes"), get("/utf"), http2("/utf"), request("POST", "/utf", {}, "x")],
  },
  {
    name: "R-44: a direct response from the environment",
    routes: [{ match: { prefix: "/" }, direct_response: { status: 200, body: { environment_variable: "HOME" } } }],
    exchanges: [get("/")],
  },
  {
    name: "R-44: a direct response of bodies beyond 4 KiB when allowed",
    routeConfig: { max_direct_response_body_size_bytes: 10_000 },
    routes: [says("x".repeat(9000), { prefix: "/" })],
    exchanges: [get("/")],
  },
  {
    name: "R-44: a direct response with headers",
    routes: [
      {
        match: { prefix: "/" },
        direct_response: { status: 201, body: { inline_string: "made" } },
        response_headers_to_add: [
          { header: { key: "content-type", value: "text/html" }, append_action: "OVERWRITE_IF_EXISTS_OR_ADD" },
          { header: { key: "location", value: "/there" } },
          { header: { key: "x-code", value: "%RESPONSE_CODE% %PROTOCOL% %REQ(x-a)%" } },
        ],
      },
    ],
    exchanges: [get("/", { "x-a": "1" })],
  },
  {
    name: "R-44: a direct response with a format",
    routes: [
      {
        match: { prefix: "/" },
        direct_response: {
          status: 200,
          body_format: {
            text_format_source: { inline_string: "path %REQ(:path)% code %RESPONSE_CODE%" },
            content_type: "text/x",
          },
        },
      },
    ],
    exchanges: [get("/a?b")],
  },
  internalCase("302 with an absolute location", {}, 1, { a: moved("http://{id}.test/new?n") }),
  internalCase(
    "codes",
    { redirect_response_codes: [301, 303, 307, 308] },
    3,
    {
      a: [
        moved("http://{id}.test/new", 301),
        moved("http://{id}.test/new", 303),
        moved("http://{id}.test/new", 307),
        moved("http://{id}.test/new", 302),
      ],
    },
    get("/1"),
    request("POST", "/2", {}, "body"),
    request("POST", "/3", {}, "body"),
    get("/4"),
  ),
  internalCase(
    "303 of HEAD",
    { redirect_response_codes: [303] },
    1,
    { a: moved("http://{id}.test/new", 303) },
    request("HEAD", "/"),
  ),
  internalCase("a relative location", {}, 0, { a: moved("/new") }),
  internalCase("no location", {}, 0, { a: answer(302, {}, "") }),
  internalCase("another scheme", {}, 0, { a: moved("https://{id}.test/new") }),
  internalCase("another scheme, allowed", { allow_cross_scheme_redirect: true }, 1, {
    a: moved("https://{id}.test/new"),
  }),
  internalCase("another host", {}, 0, { a: moved("http://elsewhere.test/new") }),
  internalCase("a fragment", {}, 1, { a: moved("http://{id}.test/new#frag") }),
  internalCase("without a path", {}, 1, { a: [moved("http://{id}.test"), answer(200, {}, "x")] }),
  internalCase("too many", {}, 1, { a: moved("http://{id}.test/old2") }),
  internalCase("two are allowed", { max_internal_redirects: 2 }, 2, { a: moved("http://{id}.test/old2") }),
  internalCase("none is allowed", { max_internal_redirects: 0 }, 0, { a: moved("http://{id}.test/new") }),
  internalCase(
    "headers to copy",
    { response_headers_to_copy: ["x-copy", "x-gone"] },
    1,
    { a: moved("http://{id}.test/new", 302, { "x-copy": "1" }) },
    get("/", { "x-gone": "1" }),
  ),
  internalCase("over HTTP/2", {}, 1, { a: moved("http://{id}.test/new?n") }, http2("/old")),
  internalCase("a location with a port", {}, 1, { a: moved("http://{id}.test:8080/new") }),
  {
    name: "R-46: internal redirect: to a direct response",
    routes: [says("here", { prefix: "/new" }), forward(internal())],
    answers: moved("http://{id}.test/new"),
    exchanges: [get("/")],
    logs: 2,
  },
  {
    name: "R-46: internal redirect: predicates",
    routes: [
      forward({ cluster: "{id}-x" }, { match: { prefix: "/new" } }),
      forward(
        internal({
          predicates: [
            {
              name: "safe",
              typed_config: {
                "@type":
                  "type.googleapis.com/envoy.extensions.internal_redirect.safe_cross_scheme.v3.SafeCrossSchemeConfig",
              },
            },
          ],
          allow_cross_scheme_redirect: true,
        }),
      ),
    ],
    clusters: { "-x": cluster("b") },
    answers: { a: [moved("https://{id}.test/new"), moved("http://{id}.test/new")] },
    exchanges: [get("/1"), get("/2")],
    logs: 3,
  },
  {
    name: "R-42: a redirect with a request body",
    routes: [{ match: { prefix: "/" }, redirect: { path_redirect: "/n" } }],
    exchanges: [raw(requestText("POST", "/", { "content-length": "3" }), { until: "\r\n\r\n" }, "abc")],
  },
];
