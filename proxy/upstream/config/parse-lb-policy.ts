/** `lb_policy` with its settings, or `load_balancing_policy` → the policy of a cluster. */
import { MessageReader } from "#protos/reader.ts";
import type { Cluster, Cluster_CommonLbConfig } from "#protos/gen/envoy/config/cluster/v3/cluster_pb.js";
import { isPrime } from "../load-balancing/maglev.ts";
import type { LbPolicyConfig } from "../load-balancing/create-load-balancer.ts";
import type { BalancingConfig } from "./cluster-config.ts";
import type { SubsetConfig } from "../load-balancing/subset.ts";
import { parseLbPolicies } from "./parse-lb-extension.ts";
import { leastRequestSettings, parseSlowStart, parseZoneAware, ringSettings, ringSizeText } from "./lb-settings.ts";

export interface ParsedLbPolicy {
  readonly policy: LbPolicyConfig;
  /** Of the typed subset policy. */
  readonly subsets?: SubsetConfig | undefined;
  readonly balancing: BalancingConfig;
  readonly closeConnectionsOnHostSetChange: boolean;
  readonly excludesNewHosts: boolean;
  readonly overrideHostStatus: ReadonlySet<string>;
}

interface CommonSettings {
  readonly balancing: BalancingConfig;
  readonly useHostnameForHashing: boolean;
  readonly hashBalanceFactor: number;
  readonly closeConnectionsOnHostSetChange: boolean;
  readonly excludesNewHosts: boolean;
  readonly overrideHostStatus: ReadonlySet<string>;
}

const roundRobin: LbPolicyConfig = { kind: "round-robin", slowStart: undefined };

/** Reads what a cluster says of load balancing; problems are on the reader's list. */
export function parseLbPolicy(reader: MessageReader<Cluster>): ParsedLbPolicy {
  const common = parseCommon(reader.child("commonLbConfig"));
  const { balancing, closeConnectionsOnHostSetChange, excludesNewHosts, overrideHostStatus } = common;
  const extensions = reader.child("loadBalancingPolicy");
  if (extensions === undefined) {
    const policy = parseClassic(reader, common);
    return { policy, balancing, closeConnectionsOnHostSetChange, excludesNewHosts, overrideHostStatus };
  }
  reader.ignore("lbPolicy", "load_balancing_policy supersedes it");
  reader.ignore("lbConfig", "load_balancing_policy supersedes it");
  const parsed = parseLbPolicies(extensions);
  return {
    policy: parsed?.policy ?? roundRobin,
    balancing: {
      ...balancing,
      isLocalityWeighted: parsed?.isLocalityWeighted ?? false,
      zoneAware: parsed?.zoneAware,
      failTrafficOnPanic: parsed?.failTrafficOnPanic ?? false,
    },
    subsets: parsed?.subsets,
    closeConnectionsOnHostSetChange,
    excludesNewHosts,
    overrideHostStatus,
  };
}

/** Names of `Cluster.LbPolicy` by number. */
const policyNames = ["ROUND_ROBIN", "LEAST_REQUEST", "RING_HASH", "RANDOM", "", "MAGLEV", "CLUSTER_PROVIDED"];

