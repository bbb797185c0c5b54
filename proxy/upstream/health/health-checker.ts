/** One health check of a cluster: a `HostCheck` for each host, statistics, intervals. */
import type { Clock, Runtime } from "#lib/runtime.ts";
import type { Counter, Gauge, StatsScope } from "../../observability/stats.ts";
import type { CodecFactory } from "../pool/create-codec.ts";
import { sourceAddress, type UpstreamBind } from "../config/parse-bind.ts";
import type { UpstreamHost } from "../host.ts";
import type { TransportSelector } from "../transport-selector.ts";
import type { CheckSession } from "./check-session.ts";
import { GrpcProbe } from "./grpc-check.ts";
import type { CheckOutcome, HealthCheckConfig } from "./health-check-config.ts";
import { healthEventLine, type HealthEvent } from "./health-events.ts";
import { HostCheck, type HealthTransition } from "./host-check.ts";
import { HttpProbe } from "./http-check.ts";
import { StreamCheck } from "./stream-check.ts";
import { TcpCheck } from "./tcp-check.ts";

export interface HealthCheckerDeps {
  readonly runtime: Runtime;
  readonly clusterName: string;
  readonly isOneOfSeveral: boolean;
  /** Where `attempt` and its like go: `cluster.<name>.health_check.`, or below it where a cluster has several checks. */
  readonly scope: StatsScope;
  readonly transports: TransportSelector;
  readonly createCodec: CodecFactory;
  readonly bind: UpstreamBind | undefined;
  /** True once the cluster has had a connection for traffic. */
  readonly hasTraffic: () => boolean;
  /** Writes a line to a file. */
  readonly writeLine: (path: string, line: string) => void;
  /** Sets the host's flags and tells the cluster; what it returns is the transition of the host as a whole. */
  readonly onOutcome: (
    check: HostCheck,
    transition: HealthTransition,
    isGood: boolean,
    isFirst: boolean,
  ) => HealthTransition;
}

export class HealthChecker {
  readonly config: HealthCheckConfig;
  readonly clock: Clock;
  readonly stats: HealthCheckStats;
  readonly #deps: HealthCheckerDeps;

  constructor(config: HealthCheckConfig, deps: HealthCheckerDeps) {
    this.config = config;
    this.clock = deps.runtime.clock;
    this.stats = new HealthCheckStats(deps.scope);
    this.#deps = deps;
  }

  check(host: UpstreamHost): HostCheck {
    return new HostCheck(this, host);
  }

  createSession(host: UpstreamHost, onOutcome: (outcome: CheckOutcome) => void): CheckSession {
    const { transports, createCodec, bind, clusterName } = this.#deps;
    const { config, stats } = this;
    const transport = transports.checkTransportOf(host, config.transportCriteria);
    const { check, reuseConnection, alpn } = config;
    const address = host.healthCheck.address ?? host.address;
    const environment = {
      host,
      hostname: host.healthCheck.hostname,
      clusterName,
      isSecure: transport.isSecure,
      mayExclude: !this.#deps.isOneOfSeveral,
      address,
      createCodec,
      onOutcome,
      connect: (handler: Parameters<typeof transport.connect>[1]) =>
        transport.connect(
          {
            address,
            localAddress: sourceAddress(bind, address),
            hostname: host.hostname,
            ...(alpn.length === 0 ? {} : { alpnOverride: alpn }),
          },
          handler,
        ),
      countVerifyCluster: () => stats.verifyCluster.inc(),
    };
    switch (check.kind) {
      case "http":
        return new StreamCheck(new HttpProbe(check, environment), environment, reuseConnection);
      case "grpc":
        return new StreamCheck(new GrpcProbe(check, environment), environment, reuseConnection);
      case "tcp":
        return new TcpCheck(check, environment, reuseConnection);
    }
  }

  onOutcome(check: HostCheck, transition: HealthTransition, isGood: boolean, isFirst: boolean): HealthTransition {
    return this.#deps.onOutcome(check, transition, isGood, isFirst);
  }

  random(): number {
    return this.#deps.runtime.random.float();
  }

  /** L-55. */
  intervalMs(isGood: boolean, transition: HealthTransition): number {
    const { intervals } = this.config;
    const isPending = transition === "pending";
    let base;
    if (!this.#deps.hasTraffic()) base = isGood && !isPending ? intervals.noTrafficHealthyMs : intervals.noTrafficMs;
    else if (isGood) base = isPending ? intervals.healthyEdgeMs : intervals.healthyMs;
    else base = isPending ? intervals.unhealthyEdgeMs : intervals.unhealthyMs;
    const spread = Math.floor((base * intervals.jitterPercent) / 100);
    const jitter = (upTo: number): number => (upTo === 0 ? 0 : Math.floor(this.random() * upTo));
    return Math.max(1, base + jitter(spread) + jitter(intervals.jitterMs));
  }

  countHealthy(by: 1 | -1): void {
    this.stats.healthy.add(by);
  }

  /** Differs from Envoy: 1.40 forgets to count down when a host is degraded no longer. */
  countDegraded(by: 1 | -1): void {
    this.stats.degraded.add(by);
  }

  log(event: HealthEvent, host: UpstreamHost): void {
    const { eventLogs, check } = this.config;
    if (eventLogs.length === 0) return;
    const line = healthEventLine(event, host, check.kind.toUpperCase(), this.#deps.clusterName, this.clock.now());
    for (const path of eventLogs) this.#deps.writeLine(path, line);
  }
}

class HealthCheckStats {
  readonly attempt: Counter;
  readonly success: Counter;
  readonly failure: Counter;
  readonly passiveFailure: Counter;
  readonly networkFailure: Counter;
  readonly verifyCluster: Counter;
  readonly healthy: Gauge;
  readonly degraded: Gauge;

  constructor(scope: StatsScope) {
    this.attempt = scope.counter("attempt");
    this.success = scope.counter("success");
    this.failure = scope.counter("failure");
    this.passiveFailure = scope.counter("passive_failure");
    this.networkFailure = scope.counter("network_failure");
    this.verifyCluster = scope.counter("verify_cluster");
    this.healthy = scope.gauge("healthy");
    this.degraded = scope.gauge("degraded");
  }
}
