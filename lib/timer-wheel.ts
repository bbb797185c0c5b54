/** A hashed timer wheel: O(1) `schedule` and `cancel`, one object a timer, one system timer for all of them. */
import type { Timer, TimerWheel } from "./runtime.ts";

/** What a wheel needs of its clock: `wake` asks for one call of `advance` no earlier than `delayMs` from now. */
export interface WheelDriver {
  monotonic(): number;
  wake(delayMs: number, callback: () => void): Timer;
}

const SLOTS = 1024;
const MASK = SLOTS - 1;

/** A node of a slot's ring. The ring's head is a node that never fires. */
class Node implements Timer {
  previous: Node = this;
  next: Node = this;
  readonly dueTick: number;
  callback: (() => void) | undefined;

  constructor(dueTick: number, callback: (() => void) | undefined) {
    this.dueTick = dueTick;
    this.callback = callback;
  }

  cancel(): void {
    if (this.callback === undefined) return;
    this.callback = undefined;
    this.unlink();
  }

  unlink(): void {
    this.previous.next = this.next;
    this.next.previous = this.previous;
    this.previous = this;
    this.next = this;
  }
}

/**
 * Timers fire no earlier than asked and at most one tick later, those of one tick in the order of scheduling.
 * The wheel sleeps until the next slot that holds something, so an idle process is not woken ten times a second.
 */
export class HashedTimerWheel implements TimerWheel {
  readonly tickMs: number;
  readonly #driver: WheelDriver;
  readonly #slots: Node[] = [];
  /** The last tick that has been run. */
  #tick: number;
  #wakeTick = Number.POSITIVE_INFINITY;
  #alarm: Timer | undefined;
  readonly #onWake = (): void => this.#run();

  constructor(driver: WheelDriver, tickMs: number) {
    this.#driver = driver;
    this.tickMs = tickMs;
    this.#tick = Math.floor(driver.monotonic() / tickMs);
    for (let i = 0; i < SLOTS; i++) this.#slots.push(new Node(0, undefined));
  }

  schedule(delayMs: number, callback: () => void): Timer {
    const dueMs = this.#driver.monotonic() + (delayMs > 0 ? delayMs : 0);
    let dueTick = Math.ceil(dueMs / this.tickMs);
    if (dueTick <= this.#tick) dueTick = this.#tick + 1;
    const node = new Node(dueTick, callback);
    const head = this.#slots[dueTick & MASK] as Node;
    node.previous = head.previous;
    node.next = head;
    head.previous.next = node;
    head.previous = node;
    if (dueTick < this.#wakeTick) this.#arm(dueTick);
    return node;
  }

  #arm(tick: number): void {
    this.#alarm?.cancel();
    this.#wakeTick = tick;
    this.#alarm = this.#driver.wake(Math.max(0, tick * this.tickMs - this.#driver.monotonic()), this.#onWake);
  }

  #run(): void {
    this.#alarm = undefined;
    this.#wakeTick = Number.POSITIVE_INFINITY;
    const target = Math.floor(this.#driver.monotonic() / this.tickMs);
    // After a long sleep each slot need be looked at only once.
    if (target - this.#tick > SLOTS) this.#tick = target - SLOTS;
    try {
      while (this.#tick < target) {
        this.#tick++;
        this.#fire(this.#slots[this.#tick & MASK] as Node);
      }
    } finally {
      this.#armNext();
    }
  }

  #fire(head: Node): void {
    if (head.next === head) return;
    // Callbacks may cancel and schedule: take what is due out of the ring first.
    const due = new Node(0, undefined);
    for (let node = head.next; node !== head;) {
      const next = node.next;
      if (node.dueTick <= this.#tick) {
        node.unlink();
        node.previous = due.previous;
        node.next = due;
        due.previous.next = node;
        due.previous = node;
      }
      node = next;
    }
    try {
      while (due.next !== due) {
        const node = due.next;
        const callback = node.callback;
        node.unlink();
        node.callback = undefined;
        callback?.();
      }
    } finally {
      // A callback threw: what was due with it is due in the next tick.
      while (due.next !== due) {
        const node = due.next;
        node.unlink();
        const rest = node.callback;
        if (rest !== undefined) this.#reinsert(node);
      }
    }
  }

  #reinsert(node: Node): void {
    const head = this.#slots[(this.#tick + 1) & MASK] as Node;
    node.previous = head;
    node.next = head.next;
    head.next.previous = node;
    head.next = node;
  }

  #armNext(): void {
    // A callback may have set the alarm for a timer of its own: what was there before may be due earlier.
    for (let i = 1; i <= SLOTS && this.#tick + i < this.#wakeTick; i++) {
      const head = this.#slots[(this.#tick + i) & MASK] as Node;
      if (head.next !== head) {
        this.#arm(this.#tick + i);
        return;
      }
    }
  }
}
