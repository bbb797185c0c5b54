/** Steps on a raw connection, and what came from its other end. */
import type { Socket } from "node:net";
import type { Step } from "./case.ts";

/** The longest that anything is waited for. */
export const limitMs = 10_000;

/** Text that has come so far, and those who wait for more of it. */
export class Received {
  text = "";
  isClosed = false;
  readonly #waiting = new Set<() => void>();

  add(text: string): void {
    this.text += text;
    for (const look of this.#waiting) look();
  }

  close(): void {
    this.isClosed = true;
    for (const look of this.#waiting) look();
  }

  /** Whether it came to be before the connection's end and the limit. */
  until(holds: () => boolean): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => finish(false), limitMs);
      const finish = (outcome: boolean): void => {
        clearTimeout(timer);
        this.#waiting.delete(look);
        resolve(outcome);
      };
      const look = (): void => {
        if (holds()) finish(true);
        else if (this.isClosed) finish(false);
      };
      this.#waiting.add(look);
      look();
    });
  }
}

/** `{ until: "#n" }` waits for the n-th complete response, as `count` counts them. */
export async function playSteps(
  socket: Socket,
  steps: readonly Step[],
  received: Received,
  count: () => number = () => 0,
): Promise<void> {
  for (const step of steps) {
    if (socket.destroyed) return;
    if (typeof step === "string") socket.write(step, "latin1");
    else if ("waitMs" in step) await new Promise((resolve) => setTimeout(resolve, step.waitMs));
    else if ("act" in step) {
      if (step.act === "end") socket.end();
      else if (step.act === "close") socket.end(() => socket.destroy());
      else if (step.act === "reset") socket.resetAndDestroy();
    } else if (/^#\d+$/.test(step.until)) await received.until(() => count() >= Number(step.until.slice(1)));
    else await received.until(() => received.text.includes(step.until));
  }
}
