import { describe, expect, test } from "vitest";
import { StreamInfo } from "../stream-info.ts";
import { clusterFor, finalized, match, problemsOf, requestOf, tableOf, tableOfRoutes } from "./testing/routes.ts";

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

  test("VHDS is refused, and what to do in its place is said", () => {
    const problems = problemsOf({ vhds: { configSource: { ads: {} } } });
    expect(problems).toEqual([
      "vhds: virtual hosts are not discovered one by one here; send them with the route configuration",
    ]);
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
    expect(
      plain?.kind === "redirect" &&
        plain.location(requestOf({ ":path": "/x?y" }), { info: new StreamInfo(), requestHeaders: requestOf() }),
    ).toBe("https://host/x?y");
    expect(clusterFor(table("ALL"), { "x-forwarded-proto": "https" })).toBe("c");
    expect(clusterFor(table("EXTERNAL_ONLY"), { "x-envoy-internal": "true" })).toBe("c");
    expect(match(table("EXTERNAL_ONLY"))?.kind).toBe("redirect");
  });

  test("R-08: without x-forwarded-proto no route matches", () => {
    expect(match(tableOfRoutes([{ match: all, ...to("c") }]), { "x-forwarded-proto": "" })).toBeUndefined();
  });
});
