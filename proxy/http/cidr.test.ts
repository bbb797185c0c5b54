import { describe, expect, test } from "vitest";
import { isInRanges, parseIp } from "./cidr.ts";

const range = (address: string, prefixLength: number) => {
  const parsed = parseIp(address);
  if (parsed === undefined) throw new Error(address);
  return { ...parsed, prefixLength };
};

describe("CIDR ranges", () => {
  test.each([
    ["10.1.2.3", true],
    ["11.0.0.1", false],
    ["2001:db8::1", true],
    ["2001:db9::1", false],
    ["::ffff:10.0.0.1", false], // an IPv6 address, not an IPv4 one
    ["nonsense", false],
  ])("%s: %s", (address, expected) => {
    expect(isInRanges(address, [range("10.0.0.0", 8), range("2001:db8::", 32)])).toBe(expected);
  });

  test("a prefix of 0 holds all of its family", () => {
    expect(isInRanges("1.2.3.4", [range("0.0.0.0", 0)])).toBe(true);
    expect(isInRanges("::1", [range("0.0.0.0", 0)])).toBe(false);
  });

  test.each(["1.2.3", "1.2.3.256", "01.2.3.4", "1::2::3", "1:2:3:4:5:6:7", ":1", "g::", "1.2.3.4.5", ""])(
    "%j is no address",
    (text) => {
      expect(parseIp(text)).toBeUndefined();
    },
  );

  test("an IPv4 address inside an IPv6 one", () => {
    expect(parseIp("::ffff:1.2.3.4")?.bits).toBe(0xffff_0102_0304n);
  });
});
