import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { simulatedRuntime, type SimulatedRuntime } from "#lib/simulated-runtime.ts";
import { createStatsStore, type StatsStore } from "../../observability/stats-store.ts";
import type { UpstreamHost } from "../host.ts";
import { hostAt } from "../testing/hosts.ts";
import { createWorld, staticCluster, TestServer } from "../testing/world.ts";
import { OutlierDetector } from "./outlier-detector.ts";
import { outlierDefaults, type OutlierConfig } from "./outlier-config.ts";
import { successRateThreshold } from "./success-rate.ts";

interface Setup {
  readonly runtime: SimulatedRuntime;
  readonly store: StatsStore;
  readonly detector: OutlierDetector;
  readonly hosts: readonly UpstreamHost[];
  readonly stat: (name: string) => number;
  readonly ejected: () => string[];
}

function setUp(count: number, config: Partial<OutlierConfig> = {}): Setup {
  const runtime = simulatedRuntime({ seed: 3 });
  const store = createStatsStore();
  const detector = new OutlierDetector(
    { ...outlierDefaults, ...config },
    { clock: runtime.clock, random: runtime.random, scope: store.root.scope("cluster.c"), onChange: () => {} },
  );
  const hosts = Array.from({ length: count }, (_value, index) => hostAt(`10.0.0.${index + 1}:80`));
  detector.updateHosts(hosts);
  const stat = (name: string): number =>
    [...store.counters(), ...store.gauges()].find((one) => one.name === `cluster.c.outlier_detection.${name}`)?.value ??
    0;
  const ejected = (): string[] => hosts.filter((host) => host.health === "unhealthy").map((host) => host.addressText);
  return { runtime, store, detector, hosts, stat, ejected };
}

function put(host: UpstreamHost | undefined, status: number, times = 1): void {
  for (let i = 0; i < times; i++) host?.outlier.putHttpStatus(status);
}

