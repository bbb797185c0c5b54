/** Virtual time: an ordered queue of events that runs only when it is told to. */
import type { Clock, Timer } from "./runtime.ts";
import { HashedTimerWheel } from "./timer-wheel.ts";

interface Event {
  readonly atMs: number;
  readonly order: number;
  run: (() => void) | undefined;
}

/** 2026-01-01T00:00:00Z: where virtual time begins. */
export const EPOCH_MS = 1_767_225_600_000;

/**
 * A clock that stands still until `advance`. Events run in the order of their time, those of one instant in the order
 * in which they were scheduled; after each the microtasks (and Node's own ticks) are drained.
 */
export class SimulatedClock implements Clock {
  readonly wheel: HashedTimerWheel;
  #nowMs = 0;
  #order = 0;
  readonly #heap: Event[] = [];

  constructor() {
    this.wheel = new HashedTimerWheel(
      { monotonic: () => this.#nowMs, wake: (delayMs, callback) => this.setTimer(delayMs, callback) },
      1,
    );
  }

  now(): number {
    return EPOCH_MS + Math.floor(this.#nowMs);
  }

  monotonic(): number {
    return this.#nowMs;
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const event: Event = { atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, run: callback };
    this.#push(event);
    return {
      cancel: () => {
        event.run = undefined;
      },
    };
  }

  /** Before the next event. */
  atEndOfTurn(callback: () => void): void {
    queueMicrotask(callback);
  }

  /** Moves time forward, running everything that falls due on the way. Resolves when all is quiet. */
  async advance(ms: number): Promise<void> {
    const target = this.#nowMs + ms;
    await quiet();
    for (;;) {
      const next = this.#heap[0];
      if (next === undefined || next.atMs > target) {
        // What ran last may have set something going that needs more than one turn of the real event loop (TLS does).
        await quiet();
        const late = this.#heap[0];
        if (late === undefined || late.atMs > target) break;
        continue;
      }
      this.#pop();
      if (next.run === undefined) continue;
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      const { run } = next;
      next.run = undefined;
      run();
      await turn();
    }
    this.#nowMs = target;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let index = heap.length;
    heap.push(event);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!isBefore(event, heap[parent] as Event)) break;
      heap[index] = heap[parent] as Event;
      index = parent;
    }
    heap[index] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Event, heap[child] as Event)) child++;
      if (!isBefore(heap[child] as Event, last)) break;
      heap[index] = heap[child] as Event;
      index = child;
    }
    heap[index] = last;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

async function quiet(): Promise<void> {
  for (let i = 0; i < 4; i++) await turn();
}
