/** Where an endpoint is, seen from a proxy: priorities and weights (rules 47–49). */
import type { MeshConfig } from "../model/mesh-config.ts";
import type { ServiceModel, WorkloadInstance } from "../model/service.ts";
import type { ScopedService } from "./scope.ts";
import type { LocalityLbSetting } from "./spec/destination-rule.ts";
import type { EffectivePolicy } from "./traffic-policy.ts";

export type Locality = WorkloadInstance["locality"];

/** How endpoints are set apart by where they are; undefined: not at all. */
export interface LocalityPlan {
  readonly setting: LocalityLbSetting;
  /** Priorities hold without outlier detection, and localities are weighted: a Service's `trafficDistribution`. */
  readonly isForced: boolean;
  readonly usesPriorities: boolean;
  /** Endpoints that fail are ejected. */
  readonly hasOutlier: boolean;
}

/** DestinationRule, then the Service's traffic distribution, then the mesh. */
export function localityPlan(
  service: ScopedService,
  policy: EffectivePolicy,
  meshConfig: MeshConfig,
): LocalityPlan | undefined {
  const own = policy.loadBalancer?.localityLbSetting;
  const ofMesh = (meshConfig.raw["localityLbSetting"] ?? {}) as LocalityLbSetting;
  const hasOutlier = policy.outlierDetection !== undefined;
  if (own !== undefined) {
    if (own.enabled === false) return undefined;
    return planOf(own, hasOutlier, false);
  }
  const distribution = trafficDistribution(service.model);
  if (distribution !== undefined) return planOf({ failoverPriority: distribution }, hasOutlier, true);
  if (ofMesh.enabled === false) return undefined;
  return planOf(ofMesh, hasOutlier, false);
}

function planOf(setting: LocalityLbSetting, hasOutlier: boolean, isForced: boolean): LocalityPlan {
  const distributes = (setting.distribute ?? []).length > 0;
  return { setting, isForced, hasOutlier, usesPriorities: !distributes && (hasOutlier || isForced) };
}

export function weightsLocalities(plan: LocalityPlan | undefined): boolean {
  if (plan === undefined) return false;
  const { distribute = [], failover = [], failoverPriority = [] } = plan.setting;
  const failsOver = plan.hasOutlier && failover.length + failoverPriority.length > 0;
  return distribute.length > 0 || plan.isForced || failsOver;
}

/** `spec.trafficDistribution`, or the annotation that says the same for a ServiceEntry. */
function trafficDistribution(model: ServiceModel): readonly string[] | undefined {
  const spec = (model.object.spec ?? {}) as { readonly trafficDistribution?: unknown };
  const written = model.object.metadata.annotations["networking.istio.io/traffic-distribution"];
  const value = written ?? (model.origin === "kubernetes" ? spec.trafficDistribution : undefined);
  switch (typeof value === "string" ? value.toLowerCase() : "") {
    case "preferclose":
    case "prefersamezone":
      return ["topology.istio.io/network", REGION, ZONE];
    case "prefersamenode":
      return ["topology.istio.io/network", REGION, ZONE, SUBZONE, "kubernetes.io/hostname"];
    case "preferregion":
    case "prefersameregion":
      return ["topology.istio.io/network", REGION];
    default:
      return undefined;
  }
}

export const REGION = "topology.kubernetes.io/region";
export const ZONE = "topology.kubernetes.io/zone";
export const SUBZONE = "topology.istio.io/subzone";

/** Weights by locality: the first `from` that holds the proxy's locality; undefined when none does (rule 48). */
export function distributedWeights<G extends { readonly locality: Locality; readonly weight: number }>(
  setting: LocalityLbSetting,
  from: Locality,
  groups: readonly G[],
): ReadonlyMap<G, number> | undefined {
  const rule = setting.distribute?.find((item) => localityMatches(from, item.from ?? ""));
  if (rule === undefined) return undefined;
  const weights = new Map<G, number>();
  for (const [pattern, percent] of Object.entries(rule.to ?? {})) {
    const matched = groups.filter((group) => !weights.has(group) && localityMatches(group.locality, pattern));
    const total = matched.reduce((sum, group) => sum + group.weight, 0);
    for (const group of matched) weights.set(group, Math.ceil((percent * group.weight) / total));
  }
  return weights;
}

/** `r1/z1/*`, `r1`, `*`. */
export function localityMatches(locality: Locality, pattern: string): boolean {
  if (pattern === "*") return true;
  const parts = pattern.split("/");
  const own = [locality.region, locality.zone, locality.subZone];
  return parts.every((part, index) => part === "*" || part === "" || part === own[index]);
}

/** Subzone 0, zone 1, region 2, elsewhere 3, 4 where `failover` prefers another region. */
export function failoverPriority(setting: LocalityLbSetting, from: Locality, to: Locality): number {
  if (to.region === from.region) {
    if (to.zone !== from.zone) return 2;
    return to.subZone === from.subZone ? 0 : 1;
  }
  const rule = setting.failover?.find((item) => item.from === from.region);
  return rule !== undefined && rule.to !== to.region ? 4 : 3;
}

/** The first label that differs decides; all the same is 0 (rule 49). */
export function labelPriority(
  keys: readonly string[],
  from: Readonly<Record<string, string>>,
  to: Readonly<Record<string, string>>,
): number {
  for (const [index, key] of keys.entries()) {
    const equals = key.indexOf("=");
    const name = equals < 0 ? key : key.slice(0, equals);
    const wanted = equals < 0 ? (from[name] ?? "") : key.slice(equals + 1);
    if ((to[name] ?? "") !== wanted) return keys.length - index;
  }
  return 0;
}
