import { describe, expect, test } from "vitest";
import xxhash from "xxhash-wasm";
import { byteString, xxHash64 } from "./xxhash64.ts";

describe("xxHash64", () => {
  test("gives the values that are published for short texts", () => {
    expect(xxHash64("foo")).toBe(3728699739546630719n);
    expect(xxHash64("bar")).toBe(5234164152756840025n);
    expect(xxHash64("foo\nbar")).toBe(8917841378505826757n);
    expect(xxHash64("")).toBe(17241709254077376921n);
  });

  test("agrees with another implementation for every length up to 200 and several seeds", async () => {
    const reference = await xxhash();
    let text = "";
    for (let length = 0; length <= 200; length++) {
      for (const seed of [0n, 1n, 3728699739546630719n, 2n ** 64n - 1n]) {
        expect(xxHash64(text, seed)).toBe(reference.h64(text, seed));
      }
      text += String.fromCharCode(33 + ((length * 37) % 90));
    }
  });

  test("hashes the bytes of UTF-8", async () => {
    const reference = await xxhash();
    for (const text of ["straße", "日本語", "plain"]) expect(xxHash64(byteString(text))).toBe(reference.h64(text));
  });
});
