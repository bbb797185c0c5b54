import { describe, expect, test } from "vitest";
import { StreamInfo } from "../stream-info.ts";
import { clusterFor, problemsOf, requestOf, tableOf } from "./testing/routes.ts";

const type = "type.googleapis.com/envoy";
const header = (name: string): object => ({
  name: "header",
  typedConfig: { "@type": `${type}.type.matcher.v3.HttpRequestHeaderMatchInput`, headerName: name },
});
const state = (key: string): object => ({
  name: "state",
  typedConfig: { "@type": `${type}.extensions.matching.common_inputs.network.v3.FilterStateInput`, key },
});
const route = (cluster: string, match: object = { prefix: "/" }): object => ({ match, route: { cluster } });
const action = (message: string, value: object): object => ({
  action: { name: "route", typedConfig: { "@type": `${type}.config.route.v3.${message}`, ...value } },
});
const to = (cluster: string, match?: object): object => action("Route", route(cluster, match));
const oneOf = (...routes: object[]): object => action("RouteList", { routes });
const tree = (input: object, kind: string, map: object, rest: object = {}): object => ({
  matcherTree: { input, [kind]: { map } },
  ...rest,
});
const list = (...matchers: readonly [predicate: object, onMatch: object][]): object => ({
  matcherList: { matchers: matchers.map(([predicate, onMatch]) => ({ predicate, onMatch })) },
});
const is = (name: string, exact: string): object => ({
  singlePredicate: { input: header(name), valueMatch: { exact } },
});
const host = (matcher: object, rest: object = {}): object => ({
  virtualHosts: [{ name: "v", domains: ["*"], matcher, ...rest }],
});

describe("VirtualHost.matcher", () => {
  test("an exact map by a header; what is not in it goes to on_no_match", () => {
    const table = tableOf(
      host(tree(header("X-To"), "exactMatchMap", { a: to("one"), b: to("two") }, { onNoMatch: to("rest") })),
    );
    const cluster = (value?: string) => clusterFor(table, value === undefined ? {} : { "x-to": value });
    expect([cluster("a"), cluster("b"), cluster("c"), cluster()]).toEqual(["one", "two", "rest", "rest"]);
  });

  test("the longest prefix of the path", () => {
    const table = tableOf(host(tree(header(":path"), "prefixMatchMap", { "/": to("short"), "/api": to("long") })));
    expect(["/api/x", "/ap", "x"].map((path) => clusterFor(table, { ":path": path }))).toEqual([
      "long",
      "short",
      undefined,
    ]);
  });

  test("`host` is the authority, and keys are bytes", () => {
    const table = tableOf(host(tree(header("Host"), "exactMatchMap", { "host.test": to("authority") })));
    expect(clusterFor(table, { ":authority": "host.test" })).toBe("authority");
    const bytes = tableOf(host(tree(header("x-to"), "exactMatchMap", { ü: to("bytes") })));
    expect(clusterFor(bytes, { "x-to": "\u00c3\u00bc" })).toBe("bytes");
  });

  test("a route still has to match; when it does not, there is none", () => {
    const map = { a: to("one", { path: "/only" }), b: oneOf(route("first", { prefix: "/1" }), route("second")) };
    const table = tableOf(host(tree(header("x-to"), "exactMatchMap", map, { onNoMatch: to("rest") })));
    expect(clusterFor(table, { "x-to": "a", ":path": "/only" })).toBe("one");
    expect(clusterFor(table, { "x-to": "a", ":path": "/other" })).toBeUndefined();
    expect(clusterFor(table, { "x-to": "b", ":path": "/1" })).toBe("first");
    expect(clusterFor(table, { "x-to": "b", ":path": "/2" })).toBe("second");
  });

  test("predicates are joined by and, or, not; matchers nest", () => {
    const matcher = list(
      [{ andMatcher: { predicate: [is("a", "1"), { notMatcher: is("b", "1") }] } }, to("and-not")],
      [
        { orMatcher: { predicate: [is("c", "1"), is("d", "1")] } },
        { matcher: tree(header("e"), "exactMatchMap", { "1": to("nested") }) },
      ],
      [is("c", "1"), to("after")],
    );
    const table = tableOf(host(matcher));
    expect(clusterFor(table, { a: "1" })).toBe("and-not");
    expect(clusterFor(table, { a: "1", b: "1" })).toBeUndefined();
    expect(clusterFor(table, { d: "1", e: "1" })).toBe("nested");
    expect(clusterFor(table, { c: "1", e: "2" })).toBe("after");
  });

  test("an object of the filter state is asked as text", () => {
    const table = tableOf(host(tree(state("tenant"), "exactMatchMap", { blue: to("blue") })));
    const info = new StreamInfo();
    const ask = () => table.match(requestOf(), { streamRandom: 0n, info });
    expect(ask()).toBeUndefined();
    info.filterState = new Map([["tenant", "blue"]]);
    expect(ask()).toMatchObject({ clusterName: "blue" });
  });

  test("clusters of its routes are known, and problems in them are named by their place", () => {
    const matcher = tree(header("x"), "exactMatchMap", { a: to("one") });
    expect(tableOf(host(matcher)).clusterNames).toEqual(["one"]);
    const broken = tree(header("x"), "exactMatchMap", { a: action("Route", { match: { prefix: "/" } }) });
    expect(problemsOf(host(broken))).toEqual([
      'virtual_hosts[0].matcher.matcher_tree.exact_match_map.map["a"].action.typed_config: a route needs one of route, redirect or direct_response',
    ]);
  });

  test("what a route can't ask is refused, as are two ways at once and keep_matching", () => {
    const port = {
      name: "p",
      typedConfig: { "@type": `${type}.extensions.matching.common_inputs.network.v3.DestinationPortInput` },
    };
    expect(problemsOf(host(tree(port, "exactMatchMap", { a: to("one") })))).toEqual([
      expect.stringContaining(
        "Route table can only match on request headers, saw envoy.extensions.matching.common_inputs.network.v3.DestinationPortInput",
      ),
    ]);
    const matcher = tree(header("x"), "exactMatchMap", { a: to("one") });
    expect(problemsOf(host(matcher, { routes: [route("two")] }))).toEqual([
      "virtual_hosts[0].matcher: cannot set both matcher and routes on virtual host",
    ]);
    expect(problemsOf(host(tree(header("x"), "exactMatchMap", { a: { ...to("one"), keepMatching: true } })))).toEqual([
      expect.stringContaining("keep_matching is not supported in this context"),
    ]);
    const text = {
      action: { name: "n", typedConfig: { "@type": "type.googleapis.com/google.protobuf.StringValue", value: "x" } },
    };
    expect(problemsOf(host(tree(header("x"), "exactMatchMap", { a: text })))).toEqual([
      expect.stringContaining("google.protobuf.StringValue is not supported here"),
    ]);
  });
});
