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
  // With ringHash the old field does not count, and without a size Envoy's own does.
  if (hash.ringHash !== undefined) {
    const size = hash.ringHash.minimumRingSize ?? 0;
    return { lbPolicy: "RING_HASH", ...(size > 0 && { ringHashLbConfig: { minimumRingSize: String(size) } }) };
  }
  return {
    lbPolicy: "RING_HASH",
    ringHashLbConfig: { minimumRingSize: String(hash.minimumRingSize || DEFAULT_RING_SIZE) },
  };
}

function slowStart(settings: LoadBalancer | undefined): JsonObject | undefined {
  const { warmup } = settings ?? {};
  const window = durationJson(warmup?.duration ?? settings?.warmupDurationSecs);
  if (window === undefined) return undefined;
  if (warmup === undefined) return { slowStartConfig: { slowStartWindow: window } };
  return {
    slowStartConfig: {
      slowStartWindow: window,
      // istiod writes this placeholder, because Envoy wants a runtime key.
      aggression: { defaultValue: warmup.aggression ?? 1, runtimeKey: "(" },
      minWeightPercent: { value: warmup.minimumPercent ?? 10 },
    },
  };
}
