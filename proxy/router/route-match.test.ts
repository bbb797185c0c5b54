import { describe, expect, test } from "vitest";
import { StreamInfo } from "../stream-info.ts";
import { clusterFor, finalized, match, problemsOf, requestOf, tableOfRoutes } from "./testing/routes.ts";

const to = (cluster: string, extra: object = {}): object => ({ route: { cluster, ...extra } });
const all = { prefix: "/" };

describe("route match", () => {
  const routed = (routeMatch: object, fields: Record<string, string>, random = 0n): boolean =>
    clusterFor(tableOfRoutes([{ match: routeMatch, ...to("c") }]), fields, random) === "c";
  const paths = (routeMatch: object, ...list: string[]): boolean[] =>
    list.map((path) => routed(routeMatch, { ":path": path }));

  test("R-09: the first route that matches wins", () => {
    const table = tableOfRoutes([
      { match: { prefix: "/a", headers: [{ name: "x", presentMatch: true }] }, ...to("first") },
      { match: { prefix: "/a" }, ...to("second") },
      { match: all, ...to("third") },
    ]);
    const found = [{ ":path": "/a", x: "1" }, { ":path": "/a" }, { ":path": "/b" }].map((fields) =>
      clusterFor(table, fields as Record<string, string>),
    );
    expect(found).toEqual(["first", "second", "third"]);
  });

  test("R-10: prefix", () => {
    expect(paths({ prefix: "/foo" }, "/foo", "/foobar", "/foo?x", "/Foo", "/fo")).toEqual([
      true,
      true,
      true,
      false,
      false,
    ]);
    expect(paths({ prefix: "/foo", caseSensitive: false }, "/FOO/x", "/fo")).toEqual([true, false]);
    expect(paths({ prefix: "/a?b" }, "/a?b")).toEqual([false]);
  });

  test("R-11: path, without query and fragment", () => {
    expect(paths({ path: "/foo" }, "/foo", "/foo?x=1", "/foo#x", "/foo/", "/FOO")).toEqual([
      true,
      true,
      true,
      false,
      false,
    ]);
    expect(paths({ path: "/foo", caseSensitive: false }, "/FOO?x")).toEqual([true]);
  });

  test("R-12: safe_regex matches the whole path without its query", () => {
    const regex = { safeRegex: { regex: "/v[0-9]+/.*" } };
    expect(paths(regex, "/v1/x", "/v12/?q", "/v/x", "x/v1/x")).toEqual([true, true, false, false]);
    expect(
      problemsOf({
        virtualHosts: [{ name: "v", domains: ["*"], routes: [{ match: { safeRegex: { regex: "(" } }, ...to("c") }] }],
      }),
    ).toEqual([expect.stringMatching(/^virtual_hosts\[0\]\.routes\[0\]\.match\.safe_regex\.regex: .*RE2/)]);
  });

  test("R-13: path_separated_prefix ends at a separator", () => {
    const routeMatch = { pathSeparatedPrefix: "/a/b" };
    expect(paths(routeMatch, "/a/b", "/a/b/c", "/a/b?x", "/a/b#x", "/a/bc", "/a")).toEqual([
      true,
      true,
      true,
      true,
      false,
      false,
    ]);
    for (const bad of ["/a/", "a", "/a?x", "/"])
      expect(
        problemsOf({
          virtualHosts: [{ name: "v", domains: ["*"], routes: [{ match: { pathSeparatedPrefix: bad }, ...to("c") }] }],
        }),
      ).toHaveLength(1);
  });

  test("R-14: connect_matcher is for CONNECT only; without a path nothing else matches a CONNECT", () => {
    const table = tableOfRoutes([
      { match: { connectMatcher: {} }, ...to("tunnel") },
      { match: all, ...to("c") },
    ]);
    expect(clusterFor(table, { ":method": "CONNECT", ":path": "" })).toBe("tunnel");
    expect(clusterFor(table, { ":method": "GET" })).toBe("c");
    const other = tableOfRoutes([{ match: { safeRegex: { regex: ".*" } }, ...to("c") }]);
    expect(clusterFor(other, { ":method": "CONNECT", ":path": "" })).toBeUndefined();
    expect(clusterFor(other, { ":method": "CONNECT", ":path": "/chat" })).toBe("c");
  });

  test("R-15: path templates, and rewriting by their variables", () => {
    const template = (pathTemplate: string): object => ({
      pathMatchPolicy: {
        name: "m",
        typedConfig: {
          "@type": "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig",
          pathTemplate,
        },
      },
    });
    expect(paths(template("/users/{id}/**"), "/users/7/x/y", "/users/7/", "/users/7", "/users//x")).toEqual([
      true,
      true,
      false,
      false,
    ]);
    const rewriter = {
      name: "r",
      typedConfig: {
        "@type": "type.googleapis.com/envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig",
        pathTemplateRewrite: "/{rest}/by/{id}",
      },
    };
    const table = tableOfRoutes([
      { match: template("/users/{id}/{rest=**}"), ...to("c", { pathRewritePolicy: rewriter }) },
    ]);
    expect(finalized(table, { ":path": "/users/7/x/y?q" }).path).toBe("/x/y/by/7?q");
    for (const bad of ["users", "/{a}/{a}", "/**/x/*", "/{1a}", "/{a", "/a//b"])
      expect(
        problemsOf({ virtualHosts: [{ name: "v", domains: ["*"], routes: [{ match: template(bad), ...to("c") }] }] }),
      ).toHaveLength(1);
  });

  test("R-16: runtime_fraction takes the default", () => {
    const half = { prefix: "/", runtimeFraction: { defaultValue: { numerator: 50 }, runtimeKey: "k" } };
    expect([0n, 49n, 50n, 99n, 149n].map((random) => routed(half, {}, random))).toEqual([
      true,
      true,
      false,
      false,
      true,
    ]);
    expect(routed({ prefix: "/", runtimeFraction: { defaultValue: {} } }, {}, 0n)).toBe(false);
  });

  test("R-17: each value of a name is matched for itself", () => {
    const table = tableOfRoutes([
      { match: { prefix: "/", headers: [{ name: "X-A", stringMatch: { exact: "2" } }] }, ...to("c") },
    ]);
    const headers = requestOf({ "x-a": "1" });
    const context = { streamRandom: 0n, info: new StreamInfo() };
    expect(table.match(headers, context)).toBeUndefined();
    headers.add("x-a", "2");
    expect(table.match(headers, context)).toBeDefined();
  });

  test("R-17: `host` is the authority", () => {
    expect(routed({ prefix: "/", headers: [{ name: "Host", stringMatch: { exact: "host" } }] }, {})).toBe(true);
  });

  test("R-22: ignore_case spares regular expressions", () => {
    const header = (stringMatch: object): boolean =>
      routed({ prefix: "/", headers: [{ name: "a", stringMatch }] }, { a: "ABC" });
    expect(header({ exact: "abc", ignoreCase: true })).toBe(true);
    expect(header({ prefix: "ab", ignoreCase: true })).toBe(true);
    expect(header({ suffix: "bc", ignoreCase: true })).toBe(true);
    expect(header({ contains: "b", ignoreCase: true })).toBe(true);
    expect(header({ safeRegex: { regex: "abc" }, ignoreCase: true })).toBe(false);
  });

  test("R-23: query parameters: the first value, as it is written", () => {
    const parameter = (matcher: object, path: string): boolean =>
      routed({ prefix: "/", queryParameters: [{ name: "q", ...matcher }] }, { ":path": path });
    expect(parameter({ stringMatch: { exact: "1" } }, "/?a=0&q=1&q=2")).toBe(true);
    expect(parameter({ stringMatch: { exact: "2" } }, "/?q=1&q=2")).toBe(false);
    expect(parameter({ stringMatch: { exact: "a b" } }, "/?q=a%20b")).toBe(false);
    expect(parameter({}, "/?q")).toBe(true);
    expect(parameter({}, "/?qq=1")).toBe(false);
    expect(parameter({ presentMatch: false }, "/?q=1")).toBe(false);
    expect(parameter({ presentMatch: false }, "/")).toBe(true);
  });

  test("R-24: grpc by content type", () => {
    const grpc = (type: string): boolean => routed({ prefix: "/", grpc: {} }, { "content-type": type });
    expect(["application/grpc", "application/grpc+proto", "application/grpc-web", "text/plain"].map(grpc)).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });

  test("R-25: tls_context looks at the peer's certificate", () => {
    const table = tableOfRoutes([{ match: { prefix: "/", tlsContext: { presented: false } }, ...to("none") }]);
    expect(clusterFor(table)).toBe("none");
    expect(routed({ prefix: "/", tlsContext: { presented: true } }, {})).toBe(false);
    expect(routed({ prefix: "/", tlsContext: { validated: true } }, {})).toBe(false);
  });

  test("R-26: dynamic metadata", () => {
    const matcher = { filter: "ns", path: [{ key: "a" }, { key: "b" }], value: { stringMatch: { exact: "x" } } };
    const table = (invert: boolean): ReturnType<typeof tableOfRoutes> =>
      tableOfRoutes([{ match: { prefix: "/", dynamicMetadata: [{ ...matcher, invert }] }, ...to("c") }]);
    const info = new StreamInfo();
    info.dynamicMetadata = new Map([["ns", { a: { b: "x" } }]]);
    expect(table(false).match(requestOf(), { streamRandom: 0n, info })).toBeDefined();
    expect(table(true).match(requestOf(), { streamRandom: 0n, info })).toBeUndefined();
    expect(match(table(false))).toBeUndefined();
  });

  test("R-27: path parameters are left out of matching, and kept", () => {
    const table = tableOfRoutes(
      [{ match: { path: "/a" }, ...to("c") }],
      {},
      { ignorePathParametersInPathMatching: true },
    );
    expect(clusterFor(table, { ":path": "/a;v=1?q" })).toBe("c");
    expect(finalized(table, { ":path": "/a;v=1?q" }).path).toBe("/a;v=1?q");
  });

  test("cookies and filter state", () => {
    const cookie = { name: "user", stringMatch: { exact: "42" } };
    expect(routed({ prefix: "/", cookies: [cookie] }, { cookie: 'a=b; user="42"' })).toBe(true);
    expect(routed({ prefix: "/", cookies: [cookie] }, { cookie: "user=41" })).toBe(false);
    expect(routed({ prefix: "/", cookies: [{ ...cookie, invertMatch: true }] }, {})).toBe(true);
    const table = tableOfRoutes([
      { match: { prefix: "/", filterState: [{ key: "k", stringMatch: { exact: "v" } }] }, ...to("c") },
    ]);
    const info = new StreamInfo();
    info.filterState = new Map([["k", "v"]]);
    expect(table.match(requestOf(), { streamRandom: 0n, info })).toBeDefined();
    expect(match(table)).toBeUndefined();
  });
});