function parseClassic(reader: MessageReader<Cluster>, common: CommonSettings): LbPolicyConfig {
  const policy = policyNames[reader.get("lbPolicy")] ?? "";
  const config = reader.get("lbConfig");
  const at = reader.at("lbConfig");
  const { useHostnameForHashing, hashBalanceFactor } = common;
  switch (policy) {
    case "ROUND_ROBIN": {
      if (config.case !== "roundRobinLbConfig") return roundRobin;
      const settings = new MessageReader(config.value, at, reader.problems);
      const slowStart = parseSlowStart(settings.child("slowStartConfig"));
      settings.finish();
      return { kind: "round-robin", slowStart };
    }
    case "LEAST_REQUEST": {
      if (config.case !== "leastRequestLbConfig") return leastRequestSettings({});
      const settings = new MessageReader(config.value, at, reader.problems);
      const parsed = leastRequestSettings({
        choiceCount: settings.get("choiceCount"),
        bias: settings.get("activeRequestBias")?.defaultValue,
        slowStart: parseSlowStart(settings.child("slowStartConfig")),
      });
      settings.finish();
      return parsed;
    }
    case "RANDOM":
      return { kind: "random" };
    case "RING_HASH": {
      if (config.case !== "ringHashLbConfig") return ringSettings({ useHostnameForHashing, hashBalanceFactor });
      const settings = new MessageReader(config.value, at, reader.problems);
      const parsed = ringSettings({
        minimum: settings.get("minimumRingSize"),
        maximum: settings.get("maximumRingSize"),
        isMurmur: settings.get("hashFunction") === 1,
        useHostnameForHashing,
        hashBalanceFactor,
      });
      settings.finish();
      if (parsed.minimumRingSize > parsed.maximumRingSize) settings.invalid("minimumRingSize", ringSizeText(parsed));
      return parsed;
    }
    case "MAGLEV": {
      let tableSize = 65_537;
      if (config.case === "maglevLbConfig") {
        const settings = new MessageReader(config.value, at, reader.problems);
        tableSize = Number(settings.get("tableSize") ?? 65_537n);
        settings.finish();
        if (!isPrime(tableSize)) settings.invalid("tableSize", "The table size of maglev must be prime number");
      }
      return { kind: "maglev", tableSize, useHostnameForHashing, hashBalanceFactor };
    }
    case "CLUSTER_PROVIDED":
      return { kind: "cluster-provided" };
    default:
      reader.unsupported("lbPolicy");
      return roundRobin;
  }
}

/** Coarse health by `HealthStatus`: what a proxy knows of a host is one of three. */
const healthNames = ["healthy", "healthy", "unhealthy", "unhealthy", "unhealthy", "degraded"];
const defaultOverrideStatus: ReadonlySet<string> = new Set(["healthy", "degraded"]);

function parseCommon(reader: MessageReader<Cluster_CommonLbConfig> | undefined): CommonSettings {
  const panicThreshold = reader?.get("healthyPanicThreshold")?.value ?? 50;
  const specifier = reader?.get("localityConfigSpecifier");
  const hashing = reader?.child("consistentHashingLbConfig");
  const useHostnameForHashing = hashing?.get("useHostnameForHashing") ?? false;
  const hashBalanceFactor = hashing?.get("hashBalanceFactor") ?? 0;
  hashing?.finish();
  reader?.ignore("updateMergeWindow", "updates are applied at once; merging them only saves work");
  const excludesNewHosts = reader?.get("ignoreNewHostsUntilFirstHc") ?? false;
  const override = reader?.child("overrideHostStatus");
  const statuses = override?.get("statuses");
  override?.finish();
  const overrideHostStatus =
    statuses === undefined ? defaultOverrideStatus : new Set(statuses.map((status) => healthNames[status] ?? ""));
  const closeConnectionsOnHostSetChange = reader?.get("closeConnectionsOnHostSetChange") ?? false;
  reader?.finish();
  const { zoneAware, failTrafficOnPanic } = parseZoneAware(
    specifier?.case === "zoneAwareLbConfig" ? reader?.oneof("localityConfigSpecifier", specifier.value) : undefined,
  );
  const isLocalityWeighted = specifier?.case === "localityWeightedLbConfig";
  return {
    balancing: {
      panicThreshold,
      failTrafficOnPanic,
      isLocalityWeighted,
      zoneAware: isLocalityWeighted ? undefined : zoneAware,
    },
    useHostnameForHashing,
    hashBalanceFactor,
    closeConnectionsOnHostSetChange,
    excludesNewHosts,
    overrideHostStatus,
  };
}
