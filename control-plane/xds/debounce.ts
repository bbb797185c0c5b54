/** Many changes, one push: waits until it has been quiet, but never longer than a maximum (rule 109). */
import type { Clock, Timer } from "#lib/runtime.ts";

export interface Debounce {
  /** Something changed. */
  touch(): void;
  /** Changes that wait are dropped. */
  close(): void;
}

export interface DebounceOptions {
  readonly clock: Pick<Clock, "monotonic" | "setTimer">;
  readonly quietMs: number;
  readonly maxMs: number;
  /** Told how many changes it stands for, and how long the first of them waited. */
  readonly run: (changes: number, waitedMs: number) => void;
}

export function createDebounce({ clock, quietMs, maxMs, run }: DebounceOptions): Debounce {
  let timer: Timer | undefined;
  let firstAt = 0;
  let lastAt = 0;
  let changes = 0;

  function look(): void {
    const now = clock.monotonic();
    const leftMs = Math.min(lastAt + quietMs, firstAt + maxMs) - now;
    if (leftMs > 0) {
      timer = clock.setTimer(leftMs, look);
      return;
    }
    const [count, waitedMs] = [changes, now - firstAt];
    timer = undefined;
    changes = 0;
    run(count, waitedMs);
  }

  return {
    touch() {
      lastAt = clock.monotonic();
      changes += 1;
      if (timer !== undefined) return;
      firstAt = lastAt;
      timer = clock.setTimer(quietMs, look);
    },
    close() {
      timer?.cancel();
      timer = undefined;
      changes = 0;
    },
  };
}
