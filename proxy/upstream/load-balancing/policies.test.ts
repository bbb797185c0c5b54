import { describe, expect, test } from "vitest";
import { hostAt, scriptedRandom } from "../testing/hosts.ts";
import { EdfScheduler } from "./edf-scheduler.ts";
import { leastRequest } from "./least-request.ts";
import { random } from "./random.ts";
import { roundRobin } from "./round-robin.ts";
import { slowStartFactor } from "./slow-start.ts";

const now = (): number => 0;

describe("ROUND_ROBIN", () => {
  test("L-15: equal weights: one after the other, from a start by chance", () => {
    const hosts = [1, 2, 3].map((index) => hostAt(`10.0.0.${index}:80`));
    const picker = roundRobin(
      { kind: "round-robin", slowStart: undefined },
      { random: scriptedRandom([4]), now },
    )(hosts);
    const picks = [1, 2, 3, 4].map(() => picker.pick());
    expect(picks).toEqual([hosts[1], hosts[2], hosts[0], hosts[1]]);
  });

  test("L-16: unequal weights: by deadline, first come first served on ties", () => {
    const scheduler = new EdfScheduler<string>();
    const weights: Record<string, number> = { a: 1, b: 2, c: 3 };
    for (const name of ["a", "b", "c"]) scheduler.add(name, weights[name] ?? 1);
    const picks = Array.from({ length: 6 }, () => scheduler.pick((name) => weights[name] ?? 1));
    expect(picks.toSorted((a, b) => String(a).localeCompare(String(b)))).toEqual(["a", "b", "b", "c", "c", "c"]);
    expect(picks[0]).toBe("c");
  });

  test("L-20: a host that has just become healthy gets little at first", () => {
    const slowStart = { windowMs: 10_000, aggression: 1, minWeightPercent: 10 };
    let time = 100_000;
    const old = hostAt("10.0.0.1:80");
    const fresh = hostAt("10.0.0.2:80");
    fresh.healthySince = time;
    const picker = roundRobin(
      { kind: "round-robin", slowStart },
      { random: scriptedRandom([0]), now: () => time },
    )([old, fresh]);
    const share = (): number =>
      Array.from({ length: 1000 }, () => picker.pick()).filter((host) => host === fresh).length / 1000;
    expect(share()).toBeLessThan(0.12);
    time += 5000;
    expect(share()).toBeGreaterThan(0.3);
    time += 6000;
    expect(share()).toBeGreaterThan(0.48);
  });

  test("L-20: the factor grows with time to the power of 1 by aggression, from the minimum", () => {
    const config = { windowMs: 10_000, aggression: 2, minWeightPercent: 10 };
    expect(slowStartFactor(config, 0)).toBe(0.1);
    expect(slowStartFactor(config, 2500)).toBe(0.5);
    expect(slowStartFactor(config, 10_000)).toBe(1);
    expect(slowStartFactor({ ...config, windowMs: 0 }, 0)).toBe(1);
  });
});

describe("LEAST_REQUEST", () => {
  const base = {
    kind: "least-request",
    choiceCount: 2,
    activeRequestBias: 1,
    fullScan: false,
    slowStart: undefined,
  } as const;
  const hosts = [1, 2, 3].map((index) => hostAt(`10.0.0.${index}:80`));
  const [first, second, third] = hosts;

  test("L-17: of two drawn the one with fewer requests; the first of equals", () => {
    for (const [index, active] of [3, 1, 1].entries()) (hosts[index] as (typeof hosts)[0]).stats.rqActive = active;
    const picker = leastRequest(base, { random: scriptedRandom([0, 1, 1, 2, 2, 1, 0, 0]), now })(hosts);
    expect([picker.pick(), picker.pick(), picker.pick(), picker.pick()]).toEqual([second, second, third, first]);
  });

  test("L-17: FULL_SCAN takes the least of all", () => {
    for (const [index, active] of [3, 1, 2].entries()) (hosts[index] as (typeof hosts)[0]).stats.rqActive = active;
    const picker = leastRequest({ ...base, fullScan: true }, { random: scriptedRandom([0]), now })(hosts);
    expect([picker.pick(), picker.pick()]).toEqual([second, second]);
  });

  test("L-18: unequal weights count for less with each active request", () => {
    const heavy = hostAt("10.0.0.1:80", { weight: 4 });
    const light = hostAt("10.0.0.2:80", { weight: 2 });
    heavy.stats.rqActive = 3;
    const share = (bias: number): number => {
      const picker = leastRequest(
        { ...base, activeRequestBias: bias },
        { random: scriptedRandom([0]), now },
      )([heavy, light]);
      return Array.from({ length: 900 }, () => picker.pick()).filter((host) => host === heavy).length / 900;
    };
    expect(share(1)).toBeCloseTo(1 / 3, 1);
    expect(share(0)).toBeCloseTo(2 / 3, 1);
  });
});

describe("RANDOM", () => {
  test("L-19: weights do not matter", () => {
    const hosts = [hostAt("10.0.0.1:80", { weight: 9 }), hostAt("10.0.0.2:80")];
    const picker = random({ random: scriptedRandom([1, 2, 3]), now })(hosts);
    expect([picker.pick(), picker.pick(), picker.pick()]).toEqual([hosts[1], hosts[0], hosts[1]]);
  });
});
