/** `connection_keepalive`: pings a peer from time to time, gives it up when it doesn't answer. */
import type { Clock, Timer } from "#lib/runtime.ts";
import type { KeepaliveOptions } from "./options.ts";

export interface KeepaliveOwner {
  sendKeepalivePing(): void;
  onKeepaliveTimeout(): void;
  /** When bytes last came, on the clock's monotonic scale. */
  readonly lastReceivedMs: number;
}

export class Keepalive {
  #isAwaiting = false;
  #timer: Timer | undefined = undefined;
  #timeout: Timer | undefined = undefined;
  readonly #owner: KeepaliveOwner;
  readonly #clock: Clock;
  readonly #options: KeepaliveOptions;
  readonly #random: () => number;

  constructor(owner: KeepaliveOwner, clock: Clock, options: KeepaliveOptions, random: () => number) {
    this.#owner = owner;
    this.#clock = clock;
    this.#options = options;
    this.#random = random;
    this.#arm(this.#interval());
  }

  /** The peer answered a ping of ours. */
  onAck(): void {
    if (!this.#isAwaiting) return;
    this.#isAwaiting = false;
    this.#timeout?.cancel();
    this.#arm(this.#interval());
  }

  /** A new stream is about to begin: after a long silence it is worth knowing whether anybody is there. */
  onNewStream(): void {
    const { idleIntervalMs } = this.#options;
    if (idleIntervalMs === 0 || this.#isAwaiting) return;
    if (this.#clock.monotonic() - this.#owner.lastReceivedMs >= idleIntervalMs) this.#ping();
  }

  close(): void {
    this.#timer?.cancel();
    this.#timeout?.cancel();
  }

  #interval(): number {
    const { intervalMs, intervalJitter } = this.#options;
    return intervalMs + (intervalMs * intervalJitter * this.#random()) / 100;
  }

  #arm(delayMs: number): void {
    if (this.#options.intervalMs === 0) return;
    this.#timer = this.#clock.wheel.schedule(delayMs, () => {
      // Bytes that came meanwhile have shown that the peer lives.
      const leftMs = this.#owner.lastReceivedMs + this.#options.intervalMs - this.#clock.monotonic();
      if (leftMs > 0) this.#arm(leftMs);
      else this.#ping();
    });
  }

  #ping(): void {
    this.#timer?.cancel();
    this.#isAwaiting = true;
    this.#owner.sendKeepalivePing();
    this.#timeout = this.#clock.wheel.schedule(this.#options.timeoutMs, () => this.#owner.onKeepaliveTimeout());
  }
}
