import { describe, expect, test } from "vitest";
import type { Cluster } from "../upstream/types.ts";
import type { HttpFilterFactory } from "../http/filter.ts";
import { StreamInfo } from "../stream-info.ts";
import { clusterFor, finalized, match, problemsOf, requestOf, tableOf, tableOfRoutes } from "./testing/routes.ts";
import type { ForwardRoute } from "./types.ts";

const to = (cluster: string, extra: object = {}): object => ({ route: { cluster, ...extra } });
const all = { prefix: "/" };

describe("virtual hosts", () => {
  const hosts = (domains: Record<string, string[]>, rest: object = {}): ReturnType<typeof tableOf> =>
    tableOf({
      virtualHosts: Object.entries(domains).map(([name, list]) => ({
        name,
        domains: list,
        routes: [{ match: all, ...to(name) }],
      })),
      ...rest,
    });

  test("R-01: exact, then the longest suffix, then the longest prefix, then *", () => {
    const table = hosts({
      exact: ["a.foo.com"],
      short: ["*.com"],
      long: ["*.foo.com", "*-bar.foo.com"],
      prefix: ["a.*"],
      longPrefix: ["a.b.*"],
      any: ["*"],
    });
    const cluster = (host: string): string | undefined => clusterFor(table, { ":authority": host });
    expect(["a.foo.com", "b.foo.com", "x-bar.foo.com", "a.com", "a.org", "a.b.org", "other"].map(cluster)).toEqual([
      "exact",
      "long",
      "long",
      "short",
      "prefix",
      "longPrefix",
      "any",
    ]);
  });

  test("R-02: case does not matter; a wildcard stands for one character at least", () => {
    const table = hosts({ wild: ["*.Foo.com"], any: ["*"] });
    expect(clusterFor(table, { ":authority": "X.FOO.COM" })).toBe("wild");
    expect(clusterFor(table, { ":authority": ".foo.com" })).toBe("any");
    expect(clusterFor(table, { ":authority": "foo.com" })).toBe("any");
  });

  test("R-03: ignore_port_in_host_matching looks past the port and keeps it", () => {
    const domains = { a: ["a.com"], six: ["[::1]"] };
    const strict = hosts(domains);
    const lenient = hosts(domains, { ignorePortInHostMatching: true });
    expect(clusterFor(strict, { ":authority": "a.com:80" })).toBeUndefined();
    expect(clusterFor(lenient, { ":authority": "a.com:80" })).toBe("a");
    expect(clusterFor(lenient, { ":authority": "[::1]:80" })).toBe("six");
    expect(clusterFor(lenient, { ":authority": "[::1]" })).toBe("six");
    expect(finalized(lenient, { ":authority": "a.com:80" }).authority).toBe("a.com:80");
  });

  test("R-04: a domain belongs to one virtual host", () => {
    const twice = {
      virtualHosts: [
        { name: "a", domains: ["x.com"] },
        { name: "b", domains: ["X.com"] },
      ],
    };
    expect(problemsOf(twice)).toEqual([
      "virtual_hosts[1].domains[0]: Only unique values for domains are permitted. Duplicate entry of domain X.com",
    ]);
    const stars = {
      virtualHosts: [
        { name: "a", domains: ["*"] },
        { name: "b", domains: ["*"] },
      ],
    };
    expect(problemsOf(stars)).toEqual(["virtual_hosts[1].domains[0]: Only a single wildcard domain is permitted"]);
    expect(problemsOf({ virtualHosts: [{ name: "a", domains: [""] }] })).toEqual([
      "virtual_hosts[0].domains[0]: a domain may not be empty",
    ]);
    const names = {
      virtualHosts: [
        { name: "a", domains: ["x"] },
        { name: "a", domains: ["y"] },
      ],
    };
    expect(problemsOf(names)).toEqual([expect.stringContaining("Only unique names")]);
  });

  test("R-05: vhost_header names another header than the host", () => {
    const table = hosts({ a: ["a.com"], b: ["b.com"] }, { vhostHeader: "X-Host" });
    expect(clusterFor(table, { ":authority": "a.com", "x-host": "b.com" })).toBe("b");
    expect(clusterFor(table, { ":authority": "a.com" })).toBeUndefined();
  });

  test("R-06: no virtual host, or no route in it, gives nothing", () => {
    const table = hosts({ a: ["a.com"] });
    expect(match(table, { ":authority": "b.com" })).toBeUndefined();
    expect(match(tableOfRoutes([{ match: { prefix: "/x" }, ...to("x") }]))).toBeUndefined();
  });

  test("R-07: require_tls redirects what came in plain", () => {
    const table = (requireTls: string): ReturnType<typeof tableOf> =>
      tableOfRoutes([{ match: all, ...to("c") }], { requireTls });
    const plain = match(table("ALL"), { ":path": "/x?y" });
    expect(plain).toMatchObject({ kind: "redirect", status: 301 });
    expect(plain?.kind === "redirect" && plain.location(requestOf({ ":path": "/x?y" }))).toBe("https://host/x?y");
    expect(clusterFor(table("ALL"), { "x-forwarded-proto": "https" })).toBe("c");
    expect(clusterFor(table("EXTERNAL_ONLY"), { "x-envoy-internal": "true" })).toBe("c");
    expect(match(table("EXTERNAL_ONLY"))?.kind).toBe("redirect");
  });

  test("R-08: without x-forwarded-proto no route matches", () => {
    expect(match(tableOfRoutes([{ match: all, ...to("c") }]), { "x-forwarded-proto": "" })).toBeUndefined();
  });
});

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

  test("R-17: values of a name are joined before they are matched", () => {
    const table = tableOfRoutes([
      { match: { prefix: "/", headers: [{ name: "X-A", stringMatch: { exact: "1,2" } }] }, ...to("c") },
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
    const table = (invert: boolean): ReturnType<typeof tableOf> =>
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

describe("choice of the cluster", () => {
  test("R-28: cluster_header", () => {
    const table = tableOfRoutes([
      { match: all, route: { clusterHeader: "X-Cluster", clusterNotFoundResponseCode: "NOT_FOUND" } },
    ]);
    expect(clusterFor(table, { "x-cluster": "a" })).toBe("a");
    expect(match(table)).toMatchObject({ clusterName: "", clusterNotFoundStatus: 404 });
  });

  const weighted = (extra: object = {}): ReturnType<typeof tableOf> =>
    tableOfRoutes([
      {
        match: all,
        route: {
          weightedClusters: {
            clusters: [
              { name: "a", weight: 30 },
              { name: "b", weight: 70 },
            ],
            ...extra,
          },
        },
      },
    ]);

  test("R-29: weights share the stream's random value", () => {
    const found = [0n, 29n, 30n, 99n, 100n, 2n ** 64n - 1n].map((random) => clusterFor(weighted(), {}, random));
    expect(found).toEqual(["a", "a", "b", "b", "a", "a"]);
  });

  test("R-29: a header may give the value, where it appears once and is a number", () => {
    const table = weighted({ headerName: "x-random" });
    expect(clusterFor(table, { "x-random": "42" }, 0n)).toBe("b");
    expect(clusterFor(table, { "x-random": "many" }, 0n)).toBe("a");
    expect(clusterFor(table, {}, 0n)).toBe("a");
  });

  test("R-29: weights of zero together are refused", () => {
    const none = {
      virtualHosts: [
        {
          name: "v",
          domains: ["*"],
          routes: [{ match: all, route: { weightedClusters: { clusters: [{ name: "a", weight: 0 }] } } }],
        },
      ],
    };
    expect(problemsOf(none)).toEqual([
      expect.stringContaining("Sum of weights in the weighted_cluster must be greater than 0"),
    ]);
  });

  test("R-30: one object for each cluster, whatever the request", () => {
    const table = weighted();
    expect(match(table, {}, 1n)).toBe(match(table, { ":path": "/other" }, 2n));
    expect(match(table, {}, 1n)).not.toBe(match(table, {}, 31n));
  });

  test("R-36: metadata_match of the weighted cluster wins over the route's", () => {
    const lb = (fields: object): object => ({ filterMetadata: { "envoy.lb": fields } });
    const table = tableOfRoutes([
      {
        match: all,
        route: {
          metadataMatch: lb({ version: "1", zone: "a" }),
          weightedClusters: { clusters: [{ name: "a", weight: 1, metadataMatch: lb({ version: "2" }) }] },
        },
      },
    ]);
    expect(match(table)).toMatchObject({ metadataMatch: { version: "2", zone: "a" } });
  });

  test("R-35: mirror policies of the route, else of the virtual host, else of the configuration", () => {
    const mirror = (cluster: string): object => ({
      requestMirrorPolicies: [{ cluster, runtimeFraction: { defaultValue: { numerator: 10 } } }],
    });
    const table = tableOfRoutes(
      [
        { match: { prefix: "/r" }, ...to("c", mirror("route")) },
        { match: all, ...to("c") },
      ],
      mirror("host"),
    );
    const names = ["/r", "/x"].map((path) =>
      (match(table, { ":path": path }) as ForwardRoute).mirrors.map((one) => one.clusterName),
    );
    expect(names).toEqual([["route"], ["host"]]);
    const [policy] = (match(table) as ForwardRoute).mirrors;
    expect([policy?.shouldMirror(9n), policy?.shouldMirror(10n)]).toEqual([true, false]);
  });

  test("X-67: unknown clusters are a problem only where they are to be validated", () => {
    const json = {
      virtualHosts: [
        {
          name: "v",
          domains: ["*"],
          routes: [
            { match: all, ...to("known") },
            { match: all, ...to("unknown") },
          ],
        },
      ],
    };
    const clusters = { get: (name: string) => (name === "known" ? ({} as Cluster) : undefined) };
    expect(problemsOf(json, { clusters })).toEqual([]);
    const expected = ["virtual_hosts[0].routes[1].route.cluster: route: unknown cluster 'unknown'"];
    expect(problemsOf(json, { clusters, validateClusters: true })).toEqual(expected);
    expect(problemsOf({ ...json, validateClusters: true }, { clusters })).toEqual(expected);
    expect(tableOf(json).clusterNames).toEqual(["known", "unknown"]);
  });
});

describe("rewrites", () => {
  const rewritten = (
    action: object,
    fields: Record<string, string> = {},
    suppress = false,
    routeMatch: object = all,
  ): (string | undefined)[] => {
    const headers = finalized(tableOfRoutes([{ match: routeMatch, ...to("c", action) }]), fields, suppress);
    return [
      headers.authority,
      headers.path,
      headers.get("x-envoy-original-host"),
      headers.get("x-envoy-original-path"),
    ];
  };

  test("R-38, R-39: the host, with the old one kept", () => {
    expect(rewritten({ hostRewriteLiteral: "new" })).toEqual(["new", "/", "host", undefined]);
    expect(rewritten({ hostRewriteLiteral: "new" }, {}, true)).toEqual(["new", "/", undefined, undefined]);
    expect(rewritten({ hostRewriteHeader: "x-h" }, { "x-h": "h2" })[0]).toBe("h2");
    expect(rewritten({ hostRewriteHeader: "x-h" })).toEqual(["host", "/", undefined, undefined]);
    const regex = { hostRewritePathRegex: { pattern: { regex: "^/(.+)/.*$" }, substitution: "\\1" } };
    expect(rewritten(regex, { ":path": "/there/x?y/z" })[0]).toBe("there");
    expect(rewritten({ hostRewrite: "%REQ(x-h)%.test" }, { "x-h": "h3" })[0]).toBe("h3.test");
    expect(rewritten({ hostRewrite: "%REQ(x-h)%" })[0]).toBe("-");
    expect(match(tableOfRoutes([{ match: all, ...to("c", { autoHostRewrite: true }) }]))).toMatchObject({
      autoHostRewrite: true,
    });
  });

  test("R-39: append_x_forwarded_host", () => {
    const table = tableOfRoutes([
      { match: all, ...to("c", { hostRewriteLiteral: "new", appendXForwardedHost: true }) },
    ]);
    expect(finalized(table).get("x-forwarded-host")).toBe("host");
    expect(finalized(table, { "x-forwarded-host": "a" }).get("x-forwarded-host")).toBe("a,host");
    expect(finalized(table, { "x-forwarded-host": "a, host" }).get("x-forwarded-host")).toBe("a, host");
  });

  test("R-40: the path, query kept", () => {
    expect(rewritten({ prefixRewrite: "/new" }, { ":path": "/old/x?y" }, false, { prefix: "/old" })).toEqual([
      "host",
      "/new/x?y",
      undefined,
      "/old/x?y",
    ]);
    expect(
      rewritten({ prefixRewrite: "/new" }, { ":path": "/OLD?y" }, true, { path: "/old", caseSensitive: false }),
    ).toEqual(["host", "/new?y", undefined, undefined]);
    const regex = { regexRewrite: { pattern: { regex: "/v([0-9])" }, substitution: "/version\\1" } };
    expect(rewritten(regex, { ":path": "/v1/v2?q=/v3" })[1]).toBe("/version1/version2?q=/v3");
    expect(rewritten({ pathRewrite: "/%REQ(x-p)%" }, { ":path": "/a?b", "x-p": "new" })[1]).toBe("/new?b");
  });

  test("R-41: at most one path rewrite; a substitution needs its groups", () => {
    const problems = (action: object): string[] =>
      problemsOf({ virtualHosts: [{ name: "v", domains: ["*"], routes: [{ match: all, ...to("c", action) }] }] });
    const regexRewrite = { pattern: { regex: "a" }, substitution: "\\1" };
    expect(problems({ prefixRewrite: "/x", regexRewrite: { ...regexRewrite, substitution: "b" } })).toHaveLength(1);
    expect(problems({ regexRewrite })).toEqual([expect.stringContaining("names group \\1")]);
  });

  test("R-37: mutations come before rewrites, so they see the old host and path", () => {
    const table = tableOfRoutes([
      {
        match: { prefix: "/old" },
        ...to("c", { prefixRewrite: "/new", hostRewriteLiteral: "new" }),
        requestHeadersToAdd: [{ header: { key: "x-was", value: "%REQ(:authority)%%REQ(:path)%" } }],
      },
    ]);
    expect(finalized(table, { ":path": "/old/x" }).get("x-was")).toBe("host/old/x");
  });
});

describe("redirects and direct responses", () => {
  const location = (redirect: object, fields: Record<string, string> = {}): string | undefined => {
    const route = match(tableOfRoutes([{ match: all, redirect }]), fields);
    return route?.kind === "redirect" ? route.location(requestOf(fields)) : undefined;
  };

  test("R-42: scheme, host, port, path", () => {
    const secure = { ":scheme": "https", "x-forwarded-proto": "https" };
    expect(location({ httpsRedirect: true }, { ":path": "/a?b" })).toBe("https://host/a?b");
    expect(location({ httpsRedirect: true }, { ":authority": "host:80" })).toBe("https://host/");
    expect(location({ httpsRedirect: true }, { ":authority": "host:8080" })).toBe("https://host:8080/");
    expect(location({ schemeRedirect: "http" }, { ...secure, ":authority": "host:443" })).toBe("http://host/");
    expect(location({ portRedirect: 8443 }, { ":authority": "[::1]:80" })).toBe("http://[::1]:8443/");
    expect(location({ hostRedirect: "new" })).toBe("http://new/");
    expect(location({ pathRedirect: "/p" }, { ":path": "/a?b" })).toBe("http://host/p?b");
    expect(location({ pathRedirect: "/p?x" }, { ":path": "/a?b" })).toBe("http://host/p?x");
    expect(location({ pathRedirect: "/p", stripQuery: true }, { ":path": "/a?b" })).toBe("http://host/p");
    expect(location({ stripQuery: true }, { ":path": "/a?b" })).toBe("http://host/a");
    expect(location({ prefixRewrite: "/n/" }, { ":path": "/a?b" })).toBe("http://host/n/a?b");
    expect(location({ regexRewrite: { pattern: { regex: "a" }, substitution: "c" } }, { ":path": "/a?a" })).toBe(
      "http://host/c?a",
    );
  });

  test("R-43: the path starts with a slash", () => {
    expect(location({ pathRedirect: "p" })).toBe("http://host/p");
  });

  test("R-42: response codes", () => {
    const codes = ["MOVED_PERMANENTLY", "FOUND", "SEE_OTHER", "TEMPORARY_REDIRECT", "PERMANENT_REDIRECT"].map(
      (responseCode) => match(tableOfRoutes([{ match: all, redirect: { responseCode } }])),
    );
    expect(codes.map((route) => route?.kind === "redirect" && route.status)).toEqual([301, 302, 303, 307, 308]);
  });

  test("R-44: the body has a limit", () => {
    const direct = (length: number, rest: object = {}): object => ({
      virtualHosts: [
        {
          name: "v",
          domains: ["*"],
          routes: [{ match: all, directResponse: { status: 418, body: { inlineString: "x".repeat(length) } } }],
        },
      ],
      ...rest,
    });
    expect(match(tableOf(direct(4096)))).toMatchObject({ kind: "direct-response", status: 418 });
    expect(problemsOf(direct(4097))).toEqual([
      expect.stringContaining("response body size is 4097 bytes; maximum is 4096"),
    ]);
    expect(problemsOf(direct(4097, { maxDirectResponseBodySizeBytes: 5000 }))).toEqual([]);
  });
});

describe("what a route carries", () => {
  test("names, metadata, priority, decorator, counts of attempts", () => {
    const table = tableOfRoutes(
      [
        {
          name: "r",
          match: all,
          metadata: { filterMetadata: { istio: { config: "/apis/x" } } },
          decorator: { operation: "op", propagate: false },
          ...to("c", {
            priority: "HIGH",
            idleTimeout: "3s",
            upgradeConfigs: [{ upgradeType: "WebSocket", enabled: false }],
          }),
        },
      ],
      { includeRequestAttemptCount: true },
    );
    expect(match(table)).toMatchObject({
      name: "r",
      virtualHostName: "v",
      metadata: { istio: { config: "/apis/x" } },
      decoratorOperation: "op",
      decoratorPropagate: false,
      priority: "high",
      idleTimeoutMs: 3000,
      includeAttemptCountInRequest: true,
      includeAttemptCountInResponse: false,
      upgrades: new Map([["websocket", false]]),
    });
  });

  test("R-61: the retry policy of the route, else of the virtual host", () => {
    const table = tableOfRoutes(
      [
        { match: { prefix: "/own" }, ...to("c", { retryPolicy: { retryOn: "reset", numRetries: 9 } }) },
        { match: all, ...to("c") },
      ],
      { retryPolicy: { retryOn: "5xx", numRetries: 2 } },
    );
    const retries = ["/own", "/"].map(
      (path) => (match(table, { ":path": path }) as ForwardRoute).retryPolicy?.numRetries,
    );
    expect(retries).toEqual([9, 2]);
  });

  test("R-46: internal redirects", () => {
    const policy = { maxInternalRedirects: 3, redirectResponseCodes: [301, 404] };
    expect(match(tableOfRoutes([{ match: all, ...to("c", { internalRedirectPolicy: policy }) }]))).toMatchObject({
      internalRedirect: { maxInternalRedirects: 3, statusCodes: new Set([301]), allowCrossSchemeRedirect: false },
    });
    expect(match(tableOfRoutes([{ match: all, ...to("c", { internalRedirectPolicy: {} }) }]))).toMatchObject({
      internalRedirect: { maxInternalRedirects: 1, statusCodes: new Set([302]) },
    });
  });

  test("R-112: per-filter configuration of the most specific level, parsed by the filter", () => {
    const type = "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute";
    const filter: HttpFilterFactory = {
      name: "envoy.filters.http.buffer",
      typeUrls: [],
      routeTypeUrls: [type],
      parse: () => ({ problems: [] }),
      parseRoute: (message) => ({
        value: (message as unknown as { override: { value: { maxRequestBytes: number } } }).override.value
          .maxRequestBytes,
        problems: [],
      }),
      create: () => () => undefined,
    };
    const config = (maxRequestBytes: number): object => ({
      typedPerFilterConfig: { buffer: { "@type": type, buffer: { maxRequestBytes } } },
    });
    const table = tableOf(
      {
        virtualHosts: [
          {
            name: "v",
            domains: ["*"],
            ...config(2),
            routes: [
              { match: { prefix: "/route" }, ...to("c"), ...config(3) },
              {
                match: { prefix: "/weighted" },
                route: { weightedClusters: { clusters: [{ name: "a", weight: 1, ...config(4) }] } },
                ...config(3),
              },
              { match: all, ...to("c") },
            ],
          },
          { name: "w", domains: ["w"], routes: [{ match: all, ...to("c") }] },
        ],
        ...config(1),
      },
      [filter],
    );
    const found = ["/route", "/weighted", "/"].map((path) => match(table, { ":path": path })?.perFilter("buffer"));
    expect(found).toEqual([3, 4, 2]);
    expect(match(table, { ":authority": "w" })?.perFilter("buffer")).toBe(1);
    expect(match(table, { ":authority": "w" })?.perFilter("other")).toBeUndefined();
    const off = {
      typedPerFilterConfig: {
        b: { "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", disabled: true },
      },
    };
    expect(problemsOf({ virtualHosts: [{ name: "v", domains: ["*"], ...off }] })).toEqual([
      expect.stringContaining(`virtual_hosts[0].typed_per_filter_config["b"].disabled: `),
    ]);
    const refused = { virtualHosts: [{ name: "v", domains: ["*"], ...config(1) }] };
    expect(problemsOf(refused)).toEqual([
      expect.stringContaining(`virtual_hosts[0].typed_per_filter_config["buffer"]: no HTTP filter`),
    ]);
  });

  test("a field that is not done is refused by name", () => {
    const route = {
      match: all,
      route: { cluster: "c", rateLimits: [{ actions: [{ remoteAddress: {} }] }] },
      statPrefix: "x",
    };
    expect(
      problemsOf({ virtualHosts: [{ name: "v", domains: ["*"], routes: [route], includeIsTimeoutRetryHeader: true }] }),
    ).toEqual([
      expect.stringMatching(/^virtual_hosts\[0\]\.routes\[0\]\.stat_prefix: .*not supported/),
      expect.stringMatching(/^virtual_hosts\[0\]\.routes\[0\]\.route\.rate_limits: .*not supported/),
      expect.stringMatching(/^virtual_hosts\[0\]\.include_is_timeout_retry_header: .*not supported/),
    ]);
  });
});
