import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { nodeRuntime } from "./node-runtime.ts";
import { SimulatedClock } from "./simulated-clock.ts";
import { HashedTimerWheel } from "./timer-wheel.ts";

/** A wheel with a coarse tick over virtual time. */
function setUp(tickMs = 10) {
  const clock = new SimulatedClock();
  let wakes = 0;
  const wheel = new HashedTimerWheel(
    {
      monotonic: () => clock.monotonic(),
      wake: (delayMs, callback) =>
        clock.setTimer(delayMs, () => {
          wakes++;
          callback();
        }),
    },
    tickMs,
  );
  return { clock, wheel, wakes: () => wakes };
}

describe("timer wheel", () => {
  test("a timer that a callback sets for later does not delay one that was set before", async () => {
    const { clock, wheel } = setUp();
    let firedAt = 0;
    wheel.schedule(50, () => void wheel.schedule(5000, () => undefined));
    wheel.schedule(200, () => (firedAt = clock.monotonic()));
    await clock.advance(6000);
    expect(firedAt).toBe(200);
  });

  test("a timer fires no earlier than asked and at most one tick later, however long it is", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({ startMs: fc.integer({ min: 0, max: 5000 }), delayMs: fc.integer({ min: 0, max: 40_000 }) }),
          {
            minLength: 1,
            maxLength: 20,
          },
        ),
        async (timers) => {
          const { clock, wheel } = setUp();
          const late: number[] = [];
          for (const { startMs, delayMs } of timers)
            clock.setTimer(startMs, () => {
              const asked = clock.monotonic() + delayMs;
              wheel.schedule(delayMs, () => late.push(clock.monotonic() - asked));
            });
          await clock.advance(60_000);
          expect(late).toHaveLength(timers.length);
          for (const by of late) {
            expect(by).toBeGreaterThanOrEqual(0);
            expect(by).toBeLessThanOrEqual(10);
          }
        },
      ),
      { numRuns: 20 },
    );
  });

  test("a cancelled timer does not fire, and cancelling twice or late does nothing", async () => {
    const { clock, wheel } = setUp();
    const fired: string[] = [];
    const a = wheel.schedule(100, () => fired.push("a"));
    const b = wheel.schedule(100, () => fired.push("b"));
    a.cancel();
    a.cancel();
    await clock.advance(200);
    b.cancel();
    expect(fired).toEqual(["b"]);
  });

  test("timers of one tick fire in the order of scheduling", async () => {
    const { clock, wheel } = setUp();
    const fired: number[] = [];
    for (let i = 0; i < 5; i++) wheel.schedule(50, () => fired.push(i));
    await clock.advance(100);
    expect(fired).toEqual([0, 1, 2, 3, 4]);
  });

  test("a callback may cancel another of the same tick, and schedule anew", async () => {
    const { clock, wheel } = setUp();
    const fired: string[] = [];
    wheel.schedule(50, () => {
      fired.push("first");
      second.cancel();
      wheel.schedule(0, () => fired.push("next"));
    });
    const second = wheel.schedule(50, () => fired.push("second"));
    await clock.advance(100);
    expect(fired).toEqual(["first", "next"]);
  });

  test("what was due with a callback that throws still fires", async () => {
    const { clock, wheel } = setUp();
    const fired: string[] = [];
    wheel.schedule(50, () => {
      throw new Error("bad callback");
    });
    wheel.schedule(50, () => fired.push("other"));
    await expect(clock.advance(100)).rejects.toThrow("bad callback");
    await clock.advance(100);
    expect(fired).toEqual(["other"]);
  });

  test("the wheel sleeps while nothing is near", async () => {
    const { clock, wheel, wakes } = setUp();
    wheel.schedule(3_600_000, () => {});
    await clock.advance(60_000);
    // Once a turn of the wheel, not once a tick.
    expect(wakes()).toBeLessThan(10);
  });

  test("an earlier timer wakes it earlier", async () => {
    const { clock, wheel } = setUp();
    let firedMs = 0;
    wheel.schedule(60_000, () => {});
    await clock.advance(1000);
    wheel.schedule(20, () => (firedMs = clock.monotonic()));
    await clock.advance(1000);
    expect(firedMs).toBeLessThanOrEqual(1030);
  });

  test("the real clock's wheel fires too, in its time", async () => {
    const { clock } = nodeRuntime({ writeLog() {} });
    const started = clock.monotonic();
    await new Promise<void>((resolve) => {
      clock.setTimer(1000, resolve);
      clock.wheel.schedule(25, resolve);
    });
    const took = clock.monotonic() - started;
    expect(took).toBeGreaterThanOrEqual(25);
    expect(took).toBeLessThan(1000);
  });
});