describe("outlier detection", () => {
  test("L-32: a run of 5xx ejects; a success in between starts the run anew", () => {
    const { hosts, stat, ejected } = setUp(2, { maxEjectionPercent: 100 });
    put(hosts[0], 500, 4);
    put(hosts[0], 200);
    put(hosts[0], 503, 4);
    expect(ejected()).toEqual([]);
    put(hosts[0], 500);
    expect(ejected()).toEqual(["10.0.0.1:80"]);
    expect(hosts[0]?.healthFlags).toBe("/failed_outlier_check");
    expect(stat("ejections_detected_consecutive_5xx")).toBe(1);
    expect(stat("ejections_enforced_consecutive_5xx")).toBe(1);
    expect(stat("ejections_enforced_total")).toBe(1);
    expect(stat("ejections_active")).toBe(1);
  });

  test("L-32: gateway failures have a run of their own, which another 5xx ends", () => {
    const { hosts, stat, ejected } = setUp(2, {
      maxEjectionPercent: 100,
      consecutive5xx: 100,
      consecutiveGatewayFailure: 3,
      enforcingConsecutiveGatewayFailure: 100,
    });
    put(hosts[0], 502, 2);
    put(hosts[0], 500);
    put(hosts[0], 504, 2);
    expect(ejected()).toEqual([]);
    put(hosts[0], 503);
    expect(ejected()).toEqual(["10.0.0.1:80"]);
    expect(stat("ejections_enforced_consecutive_gateway_failure")).toBe(1);
  });

  test("L-33: without the split, local failures count as 503 and 504", () => {
    const { hosts, ejected } = setUp(2, { maxEjectionPercent: 100 });
    for (const result of ["connect-failed", "reset", "timeout", "connect-timeout"] as const)
      hosts[0]?.outlier.putLocalOrigin(result);
    hosts[0]?.outlier.putLocalOrigin("connect-success");
    expect(ejected()).toEqual([]);
    hosts[0]?.outlier.putLocalOrigin("reset");
    expect(ejected()).toEqual(["10.0.0.1:80"]);
  });

  test("L-37: with the split they have a detector of their own", () => {
    const { hosts, stat, ejected } = setUp(2, { maxEjectionPercent: 100, splitExternalLocalOriginErrors: true });
    for (let i = 0; i < 4; i++) hosts[0]?.outlier.putLocalOrigin("connect-failed");
    hosts[0]?.outlier.putLocalOrigin("connect-success");
    put(hosts[0], 500, 4);
    for (let i = 0; i < 4; i++) hosts[0]?.outlier.putLocalOrigin("reset");
    expect(ejected()).toEqual([]);
    hosts[0]?.outlier.putLocalOrigin("timeout");
    expect(ejected()).toEqual(["10.0.0.1:80"]);
    expect(stat("ejections_enforced_consecutive_local_origin_failure")).toBe(1);
  });

  test("L-34: what is not enforced is counted, and the run starts anew", () => {
    const { hosts, stat, ejected } = setUp(2, { maxEjectionPercent: 100, enforcingConsecutive5xx: 0 });
    put(hosts[0], 500, 12);
    expect(ejected()).toEqual([]);
    expect(stat("ejections_detected_consecutive_5xx")).toBe(2);
    expect(stat("ejections_enforced_total")).toBe(0);
  });

  test("L-39, L-41: an ejected host returns at the first tick after its time, with clean counts", async () => {
    const { runtime, hosts, ejected, stat } = setUp(2, { maxEjectionPercent: 100 });
    put(hosts[0], 500, 5);
    await runtime.advance(29_000);
    expect(ejected()).toHaveLength(1);
    await runtime.advance(1500);
    expect(ejected()).toHaveLength(0);
    expect(stat("ejections_active")).toBe(0);
    put(hosts[0], 500, 4);
    expect(ejected()).toHaveLength(0);
  });

  test("L-39: jitter makes it longer, by at most max_ejection_time_jitter", async () => {
    const { runtime, hosts, ejected } = setUp(1, {
      maxEjectionPercent: 100,
      maxEjectionTimeJitterMs: 5000,
      intervalMs: 1000,
    });
    put(hosts[0], 500, 5);
    await runtime.advance(29_500);
    expect(ejected()).toHaveLength(1);
    await runtime.advance(7000);
    expect(ejected()).toHaveLength(0);
  });

  test("L-42: a host that leaves while it is ejected is not counted any more", () => {
    const { detector, hosts, stat } = setUp(2, { maxEjectionPercent: 100 });
    put(hosts[0], 500, 5);
    expect(stat("ejections_active")).toBe(1);
    detector.updateHosts(hosts.slice(1));
    expect(stat("ejections_active")).toBe(0);
    put(hosts[0], 500, 5);
    expect(stat("ejections_active")).toBe(0);
  });

  test("L-37: local origin success rate", async () => {
    const { runtime, hosts, ejected, stat } = setUp(5, {
      maxEjectionPercent: 100,
      splitExternalLocalOriginErrors: true,
      consecutiveLocalOriginFailure: 1_000_000,
    });
    for (const [index, host] of hosts.entries()) {
      for (let i = 0; i < 200; i++)
        host.outlier.putLocalOrigin(index === 4 && i % 2 === 0 ? "connect-failed" : "connect-success");
    }
    await runtime.advance(10_100);
    expect(ejected()).toEqual(["10.0.0.5:80"]);
    expect(stat("ejections_enforced_local_origin_success_rate")).toBe(1);
  });

  test("L-42: the balancer leaves an ejected host out, and takes it back", async () => {
    const world = createWorld();
    await TestServer.listen(world.runtime, "10.0.0.1", 80);
    await TestServer.listen(world.runtime, "10.0.0.2", 80);
    world.add(staticCluster("c", ["10.0.0.1:80", "10.0.0.2:80"], { outlierDetection: { maxEjectionPercent: 50 } }));
    const cluster = world.cluster("c");
    const [bad] = [...cluster.hosts()];
    put(bad, 503, 5);
    expect(world.gauge("cluster.c.membership_healthy")).toBe(1);
    for (let i = 0; i < 6; i++) expect(cluster.chooseHost({})?.addressText).toBe("10.0.0.2:80");
    await world.runtime.advance(31_000);
    expect(world.gauge("cluster.c.membership_healthy")).toBe(2);
    const chosen = new Set([1, 2, 3, 4].map(() => cluster.chooseHost({})));
    expect(chosen.size).toBe(2);
  });
});

const folder = join(import.meta.dirname, "../../../../shared/vectors");
const isThere = existsSync(folder);
if (!isThere) console.log("skipped: the vectors folder is not beside the checkout");

interface Scenarios {
  readonly defaults: Record<string, number | boolean>;
  readonly success_rate_threshold: { rates: number[]; factor: number; mean: number; threshold: number };
  readonly max_ejection_percent: {
    max_ejection_percent: number;
    always_eject_one_host?: boolean;
    hosts: number;
    all_fail_5xx: number;
    ejected: number;
  }[];
  readonly eject_time_backoff: { base_s: number; interval_s: number; timeline: [number | string, string][] };
}

