/** Passive health checking: watches the results of requests, ejects hosts and lets them return (§7.4). */
import type { Clock, Random, Timer } from "#lib/runtime.ts";
import type { Counter, Gauge, StatsScope } from "../../observability/stats.ts";
import { HealthFlag, type UpstreamHost } from "../host.ts";
import type { EjectionType } from "./ejection-type.ts";
import { HostMonitor } from "./host-monitor.ts";
import type { OutlierConfig } from "./outlier-config.ts";
import type { OutlierEvent } from "./outlier-events.ts";
import { successRateThreshold } from "./success-rate.ts";

export interface OutlierDeps {
  readonly clock: Clock;
  readonly random: Random;
  /** `cluster.<name>.` */
  readonly scope: StatsScope;
  /** A host was ejected or has returned. */
  readonly onChange: (host: UpstreamHost) => void;
  /** An ejection was decided here: the other threads of the process are to hear of it. */
  readonly onEjected?: ((host: UpstreamHost, jitterMs: number) => void) | undefined;
  /** Undefined: nobody keeps a log of events. */
  readonly log?: ((event: OutlierEvent) => void) | undefined;
}

/** What `/clusters` shows; −1: not computed. */
export interface SuccessRateReport {
  readonly average: number;
  readonly threshold: number;
}

const notComputed: SuccessRateReport = { average: -1, threshold: -1 };

export class OutlierDetector {
  readonly config: OutlierConfig;
  external: SuccessRateReport = notComputed;
  localOrigin: SuccessRateReport = notComputed;
  readonly #deps: OutlierDeps;
  readonly #monitors = new Map<UpstreamHost, HostMonitor>();
  readonly #stats: OutlierStats;
  #timer: Timer;
  #ejected = 0;
  /** Of these: ejected by other threads. */
  readonly #adopted = new Set<UpstreamHost>();

  constructor(config: OutlierConfig, deps: OutlierDeps) {
    this.config = config;
    this.#deps = deps;
    this.#stats = new OutlierStats(deps.scope.scope("outlier_detection"));
    this.#timer = this.#armed();
  }

  /** Hosts have joined or left. */
  updateHosts(hosts: Iterable<UpstreamHost>): void {
    const current = new Set(hosts);
    for (const host of this.#monitors.keys()) {
      if (current.has(host)) continue;
      if ((host.flags & HealthFlag.failedOutlierCheck) !== 0) this.#countReturn(host);
      this.#monitors.delete(host);
    }
    for (const host of current) {
      if (this.#monitors.has(host)) continue;
      const monitor = new HostMonitor(host, this.config, (type) => this.#onConsecutive(host, type));
      this.#monitors.set(host, monitor);
      host.outlier = monitor;
    }
  }

  monitorOf(host: UpstreamHost): HostMonitor | undefined {
    return this.#monitors.get(host);
  }

  /** Another thread of the process has ejected it, and counts it. */
  adopt(host: UpstreamHost, jitterMs: number): void {
    const monitor = this.#monitors.get(host);
    if (monitor === undefined || (host.flags & HealthFlag.failedOutlierCheck) !== 0) return;
    const { baseEjectionTimeMs: base, maxEjectionTimeMs } = this.config;
    this.#ejected++;
    this.#adopted.add(host);
    monitor.onEjected(this.#deps.clock.monotonic(), jitterMs, base, Math.max(maxEjectionTimeMs, base));
    host.setFlag(HealthFlag.failedOutlierCheck);
    this.#deps.onChange(host);
  }

  /** An active health check was passed (L-41). */
  onHealthCheckPassed(host: UpstreamHost): void {
    const monitor = this.#monitors.get(host);
    if (monitor === undefined || !this.config.unejectsOnHealthCheck) return;
    if ((host.flags & HealthFlag.failedOutlierCheck) === 0) return;
    this.#return(host, monitor, this.#deps.clock.monotonic());
  }

  close(): void {
    this.#timer.cancel();
    this.#stats.active.add(this.#adopted.size - this.#ejected);
  }

  #armed(): Timer {
    return this.#deps.clock.setTimer(this.config.intervalMs, () => {
      this.#onInterval();
      this.#timer = this.#armed();
    });
  }

