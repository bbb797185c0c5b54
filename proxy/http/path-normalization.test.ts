import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import type { NormalizationConfig } from "./connection-manager-config.ts";
import { normalizeHost, normalizePath } from "./path-normalization.ts";

const off: NormalizationConfig = {
  normalizePath: false,
  mergeSlashes: false,
  escapedSlashes: "keep",
  stripPort: "none",
  stripTrailingHostDot: false,
};

function path(text: string, config: Partial<NormalizationConfig>): string {
  const result = normalizePath(text, { ...off, ...config });
  if (result === undefined) return text;
  return result.kind === "reject" ? "reject" : result.path;
}

describe("path normalisation", () => {
  test.each([
    ["/a/./b", "/a/b"],
    ["/a/../b", "/b"],
    ["/../../b", "/b"],
    ["/a/..", "/"],
    ["/a/b/.", "/a/b/"],
    ["/a\\b", "/a/b"],
    ["/a/%2e%2E/b", "/b"],
    ["/%41%7e%2f", "/A~%2f"],
    ["/a/..;x/b", "/a/..;x/b"],
    ["/a?x=/../y%41", "/a?x=/../y%41"],
    ["/%00", "reject"],
    ["/a%", "/a%"],
  ])("R-93 %s → %s", (before, after) => {
    expect(path(before, { normalizePath: true })).toBe(after);
  });

  test("R-93 decoding happens once: what came out of it is not decoded again", () => {
    expect(path("/%2541", { normalizePath: true })).toBe("/%2541");
    expect(path("/%252e%252e/x", { normalizePath: true })).toBe("/%252e%252e/x");
  });

  test.each([
    ["/%2%65%2%65/x", "/%252e%252e/x"],
    ["/%2%66", "/%252f"],
    ["/%%341", "/%2541"],
    ["/%%%34%31%34%31", "/%%254141"],
    ["/%4%311", "/%25411"],
    ["/%zz%41", "/%zzA"],
    ["/%%2e", "/%."],
  ])("what is decoded does not become an escape with what stands before it: %s", (text, normalized) => {
    expect(path(text, { normalizePath: true })).toBe(normalized);
  });

  test("R-94 slashes are merged after normalisation, in the path only", () => {
    expect(path("/a//b///c?d=//e", { mergeSlashes: true })).toBe("/a/b/c?d=//e");
    expect(path("/a/.//b", { mergeSlashes: true, normalizePath: true })).toBe("/a/b");
  });

  test("R-95 then R-93, R-94: decoded slashes take part in the rest", () => {
    const config = { escapedSlashes: "forward", normalizePath: true, mergeSlashes: true } as const;
    expect(path("/a%2F..%5cb%2f%2Fc", config)).toBe("/b/c");
  });

  test("nothing configured, nothing changed; a fragment is refused all the same (R-92)", () => {
    expect(path("/a/../b//c%2f", {})).toBe("/a/../b//c%2f");
    expect(path("/a#b", {})).toBe("reject");
  });

  test("R-96 ports and the final dot of a host", () => {
    const host = (text: string, config: Partial<NormalizationConfig>): string =>
      normalizeHost(text, { ...off, ...config }, 443);
    expect(host("a:443", { stripPort: "matching" })).toBe("a");
    expect(host("a:80", { stripPort: "matching" })).toBe("a:80");
    expect(host("[::1]:80", { stripPort: "any" })).toBe("[::1]");
    expect(host("a.:443", { stripTrailingHostDot: true })).toBe("a:443");
    expect(host("a.:443", { stripTrailingHostDot: true, stripPort: "any" })).toBe("a");
  });
});

interface Row {
  readonly in: string;
  readonly out?: string;
  readonly reject?: boolean;
}

const file = fileURLToPath(new URL("../../../shared/vectors/path_and_host_normalization.json", import.meta.url));
const vectors: Readonly<Record<string, readonly Row[]>> = existsSync(file)
  ? JSON.parse(readFileSync(file, "utf8"))
  : {};

/** Rows of a group, named by the beginning of its key; a path as a request has it. */
function rows(key: string): readonly Row[] {
  return Object.entries(vectors).find(([name]) => name.startsWith(key))?.[1] ?? [];
}

describe.skipIf(!existsSync(file))("the vectors folder beside the checkout", () => {
  test.each(rows("normalize_path").filter((row) => row.in.startsWith("/")))("normalize $in", (row) => {
    expect(path(row.in, { normalizePath: true })).toBe(row.reject === true ? "reject" : row.out);
  });
  test.each(rows("merge_slashes").filter((row) => row.in.startsWith("/")))("merge $in", (row) => {
    expect(path(row.in, { mergeSlashes: true })).toBe(row.out);
  });
  test.each(rows("unescape_slashes").filter((row) => row.in.startsWith("/")))("unescape $in", (row) => {
    expect(path(row.in, { escapedSlashes: "forward" })).toBe(row.out);
  });
  test.each(rows("strip_matching_host_port"))("strip matching port of $in", (row) => {
    expect(normalizeHost(row.in, { ...off, stripPort: "matching" }, 443)).toBe(row.out);
  });
  test.each(rows("strip_any_host_port"))("strip any port of $in", (row) => {
    expect(normalizeHost(row.in, { ...off, stripPort: "any" }, 443)).toBe(row.out);
  });
  test.each(rows("strip_trailing_host_dot"))("strip dot of $in", (row) => {
    expect(normalizeHost(row.in, { ...off, stripTrailingHostDot: true }, 443)).toBe(row.out);
  });
});