describe.skipIf(!isThere)("outlier scenarios", () => {
  const scenarios = isThere
    ? (JSON.parse(readFileSync(join(folder, "outlier_scenarios.json"), "utf8")) as Scenarios)
    : ({} as Scenarios);

  test("defaults", () => {
    const camel = (name: string): string =>
      name.replace(/_([a-z0-9])/g, (_whole, letter: string) => letter.toUpperCase());
    const ours = outlierDefaults as unknown as Record<string, unknown>;
    for (const [name, value] of Object.entries(scenarios.defaults))
      expect([name, ours[camel(name)]]).toEqual([name, value]);
  });

  test("L-35: threshold", () => {
    const { rates, factor, mean, threshold } = scenarios.success_rate_threshold;
    expect(successRateThreshold(rates, factor)).toEqual({ mean, threshold });
  });

  test("L-35: a host below the mean is ejected at the interval; the others stay", async () => {
    const { runtime, hosts, ejected, stat, detector } = setUp(5, {
      maxEjectionPercent: 100,
      enforcingConsecutive5xx: 0,
    });
    for (const host of hosts) put(host, 200, 200);
    put(hosts[4], 503, 200);
    expect(stat("ejections_detected_consecutive_5xx")).toBe(40);
    await runtime.advance(10_100);
    expect(ejected()).toEqual(["10.0.0.5:80"]);
    expect(detector.external).toEqual({ average: 90, threshold: 52 });
    expect(detector.monitorOf(hosts[4] as UpstreamHost)?.successRate).toBe(50);
    expect(stat("ejections_enforced_success_rate")).toBe(1);
  });

  test("L-36: failure percentage", async () => {
    const { runtime, hosts, ejected, stat } = setUp(5, {
      maxEjectionPercent: 100,
      enforcingConsecutive5xx: 0,
      enforcingSuccessRate: 0,
      enforcingFailurePercentage: 100,
    });
    for (const host of hosts) put(host, 200, 50);
    put(hosts[3], 503, 250);
    put(hosts[4], 503, 300);
    await runtime.advance(10_100);
    expect(ejected()).toEqual(["10.0.0.5:80"]);
    expect(stat("ejections_enforced_failure_percentage")).toBe(1);
  });

  test.each((scenarios.max_ejection_percent ?? []).map((row) => [JSON.stringify(row), row] as const))(
    "L-38: %s",
    (_name, row) => {
      const { hosts, ejected, stat } = setUp(row.hosts, {
        maxEjectionPercent: row.max_ejection_percent,
        alwaysEjectOneHost: row.always_eject_one_host ?? false,
      });
      for (const host of hosts) put(host, 500, row.all_fail_5xx);
      expect(ejected()).toHaveLength(row.ejected);
      expect(stat("ejections_overflow")).toBe(row.hosts - row.ejected);
    },
  );

  test("L-39, L-40: ejection times grow with each ejection and shrink with each healthy interval", async () => {
    const { base_s: baseS, interval_s: intervalS } = scenarios.eject_time_backoff;
    const { runtime, hosts, ejected } = setUp(1, {
      maxEjectionPercent: 100,
      baseEjectionTimeMs: baseS * 1000,
      intervalMs: intervalS * 1000,
    });
    let at = 0;
    for (const [when, what] of scenarios.eject_time_backoff.timeline) {
      if (typeof when === "string") {
        await runtime.advance(600_000 - at * 1000);
        at = 600;
        expect([when, ejected().length]).toEqual([when, 0]);
        continue;
      }
      await runtime.advance((when - at) * 1000);
      at = when;
      if (what === "eject") put(hosts[0], 500, 5);
      const isEjected = what === "eject" || what.startsWith("still");
      expect([when, what, ejected().length]).toEqual([when, what, isEjected ? 1 : 0]);
    }
  });

  test("L-39: never longer than max_ejection_time, or base where that is more", async () => {
    const { runtime, hosts, ejected, detector } = setUp(1, {
      maxEjectionPercent: 100,
      baseEjectionTimeMs: 10_000,
      maxEjectionTimeMs: 300_000,
    });
    for (let i = 0; i < 40; i++) {
      put(hosts[0], 500, 5);
      let waited = 0;
      while (ejected().length > 0) {
        await runtime.advance(10_000);
        waited += 10;
      }
      expect(waited).toBeLessThanOrEqual(310);
    }
    expect(detector.monitorOf(hosts[0] as UpstreamHost)?.numEjections).toBe(40);
  });
});