  #onInterval(): void {
    const now = this.#deps.clock.monotonic();
    for (const [host, monitor] of this.#monitors) {
      this.#checkReturn(host, monitor, now);
      monitor.turn();
    }
    this.external = this.#judgeRates("external", "success_rate", "failure_percentage");
    this.localOrigin = this.#judgeRates("local", "local_origin_success_rate", "local_origin_failure_percentage");
  }

  #checkReturn(host: UpstreamHost, monitor: HostMonitor, now: number): void {
    const { baseEjectionTimeMs, maxEjectionTimeMs, intervalMs } = this.config;
    if ((host.flags & HealthFlag.failedOutlierCheck) === 0) {
      if (monitor.backOff > 0 && now - monitor.returnedAt >= intervalMs) monitor.backOff--;
      return;
    }
    const timeMs = Math.min(baseEjectionTimeMs * monitor.backOff, Math.max(maxEjectionTimeMs, baseEjectionTimeMs));
    // Clocks have fractions: half a millisecond is no reason to wait for another interval.
    if (timeMs + monitor.jitterMs > now - monitor.ejectedAt + 0.5) return;
    this.#return(host, monitor, now);
  }

  #return(host: UpstreamHost, monitor: HostMonitor, now: number): void {
    const isAdopted = this.#countReturn(host);
    if (!isAdopted)
      this.#deps.log?.({
        type: monitor.ejectedBy,
        action: "UNEJECT",
        host: host.addressText,
        numEjections: monitor.numEjections,
        isEnforced: false,
        secondsSinceLast: (now - monitor.ejectedAt) / 1000,
      });
    monitor.onReturn(now);
    host.clearFlag(HealthFlag.failedOutlierCheck, now);
    this.#deps.onChange(host);
  }

  #onConsecutive(host: UpstreamHost, type: EjectionType): void {
    if (!this.#monitors.has(host) || (host.flags & HealthFlag.failedOutlierCheck) !== 0) return;
    this.#stats.detected(type).inc();
    this.#eject(host, type);
  }

  #judgeRates(origin: "external" | "local", rateType: EjectionType, failureType: EjectionType): SuccessRateReport {
    const { config } = this;
    const count = this.#monitors.size;
    if (count < config.successRateMinimumHosts && count < config.failurePercentageMinimumHosts) return notComputed;
    const rated: { readonly host: UpstreamHost; readonly rate: number; readonly volume: number }[] = [];
    for (const [host, monitor] of this.#monitors) {
      if ((host.flags & HealthFlag.failedOutlierCheck) !== 0) continue;
      const { rate, volume } = monitor.bucket(origin);
      if (volume === 0) continue;
      rated.push({ host, rate, volume });
      if (volume >= Math.min(config.successRateRequestVolume, config.failurePercentageRequestVolume))
        monitor.setSuccessRate(origin, rate);
    }
    const report = this.#ejectBelowMean(rated, rateType);
    const failing = rated.filter(({ volume }) => volume >= config.failurePercentageRequestVolume);
    if (failing.length >= config.failurePercentageMinimumHosts) {
      for (const { host, rate } of failing) {
        if (100 - rate < config.failurePercentageThreshold) continue;
        this.#stats.detected(failureType).inc();
        this.#eject(host, failureType, { host: rate, average: 0, threshold: 0 });
      }
    }
    return report;
  }

  #ejectBelowMean(
    rated: readonly { readonly host: UpstreamHost; readonly rate: number; readonly volume: number }[],
    type: EjectionType,
  ): SuccessRateReport {
    const valid = rated.filter(({ volume }) => volume >= this.config.successRateRequestVolume);
    if (valid.length === 0 || valid.length < this.config.successRateMinimumHosts) return notComputed;
    const rates = valid.map(({ rate }) => rate);
    const { mean, threshold } = successRateThreshold(rates, this.config.successRateStdevFactor / 1000);
    for (const { host, rate } of valid) {
      if (rate >= threshold) continue;
      this.#stats.detected(type).inc();
      this.#eject(host, type, { host: rate, average: mean, threshold });
    }
    return { average: mean, threshold };
  }

  /** L-38: allowed up to a share of the hosts, and by chance as far as it is enforced. */
  #eject(host: UpstreamHost, type: EjectionType, rates?: OutlierEvent["rates"]): void {
    const { config } = this;
    const now = this.#deps.clock.monotonic();
    if ((host.flags & HealthFlag.failedOutlierCheck) !== 0) return;
    const monitor = this.#monitors.get(host);
    if (monitor === undefined) return;
    const share = (100 * (this.#ejected + 1)) / this.#monitors.size;
    if (share > Math.min(100, config.maxEjectionPercent) && !(config.alwaysEjectOneHost && this.#ejected === 0)) {
      this.#stats.overflow.inc();
      return;
    }
    const isEnforced = this.#isEnforced(type);
    const sinceMs = now - monitor.returnedAt;
    const event = {
      type,
      action: "EJECT",
      host: host.addressText,
      isEnforced,
      secondsSinceLast: Number.isFinite(sinceMs) ? sinceMs / 1000 : undefined,
      rates,
    } as const;
    if (!isEnforced) {
      this.#deps.log?.({ ...event, numEjections: monitor.numEjections });
      return;
    }
    this.#countActive(1);
    this.#stats.enforced(type).inc();
    this.#stats.enforcedTotal.inc();
    const jitter = config.maxEjectionTimeJitterMs;
    const { baseEjectionTimeMs: base } = config;
    const max = Math.max(config.maxEjectionTimeMs, base);
    monitor.ejectedBy = type;
    const jitterMs = jitter === 0 ? 0 : Math.floor(this.#deps.random.float() * (jitter + 1));
    monitor.onEjected(now, jitterMs, base, max);
    this.#deps.log?.({ ...event, numEjections: monitor.numEjections });
    host.setFlag(HealthFlag.failedOutlierCheck);
    this.#deps.onChange(host);
    this.#deps.onEjected?.(host, jitterMs);
  }

  #isEnforced(type: EjectionType): boolean {
    const percent = enforcement(this.config, type);
    return percent >= 100 || (percent > 0 && this.#deps.random.uint32() % 100 < percent);
  }

  /** Tells whether it was another thread that had ejected it, and shows it. */
  #countReturn(host: UpstreamHost): boolean {
    const isAdopted = this.#adopted.delete(host);
    if (isAdopted) this.#ejected--;
    else this.#countActive(-1);
    return isAdopted;
  }

  #countActive(by: 1 | -1): void {
    this.#ejected += by;
    this.#stats.active.add(by);
  }
}

