import { describe, expect, test } from "vitest";
import { PreservedCase, properCase } from "./header-key-format.ts";

describe("header_key_format", () => {
  test("proper case: a letter at the start and after anything that is neither letter nor digit", () => {
    expect(["host", "x-my-header", "x2y", "a_b", "etag", "-x"].map(properCase)).toEqual([
      "Host",
      "X-My-Header",
      "X2y",
      "A_B",
      "Etag",
      "-X",
    ]);
  });

  test("preserve_case: names are as their sender spelled them first, others as they are", () => {
    const kept = new PreservedCase(undefined);
    kept.learn("x-mixed", "X-MiXed");
    kept.learn("x-mixed", "x-mixed");
    expect(["x-mixed", "x-own"].map(kept.format)).toEqual(["X-MiXed", "x-own"]);
    expect(new PreservedCase(properCase).format("x-own")).toBe("X-Own");
  });
});
