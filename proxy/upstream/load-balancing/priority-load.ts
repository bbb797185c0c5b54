/** How load is spread over priorities, and which of them panic (L-01 … L-10). Pure, in Envoy's integer arithmetic. */

/** Counts of one priority (or sums of weights with `weighted_priority_health`). */
export interface PriorityCounts {
  readonly hosts: number;
  readonly healthy: number;
  readonly degraded: number;
  readonly excluded: number;
}

export interface PriorityLoadOptions {
  /** Percent; 140 when absent. */
  readonly overprovisioningFactor: number;
  /** Percent; 50 when absent, 0 switches panic off. */
  readonly panicThreshold: number;
}

export interface PriorityLoad {
  /** Percent of load on the healthy hosts of each priority. */
  readonly healthy: readonly number[];
  /** Percent on the degraded ones. Both together make 100. */
  readonly degraded: readonly number[];
  readonly panic: readonly boolean[];
}

/** `counts` decide about panic; `shares` (the same, but for weighted health) about load. */
export function priorityLoad(
  counts: readonly PriorityCounts[],
  options: PriorityLoadOptions,
  shares: readonly PriorityCounts[] = counts,
): PriorityLoad {
  const factor = options.overprovisioningFactor;
  const health = shares.map((level) => availability(level, level.healthy, factor));
  const degradation = shares.map((level) => availability(level, level.degraded, factor));
  const total = Math.min(100, sum(health) + sum(degradation));
  const healthy = counts.map(() => 0);
  const degraded = counts.map(() => 0);
  if (total > 0) {
    let rest = spread(healthy, health, 100, total);
    rest = spread(degraded, degradation, rest, total);
    const first = health.findIndex((percent) => percent > 0);
    if (first >= 0) healthy[first] = (healthy[first] as number) + rest;
    else {
      const firstDegraded = degradation.findIndex((percent) => percent > 0);
      degraded[firstDegraded] = (degraded[firstDegraded] as number) + rest;
    }
  }
  if (options.panicThreshold === 0 && total === 0) {
    if (healthy.length > 0) healthy[0] = 100;
    return { healthy, degraded, panic: counts.map(() => false) };
  }
  const panic = counts.map((level) => total < 100 && isInPanic(level, options.panicThreshold));
  if (panic.length > 0 && panic.every(Boolean)) return { ...loadInTotalPanic(counts), panic };
  return { healthy, degraded, panic };
}

/** The priority for a value of 1 to 100. */
export function priorityAt(
  load: PriorityLoad,
  value: number,
): { readonly priority: number; readonly isDegraded: boolean } {
  let reached = 0;
  for (let priority = 0; priority < load.healthy.length; priority++) {
    reached += load.healthy[priority] as number;
    if (value <= reached) return { priority, isDegraded: false };
  }
  for (let priority = 0; priority < load.degraded.length; priority++) {
    reached += load.degraded[priority] as number;
    if (value <= reached) return { priority, isDegraded: true };
  }
  return { priority: 0, isDegraded: false };
}

function availability({ hosts, excluded }: PriorityCounts, available: number, factor: number): number {
  const eligible = hosts - excluded;
  return eligible <= 0 ? 0 : Math.min(100, Math.floor((factor * available) / eligible));
}

/** Returns what is left of `load`. */
function spread(to: number[], percents: readonly number[], load: number, total: number): number {
  let rest = load;
  for (const [priority, percent] of percents.entries()) {
    const share = Math.min(rest, Math.floor((percent * 100) / total));
    to[priority] = share;
    rest -= share;
  }
  return rest;
}

/** Whether too few of the hosts are available. */
export function isInPanic({ hosts, excluded, healthy, degraded }: PriorityCounts, threshold: number): boolean {
  const eligible = hosts - excluded;
  const percent = eligible <= 0 ? 0 : (100 * healthy) / eligible + (100 * degraded) / eligible;
  return percent < Math.min(100, threshold);
}

function loadInTotalPanic(counts: readonly PriorityCounts[]): Pick<PriorityLoad, "healthy" | "degraded"> {
  const degraded = counts.map(() => 0);
  const total = sum(counts.map((level) => level.hosts));
  if (total === 0) return { healthy: counts.map((_level, index) => (index === 0 ? 100 : 0)), degraded };
  const healthy = counts.map((level) => Math.floor((100 * level.hosts) / total));
  const first = counts.findIndex((level) => level.hosts > 0);
  healthy[first] = (healthy[first] as number) + 100 - sum(healthy);
  return { healthy, degraded };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
