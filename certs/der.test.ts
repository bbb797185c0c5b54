import fc from "fast-check";
import { describe, expect, test } from "vitest";
import * as der from "./der.ts";
import { addressBytes, addressText, isIpAddress } from "./ip-address.ts";

describe("DER", () => {
  test("what is written is read back, whatever its length", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 70_000, size: "max" }), (bytes) => {
        const value = new der.DerReader(der.octetString(bytes)).read(der.Tag.octetString);
        expect(value.content.equals(bytes)).toBe(true);
      }),
      { numRuns: 50 },
    );
  });

  test.each([
    "1.2.840.10045.4.3.2",
    "2.5.29.17",
    "1.3.6.1.5.5.7.3.1",
    "2.999.1",
    "0.9.2342.19200300.100.1.25",
    "1.2.268435456",
  ])("object identifier %s", (dotted) => {
    expect(der.oidText(new der.DerReader(der.oid(dotted)).read(der.Tag.oid).content)).toBe(dotted);
  });

  test("integers have the shortest form and stay positive", () => {
    const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
    expect(hex(der.unsignedInteger(Uint8Array.of(0, 0, 0x7f)))).toBe("02017f");
    expect(hex(der.unsignedInteger(Uint8Array.of(0x80)))).toBe("02020080");
    expect(hex(der.smallInteger(0))).toBe("020100");
    expect(hex(der.smallInteger(2))).toBe("020102");
  });

  test("times are UTCTime to 2049 and GeneralizedTime after", () => {
    const read = (ms: number) => new der.DerReader(der.time(ms)).read();
    for (const iso of [
      "2026-01-01T00:00:00Z",
      "2049-12-31T23:59:59Z",
      "2050-01-01T00:00:00Z",
      "9999-12-31T23:59:59Z",
      "1970-01-01T00:00:00Z",
    ]) {
      const ms = Date.parse(iso);
      const value = read(ms);
      expect(value.tag).toBe(iso >= "2050" ? der.Tag.generalizedTime : der.Tag.utcTime);
      expect(der.timeOf(value)).toBe(ms);
    }
  });

  test.each([
    ["a length that is cut off", "30"],
    ["a content that is cut off", "300500"],
    ["an indefinite length", "30800000"],
    ["a length in a long form that is not needed", "30810100"],
    ["a length with a leading zero", "3082000100"],
    ["a tag of many bytes", "1f8100"],
  ])("%s is refused", (_, hex) => {
    expect(() => new der.DerReader(Buffer.from(hex, "hex")).read()).toThrow(der.DerError);
  });

  test("a boolean that is neither 00 nor FF and a date that is none are refused", () => {
    expect(() => der.booleanOf(new der.DerReader(Buffer.from("010101", "hex")).read())).toThrow(der.DerError);
    const date = (text: string) => () =>
      der.timeOf({ tag: der.Tag.utcTime, bytes: Buffer.alloc(0), content: Buffer.from(text) });
    expect(date("260230000000Z")).toThrow(der.DerError);
    expect(date("2601010000Z")).toThrow(der.DerError);
    expect(date("260101000000+0100")).toThrow(der.DerError);
  });

  test("any bytes are read or refused by a DerError, nothing else", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const reader = new der.DerReader(bytes);
        try {
          while (!reader.isAtEnd) reader.read();
        } catch (error) {
          expect(error).toBeInstanceOf(der.DerError);
        }
      }),
    );
  });
});

describe("IP addresses in certificates", () => {
  test.each([
    ["127.0.0.1", "127.0.0.1"],
    ["::1", "::1"],
    ["::", "::"],
    ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["fe80::1:0:0:0:2", "fe80:0:0:1::2"],
    ["::ffff:10.0.0.1", "::ffff:a00:1"],
    ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"],
    ["1:0:3:4:5:6:7:8", "1:0:3:4:5:6:7:8"],
  ])("%s is written as %s", (text, canonical) => {
    expect(addressText(addressBytes(text))).toBe(canonical);
  });

  test.each([
    "",
    "1.2.3",
    "1.2.3.256",
    "1.2.3.4.5",
    "a.b.c.d",
    ":::",
    "1::2::3",
    "12345::",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "::g",
  ])("%j is none", (text) => {
    expect(isIpAddress(text)).toBe(false);
    expect(() => addressBytes(text)).toThrow(expect.objectContaining({ code: "ip-address-invalid" }));
  });
});
