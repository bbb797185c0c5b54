/**
 * What a process does once, when it has started and nothing is going on: it writes the compile cache, which Node would do at
 * an end that a killed process never has, and gives back what the start has left behind, a fifth of a resting sidecar.
 * Both would cost a request that waited for them some 80 ms, so they wait for a second without work.
 */
import { flushCompileCache } from "node:module";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { TimerWheel } from "#lib/runtime.ts";

const FIRST_LOOK_MS = 4000;
const WATCH_MS = 1000;
const NEXT_LOOK_MS = 10_000;
/** A process that is never at rest is collected by its work. */
const MAX_LOOKS = 30;
/** CPU time within a second of watching that still counts as rest, in µs. */
const REST_MICROS = 20_000;

/** Looks from time to time; keeps nothing alive. */
export function settleAtRest(wheel: TimerWheel, looksLeft: number = MAX_LOOKS, delayMs: number = FIRST_LOOK_MS): void {
  if (looksLeft === 0) return;
  wheel.schedule(delayMs, () => {
    const before = process.cpuUsage();
    wheel.schedule(WATCH_MS, () => {
      const { user, system } = process.cpuUsage(before);
      if (user + system <= REST_MICROS) settle();
      else settleAtRest(wheel, looksLeft - 1, NEXT_LOOK_MS);
    });
  });
}

function settle(): void {
  flushCompileCache();
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as (options: {
    readonly type: "major";
    readonly flavor: "last-resort";
  }) => void;
  setFlagsFromString("--no-expose-gc");
  collect({ type: "major", flavor: "last-resort" });
}
