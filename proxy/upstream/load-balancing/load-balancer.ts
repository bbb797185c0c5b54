/** Chooses the host of an attempt: priority, then health, then locality, then the policy (§7.1 – 7.3). */
import type { Counter } from "../../observability/stats.ts";
import type { UpstreamHost } from "../host.ts";
import type { HostSet, LocalitySet } from "../host-set.ts";
import type { LbContext } from "../types.ts";
import { EdfScheduler } from "./edf-scheduler.ts";
import {
  pickZone,
  planZones,
  type LocalCluster,
  type ZoneAwareConfig,
  type ZoneCounter,
  type ZonePlan,
} from "./zone-aware.ts";
import type { HostPicker, PickerContext, PickerFactory } from "./host-picker.ts";
import { isInPanic, priorityAt, priorityLoad, type PriorityCounts, type PriorityLoad } from "./priority-load.ts";

const noZones: ZonePlan = { kind: "none" };

/** Keeps the balancing state of one cluster. `update` gets the whole host sets, `choose` one request. */
export interface LoadBalancer {
  update(levels: readonly HostSet[], overprovisioningFactor: number): void;
  /** undefined: no healthy upstream. */
  choose(context: LbContext): UpstreamHost | undefined;
}

export interface LoadBalancerOptions extends PickerContext {
  /** Percent; 0 switches panic off. */
  readonly panicThreshold: number;
  readonly failTrafficOnPanic: boolean;
  readonly isLocalityWeighted: boolean;
  readonly usesWeightedPriorityHealth: () => boolean;
  /** `lb_healthy_panic`. */
  readonly countPanic: () => Counter;
  /** Undefined: localities are not told apart, or have weights. */
  readonly zoneAware?: ZoneAwareConfig | undefined;
  /** Undefined: the bootstrap names none, and there is no zone aware routing. */
  readonly local?: LocalCluster | undefined;
  readonly countZone?: (name: ZoneCounter) => void;
}

type Availability = "healthy" | "degraded" | "all";

/** Per-request balancing over lists of hosts: ROUND_ROBIN, LEAST_REQUEST, RANDOM. */
export class ListLoadBalancer implements LoadBalancer {
  readonly #factory: PickerFactory;
  readonly #options: LoadBalancerOptions;
  #levels: readonly Level[] = [];
  #sets: readonly HostSet[] = [];
  #load: PriorityLoad = { healthy: [], degraded: [], panic: [] };
  #factor = 140;
  /** The level that takes every request, where there is just one that does. */
  #only: Level | undefined = undefined;
  #zones: ZonePlan = noZones;
  #localVersion = -1;

  constructor(factory: PickerFactory, options: LoadBalancerOptions) {
    this.#factory = factory;
    this.#options = options;
  }

  update(levels: readonly HostSet[], overprovisioningFactor: number): void {
    this.#sets = levels;
    this.#factor = overprovisioningFactor;
    this.#load = loadOf(levels, overprovisioningFactor, this.#options);
    this.#levels = levels.map(
      (set) => new Level(set, this.#factory, this.#options.isLocalityWeighted, overprovisioningFactor),
    );
    this.#planZones();
    const first = this.#load.healthy.indexOf(100);
    const isZoned = first === 0 && this.#options.local !== undefined && this.#options.zoneAware !== undefined;
    this.#only = !isZoned && first >= 0 && this.#load.panic[first] !== true ? this.#levels[first] : undefined;
  }

