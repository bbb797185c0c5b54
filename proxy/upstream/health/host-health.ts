/** The active health checks of a cluster together: a host is healthy when each of them says so (§7.6). */
import type { StatsScope, Gauge } from "../../observability/stats.ts";
import { HealthFlag, type UpstreamHost } from "../host.ts";
import type { HealthCheckConfig } from "./health-check-config.ts";
import { HealthChecker, type HealthCheckerDeps } from "./health-checker.ts";
import type { HealthTransition, HostCheck } from "./host-check.ts";

export interface HostHealthDeps extends Omit<HealthCheckerDeps, "onOutcome" | "scope" | "isOneOfSeveral"> {
  /** `cluster.<name>.` */
  readonly scope: StatsScope;
  /** A host has become healthy or unhealthy, or degraded, or is no longer so. */
  readonly onChange: (host: UpstreamHost) => void;
  /** A host that counts as healthy passed a check. */
  readonly onGood: (host: UpstreamHost) => void;
}

export class HostHealth {
  readonly #checkers: readonly HealthChecker[];
  readonly #deps: HostHealthDeps;
  readonly #checks = new Map<UpstreamHost, readonly HostCheck[]>();
  /** Of all checks together, where there are several. */
  readonly #total: { readonly healthy: Gauge; readonly degraded: Gauge } | undefined;
  #onFirstRound: (() => void) | undefined = undefined;
  /** Hosts of the first round that have no outcome of each check yet. */
  #awaited = new Set<UpstreamHost>();

  constructor(configs: readonly HealthCheckConfig[], deps: HostHealthDeps) {
    this.#deps = deps;
    const scope = deps.scope.scope("health_check");
    const isOne = configs.length === 1;
    this.#checkers = configs.map(
      (config) =>
        new HealthChecker(config, {
          ...deps,
          isOneOfSeveral: !isOne,
          scope: isOne ? scope : scope.scope("name").scope(config.name),
          onOutcome: (check, transition, isGood, isFirst) => this.#onOutcome(check, transition, isGood, isFirst),
        }),
    );
    this.#total = isOne ? undefined : { healthy: scope.gauge("healthy"), degraded: scope.gauge("degraded") };
  }

  /** Hosts have joined or left, or are to be checked otherwise. */
  update(hosts: Iterable<UpstreamHost>): void {
    const current = new Set<UpstreamHost>();
    for (const host of hosts) if (!host.healthCheck.isDisabled) current.add(host);
    for (const [host, checks] of this.#checks) {
      if (current.has(host)) continue;
      this.#stop(host, checks);
    }
    const started: HostCheck[] = [];
    for (const host of current) {
      if (this.#checks.has(host)) continue;
      const checks = this.#checkers.map((checker) => checker.check(host));
      this.#checks.set(host, checks);
      host.failPassively = () => this.#failPassively(host);
      started.push(...checks);
    }
    this.#count();
    for (const check of started) check.start();
  }

  /** Where a host is to be asked has changed: it has to prove itself anew. */
  restart(host: UpstreamHost): void {
    const checks = this.#checks.get(host);
    if (checks !== undefined) this.#stop(host, checks);
  }

  /** Calls back once each host that there is now has an outcome of each check, or has left. */
  onceChecked(callback: () => void): void {
    this.#onFirstRound = callback;
    this.#awaited = new Set([...this.#checks].filter(([, checks]) => checks.some(({ isFirst }) => isFirst)).map(first));
    this.#endRound();
  }

  close(): void {
    this.#onFirstRound = undefined;
    for (const [host, checks] of this.#checks) this.#stop(host, checks);
  }

  #stop(host: UpstreamHost, checks: readonly HostCheck[]): void {
    this.#checks.delete(host);
    host.failPassively = undefined;
    for (const check of checks) check.close();
    if (this.#awaited.delete(host)) this.#endRound();
  }

  /** `x-envoy-immediate-health-check-fail` on a response (L-58). */
  #failPassively(host: UpstreamHost): void {
    host.setFlag(HealthFlag.excludedViaImmediateHcFail);
    for (const check of this.#checks.get(host) ?? []) check.failPassively();
  }

  #onOutcome(check: HostCheck, transition: HealthTransition, isGood: boolean, isFirst: boolean): HealthTransition {
    const { host } = check;
    const checks = this.#checks.get(host) ?? [check];
    const before = host.flags;
    this.#setFlags(host, checks);
    const watched = HealthFlag.failedActiveHc | HealthFlag.degradedActiveHc | HealthFlag.pendingActiveHc;
    const excluded = HealthFlag.excludedViaImmediateHcFail;
    const hasChanged = ((before ^ host.flags) & (watched | excluded)) !== 0 || transition === "changed";
    if (hasChanged) {
      this.#count();
      this.#deps.onChange(host);
    }
    if (isGood && (host.flags & HealthFlag.failedActiveHc) === 0) this.#deps.onGood(host);
    if (isFirst && checks.every((one) => !one.isFirst) && this.#awaited.delete(host)) this.#endRound();
    return hasChanged && transition === "unchanged" ? "changed" : transition;
  }

  #setFlags(host: UpstreamHost, checks: readonly HostCheck[]): void {
    const now = this.#deps.runtime.clock.monotonic();
    const set = (flag: number, isSet: boolean): void => {
      if (isSet) host.setFlag(flag);
      else host.clearFlag(flag, now);
    };
    const isFailing = checks.some((check) => check.isFailing);
    set(
      HealthFlag.degradedActiveHc,
      checks.some((check) => check.isDegraded),
    );
    set(
      HealthFlag.activeHcTimeout,
      checks.some((check) => check.hasTimedOut),
    );
    if (!isFailing) host.clearFlag(HealthFlag.excludedViaImmediateHcFail, now);
    if (checks.every((check) => !check.isFirst)) host.clearFlag(HealthFlag.pendingActiveHc, now);
    set(HealthFlag.failedActiveHc, isFailing);
  }

  #count(): void {
    if (this.#total === undefined) return;
    const all = [...this.#checks.values()];
    this.#total.healthy.set(all.filter((checks) => checks.every(({ isFailing }) => !isFailing)).length);
    this.#total.degraded.set(all.filter((checks) => checks.some(({ isDegraded }) => isDegraded)).length);
  }

  #endRound(): void {
    if (this.#awaited.size > 0) return;
    const callback = this.#onFirstRound;
    this.#onFirstRound = undefined;
    callback?.();
  }
}

function first<T>([value]: readonly [T, unknown]): T {
  return value;
}
