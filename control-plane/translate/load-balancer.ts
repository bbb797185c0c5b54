/** `loadBalancer` → lb_policy and its settings (rules 45, 46). */
import { durationJson } from "./duration.ts";
import { compact, type JsonObject } from "./json.ts";
import type { ConsistentHash, LoadBalancer } from "./spec/destination-rule.ts";

const DEFAULT_RING_SIZE = 1024;

/** Cluster fields; the caller decides about ORIGINAL_DST, where no policy is chosen. */
export function loadBalancing(settings: LoadBalancer | undefined): JsonObject {
  const { consistentHash } = settings ?? {};
  if (consistentHash !== undefined) return hashing(consistentHash);
  switch (settings?.simple) {
    case "ROUND_ROBIN":
      return compact({ lbPolicy: "ROUND_ROBIN", roundRobinLbConfig: slowStart(settings) });
    case "RANDOM":
      return { lbPolicy: "RANDOM" };
    case "PASSTHROUGH":
    case "LEAST_CONN":
    case "LEAST_REQUEST":
    case "UNSPECIFIED":
    case undefined:
      return compact({ lbPolicy: "LEAST_REQUEST", leastRequestLbConfig: slowStart(settings) });
  }
}

function hashing(hash: ConsistentHash): JsonObject {
  if (hash.maglev !== undefined) {
    const size = hash.maglev.tableSize ?? 0;
    return { lbPolicy: "MAGLEV", ...(size > 0 && { maglevLbConfig: { tableSize: String(size) } }) };
  }
  const legacy = hash.minimumRingSize ?? 0;
  const size = legacy > 0 ? legacy : (hash.ringHash?.minimumRingSize ?? 0);
  return {
    lbPolicy: "RING_HASH",
    ringHashLbConfig: { minimumRingSize: String(size > 0 ? size : DEFAULT_RING_SIZE) },
  };
}

function slowStart(settings: LoadBalancer | undefined): JsonObject | undefined {
  const { warmup } = settings ?? {};
  const window = durationJson(warmup?.duration ?? settings?.warmupDurationSecs);
  if (window === undefined) return undefined;
  return {
    slowStartConfig: compact({
      slowStartWindow: window,
      // istiod writes this placeholder, because Envoy wants a runtime key.
      aggression: warmup?.aggression === undefined ? undefined : { defaultValue: warmup.aggression, runtimeKey: "(" },
      minWeightPercent: warmup?.minimumPercent === undefined ? undefined : { value: warmup.minimumPercent },
    }),
  };
}
