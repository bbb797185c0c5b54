import fc from "fast-check";
import { RE2JS } from "re2js";
import { describe, expect, test } from "vitest";
import { compileRegex, RegexCache, substitutionProblem } from "./regex.ts";

describe("regular expressions", () => {
  const patterns = [
    "abc",
    "a\\.b",
    "",
    ".*",
    ".+",
    "/api/.*",
    "/api/.+",
    ".*\\.json",
    ".+abc",
    ".*a.*",
    ".+a.+",
    ".*a.+",
    "a|b|ab",
    "(a|b|)",
    "(abc)",
    "a\\|b",
    "\\(a\\)",
    "foo\\\\.*",
    "a.b",
    "[ab]+",
    "(?i)abc",
    "^abc$",
    "^.*$",
    "a{2}",
    "(a|(b))",
    "a*",
    "\\d+",
  ];

  test.each(patterns)("R-12: %j matches what RE2 matches", (pattern) => {
    const regex = compileRegex(pattern);
    const reference = RE2JS.compile(pattern);
    const characters = fc.constantFrom(
      "a",
      "b",
      "c",
      "A",
      ".",
      "/",
      "\\",
      "|",
      "(",
      ")",
      "\n",
      "1",
      "j",
      "s",
      "o",
      "n",
      "p",
      "i",
    );
    const subjects = fc.oneof(
      fc.array(characters, { maxLength: 8 }).map((list) => list.join("")),
      fc.constantFrom(
        "",
        "abc",
        "a.b",
        "/api/",
        "/api/x",
        "x.json",
        ".json",
        "ab",
        "aa",
        "foo\\",
        "foo\\x",
        "(a)",
        "a|b",
        "xabc",
        "\n",
        "/api/\n",
      ),
    );
    fc.assert(
      fc.property(subjects, (subject) => regex.fullMatch(subject) === reference.testExact(subject)),
      { numRuns: 500 },
    );
  });

  test("subjects are bytes, patterns characters", () => {
    const bytes = (text: string): string => Buffer.from(text, "utf8").toString("latin1");
    expect(compileRegex("stra.e").fullMatch(bytes("straße"))).toBe(true);
    expect(compileRegex("straße").fullMatch(bytes("straße"))).toBe(true);
    expect(compileRegex("ß").replaceAll(bytes("straße"), "ss")).toBe("strasse");
  });

  test("replacements name groups", () => {
    const regex = compileRegex("/v([0-9])/(x?)");
    expect(regex.replaceAll("/v1/x/v2/", "\\2[\\1]\\\\\\0")).toBe("x[1]\\/v1/x[2]\\/v2/");
    expect(compileRegex("x*").replaceAll("axb", "-")).toBe("-a-b-");
    expect(substitutionProblem(regex, "\\1\\2")).toBeUndefined();
    expect(substitutionProblem(regex, "\\3")).toContain("\\3");
    expect(substitutionProblem(regex, "\\x")).toContain("digit");
  });

  test("what RE2 refuses is refused", () => {
    expect(() => compileRegex("(")).toThrow(/missing/);
    expect(() => compileRegex("a(?=b)")).toThrow();
    expect(() => compileRegex("\\1")).toThrow();
  });

  test("a cache compiles a pattern once", () => {
    const cache = new RegexCache();
    expect(cache.compile("a+")).toBe(cache.compile("a+"));
  });
});
