import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { simulatedRuntime } from "#lib/simulated-runtime.ts";
import { type RotationFailure, startRotation } from "./rotation.ts";
import { DEFAULT_ROTATION_POLICY, renewAfterMs, retryAfterMs } from "./rotation-schedule.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

function world(options: { readonly ttlMs: number; readonly seed?: number; readonly isDown?: () => boolean }) {
  const runtime = simulatedRuntime({ seed: options.seed ?? 1 });
  const start = runtime.clock.now();
  const renewals: number[] = [];
  const failures: (RotationFailure & { readonly atMs: number })[] = [];
  const rotation = startRotation({
    clock: runtime.clock,
    random: runtime.random,
    renew: () =>
      options.isDown?.() === true
        ? Promise.reject(new Error("down"))
        : Promise.resolve({ notAfterMs: runtime.clock.now() + options.ttlMs }),
    onRenewed: () => void renewals.push(runtime.clock.now() - start),
    onFailure: (failure) => void failures.push({ ...failure, atMs: runtime.clock.now() - start }),
  });
  return { runtime, rotation, renewals, failures, start };
}

describe("rotation schedule", () => {
  test("renewal is at half the lifetime, give or take the jitter", () => {
    expect(renewAfterMs(1000, DEFAULT_ROTATION_POLICY, 0.5)).toBe(500);
    expect(renewAfterMs(1000, DEFAULT_ROTATION_POLICY, 0)).toBeCloseTo(490);
    expect(renewAfterMs(1000, DEFAULT_ROTATION_POLICY, 0.999_999)).toBeCloseTo(510);
  });

  test("retries double up to the limit and stay small beside what is left of the certificate", () => {
    const after = (attempt: number, remainingMs: number | undefined) =>
      retryAfterMs(attempt, remainingMs, DEFAULT_ROTATION_POLICY, 1);
    expect([1, 2, 3, 4, 5, 6, 7, 8, 100].map((attempt) => after(attempt, undefined))).toEqual([
      1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000,
    ]);
    expect(after(8, DAY_MS)).toBe(60_000);
    expect(after(8, 30_000)).toBe(3000);
    expect(after(8, 10)).toBe(500);
    expect(after(8, -5)).toBe(60_000);
  });

  test("a retry is never at once and never later than the limit", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1000 }),
        fc.integer({ min: -DAY_MS, max: 90 * DAY_MS }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (attempt, remaining, chance) => {
          const wait = retryAfterMs(attempt, remaining, DEFAULT_ROTATION_POLICY, chance);
          expect(wait).toBeGreaterThanOrEqual(250);
          expect(wait).toBeLessThanOrEqual(60_000);
        },
      ),
    );
  });
});

