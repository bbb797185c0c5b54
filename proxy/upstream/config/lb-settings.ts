/** Defaults of the load balancing policies, shared by the two ways in which they are configured. */
import type { Duration } from "@bufbuild/protobuf/wkt";
import type { RuntimeDouble } from "#protos/gen/envoy/config/core/v3/base_pb.js";
import type { Percent } from "#protos/gen/envoy/type/v3/percent_pb.js";
import type {
  Cluster_CommonLbConfig_ZoneAwareLbConfig,
  Cluster_SlowStartConfig,
} from "#protos/gen/envoy/config/cluster/v3/cluster_pb.js";
import type {
  LocalityLbConfig_ZoneAwareLbConfig,
  SlowStartConfig as SlowStartMessage,
} from "#protos/gen/envoy/extensions/load_balancing_policies/common/v3/common_pb.js";
import type { MessageReader } from "#protos/reader.ts";
import { durationMs } from "../../config-values.ts";
import type { LeastRequestConfig } from "../load-balancing/least-request.ts";
import type { RingHashConfig } from "../load-balancing/ring-hash.ts";
import type { SlowStartConfig } from "../load-balancing/slow-start.ts";
import { zoneAwareDefaults, type ZoneAwareConfig } from "../load-balancing/zone-aware.ts";

/** Reads zone aware routing in either of its two messages, and whether panic fails all traffic. */
export function parseZoneAware(
  reader:
    | MessageReader<LocalityLbConfig_ZoneAwareLbConfig>
    | MessageReader<Cluster_CommonLbConfig_ZoneAwareLbConfig>
    | undefined,
): { readonly zoneAware: ZoneAwareConfig; readonly failTrafficOnPanic: boolean } {
  if (reader === undefined) return { zoneAware: zoneAwareDefaults, failTrafficOnPanic: false };
  const read = reader as MessageReader<LocalityLbConfig_ZoneAwareLbConfig>;
  const parsed = {
    zoneAware: {
      routingEnabled: Math.round(read.get("routingEnabled")?.value ?? zoneAwareDefaults.routingEnabled),
      minClusterSize: Number(read.get("minClusterSize") ?? BigInt(zoneAwareDefaults.minClusterSize)),
      forcesDirect: read.get("forceLocalityDirectRouting") ?? false,
    },
    failTrafficOnPanic: read.get("failTrafficOnPanic"),
  };
  reader.finish();
  return parsed;
}

/** Reads slow start in either of its two messages. */
export function parseSlowStart(
  reader: MessageReader<Cluster_SlowStartConfig> | MessageReader<SlowStartMessage> | undefined,
): SlowStartConfig | undefined {
  if (reader === undefined) return undefined;
  const read = reader as MessageReader<Cluster_SlowStartConfig>;
  const window: Duration | undefined = read.get("slowStartWindow");
  const aggression = parseAggression(read.child("aggression"));
  const minimum: Percent | undefined = read.get("minWeightPercent");
  read.finish();
  if (aggression !== undefined && aggression <= 0) read.invalid("aggression", "must be greater than 0");
  return {
    windowMs: durationMs(window) ?? 0,
    aggression: aggression ?? 1,
    minWeightPercent: minimum?.value ?? 10,
  };
}

function parseAggression(reader: MessageReader<RuntimeDouble> | undefined): number | undefined {
  if (reader === undefined) return undefined;
  const value = reader.get("defaultValue");
  // Differs from Envoy: the runtime does not override the aggression of slow start.
  reader.ignore("runtimeKey", "the default is in force whatever the runtime says");
  reader.finish();
  return value;
}

export interface LeastRequestSettings {
  readonly choiceCount?: number | undefined;
  readonly bias?: number | undefined;
  readonly slowStart?: SlowStartConfig | undefined;
  readonly fullScan?: boolean;
}

export function leastRequestSettings(settings: LeastRequestSettings): LeastRequestConfig {
  return {
    kind: "least-request",
    choiceCount: settings.choiceCount ?? 2,
    activeRequestBias: settings.bias ?? 1,
    fullScan: settings.fullScan ?? false,
    slowStart: settings.slowStart,
  };
}

export interface RingSettings {
  readonly minimum?: bigint | undefined;
  readonly maximum?: bigint | undefined;
  readonly isMurmur?: boolean;
  readonly useHostnameForHashing: boolean;
  readonly hashBalanceFactor: number;
}

export function ringSettings(settings: RingSettings): RingHashConfig {
  return {
    kind: "ring-hash",
    minimumRingSize: Number(settings.minimum ?? 1024n),
    maximumRingSize: Number(settings.maximum ?? 8_388_608n),
    hashFunction: settings.isMurmur === true ? "murmur-hash-2" : "xx-hash",
    useHostnameForHashing: settings.useHostnameForHashing,
    hashBalanceFactor: settings.hashBalanceFactor,
  };
}

/** Envoy's words for a ring whose bounds are the wrong way round. */
export function ringSizeText({ minimumRingSize: min, maximumRingSize: max }: RingHashConfig): string {
  return `ring hash: minimum_ring_size (${min}) > maximum_ring_size (${max})`;
}