function enforcement(config: OutlierConfig, type: EjectionType): number {
  switch (type) {
    case "consecutive_5xx":
      return config.enforcingConsecutive5xx;
    case "consecutive_gateway_failure":
      return config.enforcingConsecutiveGatewayFailure;
    case "consecutive_local_origin_failure":
      return config.enforcingConsecutiveLocalOriginFailure;
    case "success_rate":
      return config.enforcingSuccessRate;
    case "local_origin_success_rate":
      return config.enforcingLocalOriginSuccessRate;
    case "failure_percentage":
      return config.enforcingFailurePercentage;
    case "local_origin_failure_percentage":
      return config.enforcingFailurePercentageLocalOrigin;
  }
}

class OutlierStats {
  readonly active: Gauge;
  readonly overflow: Counter;
  readonly enforcedTotal: Counter;
  readonly #scope: StatsScope;

  constructor(scope: StatsScope) {
    this.#scope = scope;
    this.active = scope.gauge("ejections_active");
    this.overflow = scope.counter("ejections_overflow");
    this.enforcedTotal = scope.counter("ejections_enforced_total");
  }

  detected(type: EjectionType): Counter {
    return this.#scope.counter(`ejections_detected_${type}`);
  }

  enforced(type: EjectionType): Counter {
    return this.#scope.counter(`ejections_enforced_${type}`);
  }
}
