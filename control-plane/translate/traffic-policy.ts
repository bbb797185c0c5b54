/** The traffic policy that holds for one (host, subset, port): rules 42 and 43. */
import type { MeshConfig } from "../model/mesh-config.ts";
import type { DestinationRule } from "./destination-rule.ts";
import type { ClientTls, PolicyBlocks, TrafficPolicy } from "./spec/destination-rule.ts";

/** The blocks that are set, after inheritance. */
export type EffectivePolicy = PolicyBlocks & Pick<TrafficPolicy, "tunnel" | "proxyProtocol" | "retryBudget">;

const BLOCKS = ["connectionPool", "outlierDetection", "loadBalancer", "tls"] as const;

export function effectivePolicy(
  rule: DestinationRule | undefined,
  subsetName: string,
  port: number,
  meshConfig: MeshConfig,
): EffectivePolicy {
  const top = rule?.trafficPolicy;
  const subset = subsetName === "" ? undefined : rule?.subsets.find((candidate) => candidate.name === subsetName);
  const result: Mutable = { ...blocksOf(portLevel(top, port) ?? top ?? {}), ...extrasOf(top) };
  if (subset?.trafficPolicy !== undefined) {
    const ofPort = portLevel(subset.trafficPolicy, port);
    if (ofPort !== undefined) {
      for (const block of BLOCKS) delete result[block];
      Object.assign(result, blocksOf(ofPort));
    } else {
      Object.assign(result, blocksOf(subset.trafficPolicy));
    }
    Object.assign(result, extrasOf(subset.trafficPolicy));
  }
  return filledFrom(meshDefault(meshConfig), result);
}

/**
 * The TLS mode that endpoints are marked for. Unlike the cluster's own, it is inherited block by block: a port without
 * `tls` has the policy's, a subset without it the rule's.
 */
export function endpointTlsMode(
  rule: DestinationRule | undefined,
  subsetName: string,
  port: number,
): ClientTls["mode"] | undefined {
  const subset = subsetName === "" ? undefined : rule?.subsets.find((candidate) => candidate.name === subsetName);
  const tls = tlsOfPort(subset?.trafficPolicy, port) ?? tlsOfPort(rule?.trafficPolicy, port);
  return tls === undefined ? undefined : (tls.mode ?? "DISABLE");
}

function tlsOfPort(policy: TrafficPolicy | undefined, port: number): ClientTls | undefined {
  return portLevel(policy, port)?.tls ?? policy?.tls;
}

/** MeshConfig.defaultTrafficPolicy: fills blocks that are still unset. */
export function meshDefault(meshConfig: MeshConfig): PolicyBlocks {
  const written = meshConfig.raw["defaultTrafficPolicy"];
  return typeof written === "object" && written !== null ? written : {};
}

type Mutable = { -readonly [K in keyof EffectivePolicy]: EffectivePolicy[K] };

function portLevel(policy: TrafficPolicy | undefined, port: number): PolicyBlocks | undefined {
  return policy?.portLevelSettings?.find((setting) => setting.port?.number === port);
}

function blocksOf(policy: PolicyBlocks): PolicyBlocks {
  const result: { -readonly [K in keyof PolicyBlocks]: PolicyBlocks[K] } = {};
  if (policy.connectionPool !== undefined) result.connectionPool = policy.connectionPool;
  if (policy.outlierDetection !== undefined) result.outlierDetection = policy.outlierDetection;
  if (policy.loadBalancer !== undefined) result.loadBalancer = policy.loadBalancer;
  if (policy.tls !== undefined) result.tls = policy.tls;
  return result;
}

function extrasOf(policy: TrafficPolicy | undefined): Partial<EffectivePolicy> {
  const result: Mutable = {};
  if (policy?.tunnel !== undefined) result.tunnel = policy.tunnel;
  if (policy?.proxyProtocol !== undefined) result.proxyProtocol = policy.proxyProtocol;
  if (policy?.retryBudget !== undefined) result.retryBudget = policy.retryBudget;
  return result;
}

function filledFrom(defaults: PolicyBlocks, policy: Mutable): EffectivePolicy {
  if (policy.connectionPool === undefined && defaults.connectionPool !== undefined) {
    policy.connectionPool = defaults.connectionPool;
  }
  if (policy.outlierDetection === undefined && defaults.outlierDetection !== undefined) {
    policy.outlierDetection = defaults.outlierDetection;
  }
  return policy;
}
