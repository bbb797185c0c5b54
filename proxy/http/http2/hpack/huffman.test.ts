import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeHuffman } from "./huffman-decode.ts";
import { encodeHuffman, huffmanLength } from "./huffman-encode.ts";

function decode(bytes: Uint8Array): string | undefined {
  const target = Buffer.alloc(Math.ceil((bytes.length * 8) / 5) + 1);
  const length = decodeHuffman(bytes, 0, bytes.length, target);
  return length < 0 ? undefined : target.toString("latin1", 0, length);
}

function encode(text: string): Buffer {
  const target = Buffer.alloc(huffmanLength(text));
  expect(encodeHuffman(text, target, 0)).toBe(target.length);
  return target;
}

const bytesAsText = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes).toString("latin1"));

describe("Huffman strings (RFC 7541, 5.2 and appendix B)", () => {
  test("known strings have the codes that the RFC's examples show", () => {
    expect(encode("www.example.com").toString("hex")).toBe("f1e3c2e5f23a6ba0ab90f4ff");
    expect(encode("no-cache").toString("hex")).toBe("a8eb10649cbf");
    expect(encode("Mon, 21 Oct 2013 20:13:21 GMT").toString("hex")).toBe(
      "d07abe941054d444a8200595040b8166e082a62d1bff",
    );
  });

  test("every string comes back as it was", () => {
    fc.assert(fc.property(bytesAsText, (text) => decode(encode(text)) === text));
  });

  test("every byte alone comes back, the rarest too", () => {
    for (let byte = 0; byte < 256; byte++)
      expect(decode(encode(String.fromCharCode(byte)))).toBe(String.fromCharCode(byte));
  });

  test("any bytes are decoded or refused, and what is decoded encodes to the same", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const text = decode(bytes);
        if (text !== undefined) expect(encode(text)).toEqual(Buffer.from(bytes));
      }),
      { numRuns: 2000 },
    );
  });

  test.each([
    ["a padding of zeros", "f1e3c2e5f23a6ba0ab90f400"],
    ["a padding of a whole byte", "f1e3c2e5f23a6ba0ab90f4ffff"],
    ["EOS", "ffffffff"],
    ["EOS after a symbol", "1fffffffff"],
  ])("%s is refused", (_what, hex) => {
    expect(decode(Buffer.from(hex, "hex"))).toBeUndefined();
  });
});
