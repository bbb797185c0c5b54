import { describe, expect, test } from "vitest";
import { durationFromMs, durationJson, parseDuration, wholeSeconds } from "./duration.ts";

describe("durations", () => {
  test.each([
    ["5s", "5s"],
    ["1h30m", "5400s"],
    ["2.5s", "2.500s"],
    ["50ms", "0.050s"],
    ["1500us", "0.001500s"],
    ["1ns", "0.000000001s"],
    ["24h", "86400s"],
    ["0s", "0s"],
    ["0", "0s"],
    [".5s", "0.500s"],
    ["1m0.25s", "60.250s"],
  ])("%s is %s in proto3 JSON", (text, json) => {
    expect(durationJson(text)).toBe(json);
  });
  test.each(["", "5", "s", "5 s", "1d", "1h-3m"])("%j is no duration", (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });
  test("a century of hours is exact", () => {
    expect(parseDuration("876600h1ns")).toEqual({ seconds: 3_155_760_000, nanos: 1 });
  });
  test("milliseconds and whole seconds", () => {
    expect(durationFromMs(1500)).toBe("1.500s");
    expect(wholeSeconds("90s")).toBe(90);
    expect(wholeSeconds(undefined)).toBeUndefined();
  });
});
