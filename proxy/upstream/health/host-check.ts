/** One health check of one host: its timers, its thresholds, what it holds the host for (L-53, L-55). */
import type { Timer } from "#lib/runtime.ts";
import { HealthFlag, type UpstreamHost } from "../host.ts";
import type { CheckSession } from "./check-session.ts";
import type { HealthChecker } from "./health-checker.ts";
import type { CheckOutcome, FailureType } from "./health-check-config.ts";

/** `pending`: on the way to another state, the threshold is not reached yet. */
export type HealthTransition = "unchanged" | "changed" | "pending";

export class HostCheck {
  readonly host: UpstreamHost;
  isFailing: boolean;
  isDegraded: boolean;
  /** The last failure was a timeout. */
  hasTimedOut = false;
  /** No outcome yet. */
  isFirst = true;
  readonly #checker: HealthChecker;
  readonly #session: CheckSession;
  #successes = 0;
  #failures = 0;
  #interval: Timer | undefined = undefined;
  #timeout: Timer | undefined = undefined;
  #isClosed = false;

  constructor(checker: HealthChecker, host: UpstreamHost) {
    this.host = host;
    this.#checker = checker;
    this.isFailing = (host.flags & HealthFlag.failedActiveHc) !== 0;
    this.isDegraded = (host.flags & HealthFlag.degradedActiveHc) !== 0;
    if (!this.isFailing) checker.countHealthy(1);
    if (this.isDegraded) checker.countDegraded(1);
    this.#session = checker.createSession(host, (outcome) => this.#onOutcome(outcome));
  }

  start(): void {
    const { initialJitterMs } = this.#checker.config.intervals;
    if (initialJitterMs === 0) this.#check();
    else this.#arm(Math.floor(this.#checker.random() * initialJitterMs));
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#interval?.cancel();
    this.#timeout?.cancel();
    this.#session.close();
    if (!this.isFailing) this.#checker.countHealthy(-1);
    if (this.isDegraded) this.#checker.countDegraded(-1);
  }

  /** Traffic says so: at once, whatever the threshold is. The next check comes when it would have come. */
  failPassively(): void {
    this.#fail("passive", false, 0);
  }

  /** One timer: a connection that is lost between two checks is an outcome too, and moves the next one. */
  #arm(delayMs: number): void {
    this.#interval?.cancel();
    this.#interval = this.#checker.clock.setTimer(delayMs, () => this.#check());
  }

  #check(): void {
    if (this.#isClosed) return;
    this.#checker.stats.attempt.inc();
    this.#timeout = this.#checker.clock.setTimer(this.#checker.config.timeoutMs, () => {
      this.#session.abort();
      this.#onOutcome({ kind: "failure", type: "network-timeout", isRetriable: false, status: 0 });
    });
    this.#session.check();
  }

  #onOutcome(outcome: CheckOutcome): void {
    if (this.#isClosed) return;
    this.#timeout?.cancel();
    const isGood = outcome.kind === "success";
    const transition = isGood
      ? this.#succeed(outcome.isDegraded)
      : this.#fail(outcome.type, outcome.isRetriable, outcome.status);
    // What heard of it may have removed the host.
    if (!this.#isClosed) this.#arm(this.#checker.intervalMs(isGood, transition));
  }

  #succeed(isDegraded: boolean): HealthTransition {
    const checker = this.#checker;
    const { config } = checker;
    this.#failures = 0;
    let transition: HealthTransition = "unchanged";
    if (this.isFailing) {
      // The first outcome decides at once.
      if (this.isFirst || ++this.#successes >= config.healthyThreshold) {
        this.#successes = 0;
        this.isFailing = false;
        this.hasTimedOut = false;
        checker.countHealthy(1);
        transition = "changed";
        checker.log({ kind: "add_healthy_event", isFirst: this.isFirst }, this.host);
      } else transition = "pending";
    }
    if (config.logsEverySuccess) checker.log({ kind: "successful_health_check_event" }, this.host);
    if (isDegraded !== this.isDegraded) {
      this.isDegraded = isDegraded;
      checker.countDegraded(isDegraded ? 1 : -1);
      checker.log({ kind: isDegraded ? "degraded_healthy_host" : "no_longer_degraded_host" }, this.host);
      if (transition === "unchanged") transition = "changed";
    }
    checker.stats.success.inc();
    return this.#tell(transition, true);
  }

  #fail(type: FailureType, isRetriable: boolean, status: number): HealthTransition {
    const checker = this.#checker;
    const { config } = checker;
    const isNetwork = type === "network" || type === "network-timeout";
    this.#successes = 0;
    let transition: HealthTransition = "unchanged";
    if (!this.isFailing) {
      if ((!isNetwork && !isRetriable) || ++this.#failures >= config.unhealthyThreshold) {
        this.#failures = 0;
        this.isFailing = true;
        checker.countHealthy(-1);
        transition = "changed";
        checker.log({ kind: "eject_unhealthy_event", failureType: type }, this.host);
      } else transition = "pending";
    }
    if (this.isFailing) this.hasTimedOut = type === "network-timeout";
    if (this.isFirst || config.logsEveryFailure)
      checker.log({ kind: "health_check_failure_event", failureType: type, isFirst: this.isFirst, status }, this.host);
    checker.stats.failure.inc();
    if (isNetwork) checker.stats.networkFailure.inc();
    else if (type === "passive") checker.stats.passiveFailure.inc();
    return this.#tell(transition, false);
  }

  #tell(transition: HealthTransition, isGood: boolean): HealthTransition {
    const isFirst = this.isFirst;
    this.isFirst = false;
    return this.#checker.onOutcome(this, transition, isGood, isFirst);
  }
}
