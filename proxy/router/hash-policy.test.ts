import { describe, expect, test } from "vitest";
import { xxHash64 } from "#lib/xxhash64.ts";
import { StreamInfo } from "../stream-info.ts";
import { problemsOf, requestOf, tableOfRoutes } from "./testing/routes.ts";
import type { ForwardRoute } from "./types.ts";

interface Hashed {
  readonly hash: bigint | undefined;
  readonly cookies: string[];
}

function hashOf(
  hashPolicy: object[],
  fields: Record<string, string> | [string, string][] = {},
  info = new StreamInfo(),
): Hashed {
  const table = tableOfRoutes([{ match: { prefix: "/" }, route: { cluster: "c", hashPolicy } }]);
  const headers = requestOf();
  for (const [name, value] of Array.isArray(fields) ? fields : Object.entries(fields)) headers.add(name, value);
  const route = table.match(headers, { streamRandom: 0n, info }) as ForwardRoute;
  const cookies: string[] = [];
  return { hash: route.hash(headers, info, cookies), cookies };
}

const header = (headerName: string, extra: object = {}): object => ({ header: { headerName }, ...extra });

describe("hash policy", () => {
  test("R-101: a header, whatever the order of its values", () => {
    expect(hashOf([header("X-User")], { "x-user": "foo" }).hash).toBe(xxHash64("foo"));
    const both = xxHash64("b", xxHash64("a"));
    expect(
      hashOf(
        [header("x-user")],
        [
          ["x-user", "b"],
          ["x-user", "a"],
        ],
      ).hash,
    ).toBe(both);
    expect(
      hashOf(
        [header("x-user")],
        [
          ["x-user", "a"],
          ["x-user", "b"],
        ],
      ).hash,
    ).toBe(both);
    expect(hashOf([header("x-user")]).hash).toBeUndefined();
    expect(hashOf([header("host")]).hash).toBe(xxHash64("host"));
  });

  test("R-101: a header may be rewritten first", () => {
    const regexRewrite = { pattern: { regex: "^/(\\w+)/.*$" }, substitution: "\\1" };
    expect(hashOf([{ header: { headerName: "x-user", regexRewrite } }], { "x-user": "/foo/bar" }).hash).toBe(
      xxHash64("foo"),
    );
  });

  test("R-101: several policies are rotated and combined; what yields nothing is skipped", () => {
    const [a, b] = [xxHash64("a"), xxHash64("b")];
    const rotated = ((a << 1n) | (a >> 63n)) & (2n ** 64n - 1n);
    const policies = [header("x-a"), header("x-none"), header("x-b")];
    expect(hashOf(policies, { "x-a": "a", "x-b": "b" }).hash).toBe(rotated ^ b);
    expect(hashOf([header("x-a"), header("x-a")], { "x-a": "a" }).hash).not.toBe(0n);
  });

  test("R-101: terminal stops once there is a hash", () => {
    const policies = [header("x-a", { terminal: true }), header("x-b")];
    expect(hashOf(policies, { "x-a": "a", "x-b": "b" }).hash).toBe(xxHash64("a"));
    expect(hashOf(policies, { "x-b": "b" }).hash).toBe(xxHash64("b"));
  });

  test("R-101: source address without port, query parameter, filter state", () => {
    const info = new StreamInfo();
    info.downstreamRemoteAddress = "10.0.0.7:1234";
    expect(hashOf([{ connectionProperties: { sourceIp: true } }], {}, info).hash).toBe(xxHash64("10.0.0.7"));
    info.downstreamRemoteAddress = "[2001:db8::1]:1234";
    expect(hashOf([{ connectionProperties: { sourceIp: true } }], {}, info).hash).toBe(xxHash64("2001:db8::1"));
    info.filterState = new Map([["k", "v"]]);
    expect(hashOf([{ filterState: { key: "k" } }], {}, info).hash).toBe(xxHash64("v"));
    expect(hashOf([{ queryParameter: { name: "q" } }], {}).hash).toBeUndefined();
  });

  test("R-102: a cookie", () => {
    expect(hashOf([{ cookie: { name: "user" } }], { cookie: 'a=1; user="foo"' })).toEqual({
      hash: xxHash64("foo"),
      cookies: [],
    });
    expect(hashOf([{ cookie: { name: "user" } }])).toEqual({ hash: undefined, cookies: [] });
  });

  test("R-102: with a ttl an absent cookie is made, and is the one that is hashed", () => {
    const info = new StreamInfo();
    info.downstreamRemoteAddress = "10.0.0.7:1234";
    const value = xxHash64("10.0.0.7:1234").toString(16).padStart(16, "0");
    const made = (cookie: object): Hashed => hashOf([{ cookie: { name: "user", ...cookie } }], {}, info);
    expect(made({ ttl: "3600s", path: "/p" })).toEqual({
      hash: xxHash64(value),
      cookies: [`user="${value}"; Max-Age=3600; Path=/p; HttpOnly`],
    });
    expect(made({ ttl: "0s" }).cookies).toEqual([`user="${value}"; HttpOnly`]);
    const attributes = [{ name: "SameSite", value: "Strict" }, { name: "Secure" }];
    expect(made({ ttl: "0s", attributes }).cookies).toEqual([`user="${value}"; SameSite=Strict; Secure; HttpOnly`]);
  });

  test("a policy without a specifier is refused", () => {
    const route = { match: { prefix: "/" }, route: { cluster: "c", hashPolicy: [{ terminal: true }] } };
    expect(problemsOf({ virtualHosts: [{ name: "v", domains: ["*"], routes: [route] }] })).toHaveLength(1);
  });
});
