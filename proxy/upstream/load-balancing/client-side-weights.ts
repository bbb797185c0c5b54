/** `client_side_weighted_round_robin`: hosts by the load that they report of themselves (gRFC A58). */
import type { UpstreamHost } from "../host.ts";
import { edfPicker, type PickerContext, type PickerFactory } from "./host-picker.ts";
import { orcaReportOf, type OrcaReport } from "./orca-report.ts";
import { slowStartFactor, type SlowStartConfig } from "./slow-start.ts";

export interface ClientSideWeightedConfig {
  readonly kind: "client-side-weighted-round-robin";
  /** A host's reports count when they have come for this long. */
  readonly blackoutMs: number;
  /** A host that has not reported for this long has no weight of its own. */
  readonly expirationMs: number;
  /** Weights are looked at this often. */
  readonly updateMs: number;
  readonly errorPenalty: number;
  /** Where the utilization is read when `application_utilization` is 0; then `cpu_utilization`. */
  readonly metricNames: readonly string[];
  readonly slowStart: SlowStartConfig | undefined;
}

interface Reported {
  weight: number;
  /** Monotonic time of the first report after a silence. */
  since: number;
  lastAt: number;
}

/** Requests a second for each unit of utilization; undefined where a report says nothing of use. */
export function weightOfReport(report: OrcaReport, config: ClientSideWeightedConfig): number | undefined {
  if (report.rps <= 0) return undefined;
  const named = Math.max(0, ...config.metricNames.map((name) => report.named.get(name) ?? 0));
  const base = report.applicationUtilization || named || report.cpuUtilization;
  const utilization = base + (config.errorPenalty * report.eps) / report.rps;
  return utilization <= 0 ? undefined : report.rps / utilization;
}

export function clientSideWeighted(config: ClientSideWeightedConfig, { random, now }: PickerContext): PickerFactory {
  const reports = new WeakMap<UpstreamHost, Reported>();
  const listen = (host: UpstreamHost): void => {
    host.onLoadReport ??= (headers) => {
      const report = orcaReportOf(headers);
      const weight = report === undefined ? undefined : weightOfReport(report, config);
      if (weight === undefined) return;
      const at = now();
      const known = reports.get(host);
      const isFresh = known === undefined || at - known.lastAt > config.expirationMs;
      reports.set(host, { weight, since: isFresh ? at : known.since, lastAt: at });
    };
  };
  return (hosts) => {
    for (const host of hosts) listen(host);
    let updatedAt = -Infinity;
    let weights = new Map<UpstreamHost, number>();
    let others = 1;
    const update = (at: number): void => {
      updatedAt = at;
      weights = new Map();
      for (const host of hosts) {
        const report = reports.get(host);
        if (report === undefined || at - report.lastAt > config.expirationMs) continue;
        if (at - report.since >= config.blackoutMs) weights.set(host, report.weight);
      }
      // Whoever has no weight of his own is taken for an average one.
      others = median([...weights.values()]) ?? 1;
    };
    return edfPicker(hosts, random, (host) => {
      const at = now();
      if (at - updatedAt >= config.updateMs) update(at);
      const weight = weights.get(host) ?? others;
      const { slowStart } = config;
      if (slowStart === undefined || slowStart.windowMs === 0) return weight;
      return weight * slowStartFactor(slowStart, at - host.healthySince);
    });
  };
}

function median(values: readonly number[]): number | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle];
  if (upper === undefined) return undefined;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}
