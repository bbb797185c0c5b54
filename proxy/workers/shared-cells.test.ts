import { describe, expect, test } from "vitest";
import { createSharedMemory, openSharedCells } from "./shared-cells.ts";

describe("cells that threads share", () => {
  test("a name finds the same cells through every view, and another name others", () => {
    const memory = createSharedMemory(64);
    const [one, two] = [openSharedCells(memory), openSharedCells(memory)];
    Atomics.add(one.of("a"), 0, 3);
    Atomics.add(two.of("a"), 0, 4);
    Atomics.add(two.of("b"), 0, 1);
    expect([one.of("a")[0], one.of("b")[0], two.of("c")[0]]).toEqual([7, 1, 0]);
  });

  test("names that fall on one place do not meet", () => {
    const cells = openSharedCells(createSharedMemory(64));
    const names = Array.from({ length: 64 }, (_, index) => `name ${index}`);
    for (const [index, name] of names.entries()) cells.of(name)[15] = index;
    expect(names.map((name) => cells.of(name)[15])).toEqual(names.map((_, index) => index));
  });

  test("a full table says so", () => {
    const cells = openSharedCells(createSharedMemory(2));
    cells.of("a");
    cells.of("b");
    expect(() => cells.of("c")).toThrow(/no room for the process-wide counts of 'c'/);
  });
});
