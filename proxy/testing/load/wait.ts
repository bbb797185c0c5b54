/** Waiting in tests under load: for a condition, never for a time. */
import type { Runtime } from "#lib/runtime.ts";

export function pause(runtime: Runtime, ms: number): Promise<void> {
  return new Promise((resolve) => void runtime.clock.setTimer(ms, resolve));
}

/** Looks every 20 ms; false after `limitMs`. */
export async function until(runtime: Runtime, limitMs: number, look: () => boolean): Promise<boolean> {
  const start = runtime.clock.monotonic();
  while (!look()) {
    if (runtime.clock.monotonic() - start > limitMs) return false;
    await pause(runtime, 20);
  }
  return true;
}

/** Waits until `read` has not changed for `quietMs`. */
export async function untilQuiet(runtime: Runtime, quietMs: number, read: () => number): Promise<void> {
  let last = read();
  for (;;) {
    await pause(runtime, quietMs);
    const now = read();
    if (now === last) return;
    last = now;
  }
}