describe("rotation", () => {
  test("certificates of 24 h are renewed every 12 h", async () => {
    const { runtime, renewals } = world({ ttlMs: DAY_MS });
    await runtime.advance(10 * DAY_MS);
    expect(renewals.length).toBeGreaterThanOrEqual(20);
    expect(renewals.length).toBeLessThanOrEqual(21);
    for (const [index, at] of renewals.entries()) {
      const gap = at - (renewals[index - 1] ?? at - 12 * HOUR_MS);
      expect(Math.abs(gap - 12 * HOUR_MS)).toBeLessThanOrEqual(DAY_MS * 0.01);
    }
  });

  test("certificates of one minute work", async () => {
    const { runtime, renewals, failures, rotation } = world({ ttlMs: MINUTE_MS });
    for (let second = 0; second < 600; second++) {
      await runtime.advance(1000);
      expect(rotation.current?.notAfterMs ?? 0).toBeGreaterThan(runtime.clock.now() + 25_000);
    }
    expect(renewals.length).toBeGreaterThanOrEqual(20);
    expect(failures).toEqual([]);
  });

  test("90 d are no trouble for timers", async () => {
    const { runtime, renewals } = world({ ttlMs: 90 * DAY_MS });
    await runtime.advance(44 * DAY_MS);
    expect(renewals.length).toBe(1);
    await runtime.advance(2 * DAY_MS);
    expect(renewals.length).toBe(2);
  });

  test("a thousand that start together do not renew together", async () => {
    const times: number[] = [];
    for (let seed = 0; seed < 1000; seed++) {
      const { rotation, start, runtime } = world({ ttlMs: DAY_MS, seed });
      await runtime.settle();
      times.push(rotation.nextAttemptMs - start);
    }
    const spread = Math.max(...times) - Math.min(...times);
    expect(spread).toBeGreaterThan(DAY_MS * 0.018);
    expect(spread).toBeLessThanOrEqual(DAY_MS * 0.02);
    const busiest = Math.max(
      ...Array.from(
        { length: 20 },
        (_, slot) => times.filter((at) => Math.floor(((at / DAY_MS - 0.49) / 0.02) * 20) === slot).length,
      ),
    );
    expect(busiest).toBeLessThan(100);
  }, 120_000);

  test("while renewal fails the old one stays, and the first success ends it", async () => {
    let isDown = false;
    const { runtime, rotation, renewals, failures } = world({ ttlMs: MINUTE_MS, isDown: () => isDown });
    await runtime.advance(1000);
    const first = rotation.current;
    isDown = true;
    await runtime.advance(50_000);
    expect(rotation.current).toBe(first);
    expect(failures.length).toBeGreaterThan(5);
    expect(failures.map(({ attempt }) => attempt)).toEqual(failures.map((_, index) => index + 1));
    expect(failures.at(-1)?.remainingMs).toBeGreaterThan(0);
    isDown = false;
    await runtime.advance(5000);
    expect(renewals.length).toBe(2);
    expect(rotation.current).not.toBe(first);
    isDown = true;
    await runtime.advance(40_000);
    expect(failures.at(-1)?.attempt).toBeLessThan(failures.length);
  });

  test("an outage longer than the lifetime ends as soon as the CA is back", async () => {
    let isDown = false;
    const { runtime, rotation, failures } = world({ ttlMs: MINUTE_MS, isDown: () => isDown });
    await runtime.advance(1000);
    isDown = true;
    await runtime.advance(HOUR_MS);
    expect(failures.at(-1)?.remainingMs).toBeLessThan(0);
    expect(rotation.current?.notAfterMs).toBeLessThan(runtime.clock.now());
    isDown = false;
    await runtime.advance(MINUTE_MS);
    expect(rotation.current?.notAfterMs).toBeGreaterThan(runtime.clock.now());
  });

  test("a CA that is not there at the start is tried again and again", async () => {
    let isDown = true;
    const { runtime, rotation, failures } = world({ ttlMs: MINUTE_MS, isDown: () => isDown });
    await runtime.advance(5000);
    expect(failures.map(({ remainingMs }) => remainingMs)).toEqual(failures.map(() => undefined));
    expect(failures.length).toBeGreaterThan(2);
    isDown = false;
    await runtime.advance(10_000);
    expect(rotation.current).toBeDefined();
  });

  test("a certificate that has expired on arrival counts as a failure", async () => {
    const { runtime, rotation, failures } = world({ ttlMs: -1 });
    await runtime.advance(10_000);
    expect(rotation.current).toBeUndefined();
    expect(String(failures[0]?.error)).toContain("compare the clocks");
  });

  test("close ends it, even while a renewal is under way", async () => {
    const { runtime, rotation, renewals, failures } = world({ ttlMs: MINUTE_MS });
    rotation.close();
    await runtime.advance(HOUR_MS);
    expect(renewals).toEqual([]);
    expect(failures).toEqual([]);
  });

  test("renewNow renews at once and moves the schedule", async () => {
    const { runtime, rotation, renewals } = world({ ttlMs: MINUTE_MS });
    await runtime.advance(10_000);
    rotation.renewNow();
    rotation.renewNow();
    await runtime.advance(25_000);
    expect(renewals).toEqual([0, 10_000]);
  });
});
