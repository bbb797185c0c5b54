import { describe, expect, test } from "vitest";
import { simulatedRuntime } from "#lib/simulated-runtime.ts";
import { createDebounce } from "./debounce.ts";

function debounced() {
  const runtime = simulatedRuntime({ seed: 1 });
  const runs: { readonly at: number; readonly changes: number; readonly waited: number }[] = [];
  const start = runtime.clock.monotonic();
  const debounce = createDebounce({
    clock: runtime.clock,
    quietMs: 100,
    maxMs: 10_000,
    run: (changes, waited) => runs.push({ at: runtime.clock.monotonic() - start, changes, waited }),
  });
  return { runtime, runs, debounce };
}

describe("debounce (rule 109)", () => {
  test("a change is pushed after 100 ms of quiet", async () => {
    const { runtime, runs, debounce } = debounced();
    debounce.touch();
    await runtime.advance(99);
    expect(runs).toEqual([]);
    await runtime.advance(1);
    expect(runs).toEqual([{ at: 100, changes: 1, waited: 100 }]);
  });

  test("changes within the quiet time are one push", async () => {
    const { runtime, runs, debounce } = debounced();
    for (let count = 0; count < 5; count += 1) {
      debounce.touch();
      await runtime.advance(60);
    }
    await runtime.advance(100);
    expect(runs).toEqual([{ at: 340, changes: 5, waited: 340 }]);
  });

  test("a stream of changes without a quiet moment is pushed after 10 s", async () => {
    const { runtime, runs, debounce } = debounced();
    for (let count = 0; count < 250; count += 1) {
      debounce.touch();
      await runtime.advance(50);
    }
    expect(runs.map(({ at }) => at)).toEqual([10_000]);
    await runtime.advance(200);
    expect(runs).toHaveLength(2);
  });

  test("after a push the next change waits anew", async () => {
    const { runtime, runs, debounce } = debounced();
    debounce.touch();
    await runtime.advance(5000);
    debounce.touch();
    await runtime.advance(100);
    expect(runs.map(({ at, changes }) => [at, changes])).toEqual([
      [100, 1],
      [5100, 1],
    ]);
  });

  test("closed, nothing is pushed any more", async () => {
    const { runtime, runs, debounce } = debounced();
    debounce.touch();
    debounce.close();
    await runtime.advance(1000);
    expect(runs).toEqual([]);
  });
});
