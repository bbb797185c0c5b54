/** `envoy.config.cluster.v3.CircuitBreakers` → limits by priority (L-45). */
import type { MessageReader } from "#protos/reader.ts";
import type {
  CircuitBreakers,
  CircuitBreakers_Thresholds,
} from "#protos/gen/envoy/config/cluster/v3/circuit_breaker_pb.js";
import { defaultThresholds, type Thresholds } from "../resource-manager.ts";

export interface ParsedCircuitBreakers {
  readonly default: Thresholds;
  readonly high: Thresholds;
  /** Infinity: no limit. */
  readonly maxConnectionsPerHost: number;
  /** Of the default priority; Infinity: no limit. */
  readonly maxConnectionPools: number;
}

/** Reads the limits; of several for one priority the first counts, as in Envoy. */
export function parseCircuitBreakers(reader: MessageReader<CircuitBreakers> | undefined): ParsedCircuitBreakers {
  const limits = {
    default: defaultThresholds,
    high: defaultThresholds,
    maxConnectionsPerHost: Infinity,
    maxConnectionPools: Infinity,
  };
  if (reader === undefined) return limits;
  const seen = new Set<"default" | "high">();
  for (const thresholds of reader.children("thresholds")) {
    const priority = thresholds.get("priority") === 1 ? "high" : "default";
    const pools = thresholds.get("maxConnectionPools");
    const parsed = parseThresholds(thresholds);
    if (!seen.has(priority)) limits[priority] = parsed;
    if (!seen.has(priority) && priority === "default" && pools !== undefined) limits.maxConnectionPools = pools;
    seen.add(priority);
  }
  for (const perHost of reader.children("perHostThresholds")) {
    const isDefault = perHost.get("priority") !== 1;
    const max = perHost.get("maxConnections");
    perHost.finish();
    if (isDefault && max !== undefined) limits.maxConnectionsPerHost = max;
  }
  reader.finish();
  return limits;
}

function parseThresholds(reader: MessageReader<CircuitBreakers_Thresholds>): Thresholds {
  const budget = reader.child("retryBudget");
  const percent = budget?.get("budgetPercent")?.value ?? 20;
  const minRetryConcurrency = budget?.get("minRetryConcurrency") ?? 3;
  budget?.finish();
  const thresholds = {
    maxConnections: reader.get("maxConnections") ?? defaultThresholds.maxConnections,
    maxPendingRequests: reader.get("maxPendingRequests") ?? defaultThresholds.maxPendingRequests,
    maxRequests: reader.get("maxRequests") ?? defaultThresholds.maxRequests,
    maxRetries: reader.get("maxRetries") ?? defaultThresholds.maxRetries,
    retryBudget: budget === undefined ? undefined : { percent, minRetryConcurrency },
    trackRemaining: reader.get("trackRemaining"),
  };
  reader.finish();
  return thresholds;
}
