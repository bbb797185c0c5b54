import { describe, expect, test } from "vitest";
import { finalized, match, problemsOf, tableOfRoutes } from "./testing/routes.ts";

const to = (cluster: string, extra: object = {}): object => ({ route: { cluster, ...extra } });
const all = { prefix: "/" };

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
    expect(finalized(table, { "x-forwarded-host": "a,host" }).get("x-forwarded-host")).toBe("a,host");
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
