import { describe, expect, test } from "vitest";
import { decodeSessionCookie, encodeSessionCookie } from "./session-cookie.ts";

describe("the cookie of envoy.filters.http.stateful_session", () => {
  test("holds the address, as Envoy writes it", () => {
    expect(encodeSessionCookie("127.0.0.1:19902", 0)).toBe("Cg8xMjcuMC4wLjE6MTk5MDI=");
    expect(decodeSessionCookie("Cg8xMjcuMC4wLjE6MTk5MDI=", 0)).toBe("127.0.0.1:19902");
  });

  test("and until when it is good", () => {
    const value = encodeSessionCookie("127.0.0.1:19902", 1_795_238_481);
    expect(value).toBe("Cg8xMjcuMC4wLjE6MTk5MDIQ0dSE2AY=");
    expect(decodeSessionCookie(value, 1_795_238_480_000)).toBe("127.0.0.1:19902");
    expect(decodeSessionCookie(value, 1_795_238_482_000)).toBeUndefined();
  });

  test("or the address alone", () => {
    expect(decodeSessionCookie(Buffer.from("[::1]:80").toString("base64"), 0)).toBe("[::1]:80");
  });

  test.each(["", "!!!", "CgA=", "Cv8x", Buffer.from("not an address").toString("base64")])("%j is none", (value) => {
    expect(decodeSessionCookie(value, 0)).toBeUndefined();
  });
});