  choose(context: LbContext): UpstreamHost | undefined {
    const host = this.#once(context);
    if (host === undefined || context.shouldSelectAnotherHost === undefined) return host;
    return pickAgain(context, host, () => this.#once(context));
  }

  #once(context: LbContext): UpstreamHost | undefined {
    if (this.#only !== undefined && context.triedPriorities === undefined) return this.#only.pick("healthy");
    const load =
      context.triedPriorities === undefined
        ? this.#load
        : loadWithout(context.triedPriorities, this.#sets, this.#factor, this.#options, this.#load);
    const { priority, isDegraded } = priorityAt(load, (this.#options.random.uint32() % 100) + 1);
    const level = this.#levels[priority];
    if (level === undefined) return undefined;
    if (load.panic[priority] === true) {
      this.#options.countPanic().inc();
      return this.#options.failTrafficOnPanic ? undefined : level.pick("all");
    }
    if (priority === 0 && !isDegraded && this.#options.local !== undefined) return this.#pickInZone(level);
    return level.pick(isDegraded ? "degraded" : "healthy");
  }

  #planZones(): void {
    const { local, zoneAware, countZone } = this.#options;
    const [set] = this.#sets;
    this.#zones = noZones;
    if (local === undefined || zoneAware === undefined || set === undefined) return;
    this.#localVersion = local.version;
    countZone?.("lb_recalculate_zone_structures");
    const hosts = local.hosts();
    this.#zones =
      hosts === undefined
        ? { kind: "none", reason: "lb_local_cluster_not_ok" }
        : planZones(set, hosts, local.locality, zoneAware);
    if (this.#zones.kind === "none" && this.#zones.reason !== undefined) countZone?.(this.#zones.reason);
  }

  #pickInZone(level: Level): UpstreamHost | undefined {
    const { local, zoneAware, random, countZone, failTrafficOnPanic, panicThreshold } = this.#options;
    if (local === undefined || zoneAware === undefined) return level.pick("healthy");
    if (local.version !== this.#localVersion) this.#planZones();
    const zones = this.#zones;
    if (zones.kind === "none") return level.pick("healthy");
    if (zoneAware.routingEnabled < 100 && random.uint32() % 100 >= zoneAware.routingEnabled)
      return level.pick("healthy");
    const hosts = local.hosts();
    if (hosts === undefined || isInPanic(countsOf(hosts), panicThreshold)) {
      countZone?.("lb_local_cluster_not_ok");
      return failTrafficOnPanic ? undefined : level.pick("all");
    }
    return level.pickIn(pickZone(zones, random, (name) => countZone?.(name)));
  }
}

/** Picks again while the retry policy objects and attempts are left; then the last pick stands (L-29). */
export function pickAgain(
  context: LbContext,
  first: UpstreamHost,
  pick: (attempt: number) => UpstreamHost | undefined,
): UpstreamHost | undefined {
  let host: UpstreamHost | undefined = first;
  const attempts = context.hostSelectionRetryMaxAttempts ?? 0;
  for (let attempt = 1; attempt <= attempts; attempt++) {
    if (host === undefined || context.shouldSelectAnotherHost?.(host) !== true) return host;
    host = pick(attempt);
  }
  return host;
}

/** The load of a list of host sets. */
export function loadOf(
  levels: readonly HostSet[],
  overprovisioningFactor: number,
  options: Pick<LoadBalancerOptions, "panicThreshold" | "usesWeightedPriorityHealth">,
): PriorityLoad {
  const counts = levels.map(countsOf);
  const settings = { overprovisioningFactor, panicThreshold: options.panicThreshold };
  return priorityLoad(counts, settings, options.usesWeightedPriorityHealth() ? levels.map(weightsOf) : counts);
}

/** Load with some priorities left out; when that leaves none, nothing is left out (L-10). */
export function loadWithout(
  tried: readonly number[],
  levels: readonly HostSet[],
  overprovisioningFactor: number,
  options: Pick<LoadBalancerOptions, "panicThreshold" | "usesWeightedPriorityHealth">,
  otherwise: PriorityLoad,
): PriorityLoad {
  const left = levels.map((set) => (tried.includes(set.priority) ? { ...set, healthy: [], degraded: [] } : set));
  if (left.every((set) => set.healthy.length + set.degraded.length === 0)) return otherwise;
  return loadOf(left, overprovisioningFactor, options);
}

function countsOf(set: HostSet): PriorityCounts {
  return {
    hosts: set.hosts.length,
    healthy: set.healthy.length,
    degraded: set.degraded.length,
    excluded: set.excluded.length,
  };
}

function weightsOf(set: HostSet): PriorityCounts {
  const sum = (hosts: readonly UpstreamHost[]): number => hosts.reduce((total, host) => total + host.weight, 0);
  return { hosts: sum(set.hosts), healthy: sum(set.healthy), degraded: sum(set.degraded), excluded: sum(set.excluded) };
}

/** Pickers of one priority, made when they are first needed. */
class Level {
  readonly #set: HostSet;
  readonly #factory: PickerFactory;
  readonly #zones = new Map<LocalitySet, HostPicker>();
  readonly #localities: Record<Availability, LocalityPicker | undefined> | undefined;
  readonly #pickers: Record<Availability, HostPicker | undefined> = {
    healthy: undefined,
    degraded: undefined,
    all: undefined,
  };

  constructor(set: HostSet, factory: PickerFactory, isLocalityWeighted: boolean, overprovisioningFactor: number) {
    this.#set = set;
    this.#factory = factory;
    if (!isLocalityWeighted) return;
    const picker = (availability: Availability): LocalityPicker | undefined =>
      localityPicker(set.localities, availability, factory, overprovisioningFactor);
    this.#localities = { healthy: picker("healthy"), degraded: picker("degraded"), all: undefined };
  }

  /** A healthy host of one locality. */
  pickIn(locality: LocalitySet): UpstreamHost | undefined {
    let picker = this.#zones.get(locality);
    if (picker === undefined) {
      picker = locality.healthy.length === 0 ? noPicker : this.#factory(locality.healthy);
      this.#zones.set(locality, picker);
    }
    return picker.pick();
  }

  pick(availability: Availability): UpstreamHost | undefined {
    const localities = this.#localities?.[availability];
    if (localities !== undefined) return localities.pick();
    let picker = this.#pickers[availability];
    if (picker === undefined) {
      const hosts = availability === "all" ? this.#set.hosts : this.#set[availability];
      picker = hosts.length === 0 ? noPicker : this.#factory(hosts);
      this.#pickers[availability] = picker;
    }
    return picker.pick();
  }
}

const noPicker: HostPicker = { pick: () => undefined };

interface LocalityPicker {
  pick(): UpstreamHost | undefined;
}

interface WeightedLocality {
  readonly weight: number;
  readonly picker: HostPicker;
}

/** Localities by their effective weights (L-11, L-12); undefined where none has a weight. */
function localityPicker(
  localities: readonly LocalitySet[],
  availability: "healthy" | "degraded" | "all",
  factory: PickerFactory,
  overprovisioningFactor: number,
): LocalityPicker | undefined {
  const scheduler = new EdfScheduler<WeightedLocality>();
  for (const locality of localities) {
    const available = availability === "all" ? locality.hosts : locality[availability];
    if (available.length === 0 || locality.weight === 0) continue;
    const ratio = Math.min(1, ((overprovisioningFactor / 100) * available.length) / locality.hosts.length);
    const entry = { weight: locality.weight * ratio, picker: factory(available) };
    scheduler.add(entry, entry.weight);
  }
  if (scheduler.size === 0) return undefined;
  return { pick: () => scheduler.pick((locality) => locality.weight)?.picker.pick() };
}
