import { describe, expect, test } from "vitest";
import { istioSpiffeId, parseIstioSpiffeId, parseSpiffeId, spiffeIdProblem, trustDomainProblem } from "./spiffe-id.ts";

describe("SPIFFE ID", () => {
  test.each([
    ["spiffe://example.org", "example.org", ""],
    ["spiffe://example.org/ns/default/sa/web", "example.org", "/ns/default/sa/web"],
    ["spiffe://a_b-1.c/A.b-c_D/...", "a_b-1.c", "/A.b-c_D/..."],
    ["spiffe://1.2.3.4/x", "1.2.3.4", "/x"],
  ])("%s is one", (uri, trustDomain, path) => {
    expect(parseSpiffeId(uri)).toEqual({ uri, trustDomain, path });
  });

  test.each([
    ["", 'it does not begin with "spiffe://"'],
    ["http://example.org/a", 'it does not begin with "spiffe://"'],
    ["SPIFFE://example.org/a", 'it does not begin with "spiffe://"'],
    ["spiffe:example.org/a", 'it does not begin with "spiffe://"'],
    ["spiffe:///a", "the trust domain is empty"],
    ["spiffe://Example.org/a", "upper-case"],
    ["spiffe://example.org:443/a", "has a port"],
    ["spiffe://user@example.org/a", "has user information"],
    ["spiffe://exämple.org/a", 'contains "ä"'],
    ["spiffe://example.org?x=/a", 'contains "?"'],
    ["spiffe://example.org/", "ends with a slash"],
    ["spiffe://example.org/a/", "ends with a slash"],
    ["spiffe://example.org//a", "empty segment"],
    ["spiffe://example.org/a//b", "empty segment"],
    ["spiffe://example.org/./a", 'segment "."'],
    ["spiffe://example.org/a/..", 'segment ".."'],
    ["spiffe://example.org/a%20b", "percent-encoded"],
    ["spiffe://example.org/a?b", "has a query"],
    ["spiffe://example.org/a#b", "has a fragment"],
    ["spiffe://example.org/a b", 'contains " "'],
    ["spiffe://example.org/ä", 'contains "ä"'],
    ["spiffe://example.org/a\n", 'contains "\\n"'],
    [`spiffe://example.org/${"a".repeat(2048)}`, "longer than 2048 bytes"],
    [`spiffe://${"a".repeat(256)}/a`, "longer than 255 bytes"],
  ])("%s is none", (text, reason) => {
    expect(spiffeIdProblem(text)).toContain(reason);
    expect(() => parseSpiffeId(text)).toThrow(expect.objectContaining({ code: "spiffe-id-invalid" }));
  });

  test("2048 bytes and a trust domain of 255 are the most", () => {
    const longest = `spiffe://example.org/${"a".repeat(2048 - 21)}`;
    expect(longest.length).toBe(2048);
    expect(spiffeIdProblem(longest)).toBeUndefined();
    expect(trustDomainProblem("a".repeat(255))).toBeUndefined();
  });
});

describe("Istio's SPIFFE IDs", () => {
  test("are made of trust domain, namespace and service account, and read back", () => {
    const identity = { trustDomain: "cluster.local", namespace: "default", serviceAccount: "bookinfo.reviews" };
    const id = istioSpiffeId(identity);
    expect(id.uri).toBe("spiffe://cluster.local/ns/default/sa/bookinfo.reviews");
    expect(parseIstioSpiffeId(id)).toEqual(identity);
  });

  test("of another form give no parts", () => {
    for (const path of ["", "/ns/a", "/ns/a/sa", "/ns/a/sa/b/c", "/sa/b/ns/a"]) {
      expect(parseIstioSpiffeId(parseSpiffeId(`spiffe://cluster.local${path}`))).toBeUndefined();
    }
  });

  test("a part that could smuggle a path segment is refused", () => {
    const make = (namespace: string, serviceAccount: string) => () =>
      istioSpiffeId({ trustDomain: "td", namespace, serviceAccount });
    for (const bad of ["", "..", "a/sa/admin", "a%2f", "a b"]) {
      expect(make(bad, "x")).toThrow(expect.objectContaining({ code: "spiffe-id-invalid" }));
      expect(make("x", bad)).toThrow(expect.objectContaining({ code: "spiffe-id-invalid" }));
    }
  });
});
