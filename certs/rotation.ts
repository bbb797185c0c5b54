/** Keeps a certificate fresh: gets one, renews it in time, tries again while that fails. Who uses it hears of each new one. */
import type { Clock, Random, Timer } from "#lib/runtime.ts";
import { DEFAULT_ROTATION_POLICY, renewAfterMs, retryAfterMs, type RotationPolicy } from "./rotation-schedule.ts";

/** What rotates: anything that ends. */
export interface Expiring {
  readonly notAfterMs: number;
}

export interface RotationOptions<T extends Expiring> {
  readonly clock: Clock;
  readonly random: Random;
  readonly policy?: Partial<RotationPolicy> | undefined;
  /** Gets a fresh one; a rejection means that it is tried again. */
  readonly renew: () => Promise<T>;
  readonly onRenewed: (value: T) => void;
  readonly onFailure: (failure: RotationFailure) => void;
}

export interface RotationFailure {
  readonly error: unknown;
  /** Failures in a row, from 1. */
  readonly attempt: number;
  readonly retryInMs: number;
  /** What is left of the certificate in use; undefined when there is none yet, negative when it has expired. */
  readonly remainingMs: number | undefined;
}

export interface Rotation<T extends Expiring> {
  /** The newest; undefined until the first arrives. An expired one stays until there is a better. */
  readonly current: T | undefined;
  /** When the next attempt is due, ms since the epoch. */
  readonly nextAttemptMs: number;
  /** Renews at once, whatever the schedule says. Has no effect while a renewal is under way. */
  renewNow(): void;
  close(): void;
}

/** Longer waits are cut into pieces: timers end at 2^31 ms, and a machine that slept must notice. */
const LONGEST_WAIT_MS = 3_600_000;

/** Begins at once. */
export function startRotation<T extends Expiring>(options: RotationOptions<T>): Rotation<T> {
  const { clock, random, renew, onRenewed, onFailure } = options;
  const policy = { ...DEFAULT_ROTATION_POLICY, ...options.policy };
  let current: T | undefined;
  let timer: Timer | undefined;
  let nextAttemptMs = clock.now();
  let failures = 0;
  let isRenewing = false;
  let isClosed = false;

  function scheduleIn(delayMs: number): void {
    nextAttemptMs = clock.now() + delayMs;
    wait();
  }

  function wait(): void {
    timer?.cancel();
    const left = nextAttemptMs - clock.now();
    timer =
      left <= LONGEST_WAIT_MS ? clock.setTimer(Math.max(0, left), attempt) : clock.setTimer(LONGEST_WAIT_MS, wait);
  }

  function attempt(): void {
    if (isRenewing || isClosed) return;
    isRenewing = true;
    timer?.cancel();
    // `renew` may throw instead of rejecting; both are failures.
    new Promise<T>((resolve) => resolve(renew())).then(succeed, fail);
  }

  function succeed(value: T): void {
    isRenewing = false;
    if (isClosed) return;
    const lifetimeMs = value.notAfterMs - clock.now();
    if (lifetimeMs <= 0) {
      fail(new Error("the certificate received has already expired; compare the clocks of this machine and of the CA"));
      return;
    }
    failures = 0;
    current = value;
    scheduleIn(renewAfterMs(lifetimeMs, policy, random.float()));
    onRenewed(value);
  }

  function fail(error: unknown): void {
    isRenewing = false;
    if (isClosed) return;
    failures++;
    const remainingMs = current === undefined ? undefined : current.notAfterMs - clock.now();
    const retryInMs = retryAfterMs(failures, remainingMs, policy, random.float());
    scheduleIn(retryInMs);
    onFailure({ error, attempt: failures, retryInMs, remainingMs });
  }

  attempt();
  return {
    get current() {
      return current;
    },
    get nextAttemptMs() {
      return nextAttemptMs;
    },
    renewNow: attempt,
    close: () => {
      isClosed = true;
      timer?.cancel();
    },
  };
}
