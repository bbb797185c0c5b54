import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { readCorpus } from "./corpus.ts";
import { fuzz, type FuzzTarget } from "./fuzz.ts";
import { targets } from "./targets/all.ts";

const sources = /fuzz\.test\.ts/;

const maze: FuzzTarget = {
  name: "maze",
  seeds: [Buffer.from("....")],
  dictionary: ["k", "e", "y"],
  run([a, b, c]) {
    if (a === 0x6b) if (b === 0x65) if (c === 0x79) throw new Error("the door opens");
  },
};

describe("the fuzzer", () => {
  test("finds what one step after the other leads to", async () => {
    const { finding } = await fuzz(maze, { seed: 1, milliseconds: 20_000, sources });
    expect(finding?.input.toString("latin1", 0, 3)).toBe("key");
  });

  test("takes the same way for the same seed", async () => {
    const once = async (): Promise<unknown> => (await fuzz(maze, { seed: 7, milliseconds: 20_000, sources })).runs;
    expect(await once()).toBe(await once());
  });
});

describe("what is fuzzed", () => {
  test.each(targets.map((target) => [target.name, target] as const))("%s", async (name, target) => {
    const { finding, runs } = await fuzz(target, {
      seed: 1,
      milliseconds: 1500,
      runs: 20_000,
      corpus: readCorpus(name),
    });
    expect(
      finding === undefined ? "" : `${JSON.stringify(finding.input.toString("latin1"))}: ${inspect(finding.error)}`,
    ).toBe("");
    expect(runs).toBeGreaterThan(0);
  });
});
