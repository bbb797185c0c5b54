import { describe, expect, test } from "vitest";
import { dnsSanMatcher, matchesSans, type CertificateNames } from "./san-matcher.ts";
import type { SanMatcher } from "./types.ts";

const none: CertificateNames = { dns: [], uri: [], email: [], ip: [] };
const exactUri = (uri: string): SanMatcher => ({ type: "uri", exact: uri, pattern: "", matches: (san) => san === uri });

describe("subject alternative names", () => {
  test.each([
    ["a.example.com", "a.example.com", true],
    ["a.example.com", "A.Example.Com", true],
    ["a.example.com", "*.example.com", true],
    ["a.example.com", "a*.example.com", true],
    ["abc.example.com", "a*c.example.com", true],
    ["a.b.example.com", "*.example.com", false],
    ["example.com", "*.example.com", false],
    ["a.example.com", "*.com", false],
    ["a.example.com", "*", false],
    ["xn--a.example.com", "*.example.com", false],
    ["a.example.com", "b.example.com", false],
    ["a.example.com", "a.example.com.evil.test", false],
  ])("DNS: asked for %s, the certificate says %s: %s", (wanted, san, expected) => {
    expect(matchesSans([dnsSanMatcher(wanted)], { ...none, dns: [san] })).toBe(expected);
  });

  test("a name of another type does not count", () => {
    expect(matchesSans([exactUri("spiffe://a/b")], { ...none, dns: ["spiffe://a/b"] })).toBe(false);
    expect(matchesSans([dnsSanMatcher("a.test")], { ...none, uri: ["a.test"] })).toBe(false);
  });

  test("a URI is compared to the letter", () => {
    expect(matchesSans([exactUri("spiffe://a/b")], { ...none, uri: ["spiffe://a/b"] })).toBe(true);
    expect(matchesSans([exactUri("spiffe://a/b")], { ...none, uri: ["spiffe://A/b"] })).toBe(false);
    expect(matchesSans([exactUri("spiffe://a/*")], { ...none, uri: ["spiffe://a/b"] })).toBe(false);
  });

  test("one matcher and one name suffice; no matchers ask nothing; no names satisfy nobody", () => {
    const names = { ...none, uri: ["spiffe://x", "spiffe://y"] };
    expect(matchesSans([exactUri("spiffe://z"), exactUri("spiffe://y")], names)).toBe(true);
    expect(matchesSans([], none)).toBe(true);
    expect(matchesSans([exactUri("spiffe://z")], none)).toBe(false);
  });
});
