/** The policies of `load_balancing_policy` → the same settings that `lb_policy` gives. */
import type { Message } from "@bufbuild/protobuf";
import type { Problem } from "#lib/problem.ts";
import { unpackAny } from "#protos/any.ts";
import { MessageReader } from "#protos/reader.ts";
import type { LeastRequest } from "#protos/gen/envoy/extensions/load_balancing_policies/least_request/v3/least_request_pb.js";
import type {
  ConsistentHashingLbConfig,
  LocalityLbConfig,
} from "#protos/gen/envoy/extensions/load_balancing_policies/common/v3/common_pb.js";
import type { LoadBalancingPolicy } from "#protos/gen/envoy/config/cluster/v3/cluster_pb.js";
import type { ClientSideWeightedRoundRobin } from "#protos/gen/envoy/extensions/load_balancing_policies/client_side_weighted_round_robin/v3/client_side_weighted_round_robin_pb.js";
import type { Subset } from "#protos/gen/envoy/extensions/load_balancing_policies/subset/v3/subset_pb.js";
import type { WrrLocality } from "#protos/gen/envoy/extensions/load_balancing_policies/wrr_locality/v3/wrr_locality_pb.js";
import type { Maglev } from "#protos/gen/envoy/extensions/load_balancing_policies/maglev/v3/maglev_pb.js";
import type { Random } from "#protos/gen/envoy/extensions/load_balancing_policies/random/v3/random_pb.js";
import type { RingHash } from "#protos/gen/envoy/extensions/load_balancing_policies/ring_hash/v3/ring_hash_pb.js";
import type { RoundRobin } from "#protos/gen/envoy/extensions/load_balancing_policies/round_robin/v3/round_robin_pb.js";
import { durationMs } from "../../config-values.ts";
import type { SubsetConfig } from "../load-balancing/subset.ts";
import { parseSubsets } from "./parse-subsets.ts";
import { isPrime } from "../load-balancing/maglev.ts";
import type { LbPolicyConfig } from "../load-balancing/create-load-balancer.ts";
import type { ZoneAwareConfig } from "../load-balancing/zone-aware.ts";
import { leastRequestSettings, parseSlowStart, parseZoneAware, ringSettings, ringSizeText } from "./lb-settings.ts";

export interface ParsedExtension {
  readonly policy: LbPolicyConfig;
  readonly isLocalityWeighted: boolean;
  readonly zoneAware: ZoneAwareConfig | undefined;
  readonly failTrafficOnPanic: boolean;
  readonly subsets?: SubsetConfig | undefined;
}

const prefix = "envoy.extensions.load_balancing_policies.";

/** The first policy of a list that is known, as in Envoy; without one, a problem that names them all. */
export function parseLbPolicies(list: MessageReader<LoadBalancingPolicy>): ParsedExtension | undefined {
  const unknown: string[] = [];
  let chosen: ParsedExtension | undefined;
  for (const candidate of list.children("policies")) {
    const extension = candidate.child("typedExtensionConfig");
    candidate.finish();
    const config = extension?.get("typedConfig");
    const name = extension?.get("name") ?? "";
    extension?.finish();
    if (chosen !== undefined || extension === undefined || config === undefined) continue;
    const at = extension.at("typedConfig");
    const { value } = unpackAny(config, at);
    chosen = value === undefined ? undefined : parseLbExtension(value, at, list.problems);
    if (chosen === undefined) unknown.push(name);
  }
  list.finish();
  if (chosen === undefined)
    list.unsupported("policies", `no policy of load_balancing_policy is known here: ${unknown.join(", ")}`);
  return chosen;
}

/** undefined: a policy that is not known here; the next of the list is tried. */
export function parseLbExtension(message: Message, path: string, problems: Problem[]): ParsedExtension | undefined {
  switch (message.$typeName) {
    case `${prefix}round_robin.v3.RoundRobin`: {
      const reader = new MessageReader(message as RoundRobin, path, problems);
      const policy: LbPolicyConfig = {
        kind: "round-robin",
        slowStart: parseSlowStart(reader.child("slowStartConfig")),
      };
      return withLocality(policy, reader.child("localityLbConfig"), reader);
    }
    case `${prefix}least_request.v3.LeastRequest`: {
      const reader = new MessageReader(message as LeastRequest, path, problems);
      const policy = leastRequestSettings({
        choiceCount: reader.get("choiceCount"),
        bias: reader.get("activeRequestBias")?.defaultValue,
        slowStart: parseSlowStart(reader.child("slowStartConfig")),
        fullScan: reader.get("selectionMethod") === 1 || reader.get("enableFullScan") === true,
      });
      return withLocality(policy, reader.child("localityLbConfig"), reader);
    }
    case `${prefix}random.v3.Random`: {
      const reader = new MessageReader(message as Random, path, problems);
      return withLocality({ kind: "random" }, reader.child("localityLbConfig"), reader);
    }
    case `${prefix}ring_hash.v3.RingHash`: {
      const reader = new MessageReader(message as RingHash, path, problems);
      const hashing = parseHashing(reader.child("consistentHashingLbConfig"));
      const policy = ringSettings({
        minimum: reader.get("minimumRingSize"),
        maximum: reader.get("maximumRingSize"),
        isMurmur: reader.get("hashFunction") === 2,
        useHostnameForHashing: hashing?.useHostnameForHashing ?? reader.get("useHostnameForHashing"),
        hashBalanceFactor: hashing?.hashBalanceFactor ?? reader.get("hashBalanceFactor") ?? 0,
      });
      reader.get("useHostnameForHashing");
      reader.get("hashBalanceFactor");
      const isLocalityWeighted = reader.get("localityWeightedLbConfig") !== undefined;
      reader.finish();
      if (policy.minimumRingSize > policy.maximumRingSize) reader.invalid("minimumRingSize", ringSizeText(policy));
      return { policy, isLocalityWeighted, zoneAware: undefined, failTrafficOnPanic: false };
    }
    case `${prefix}maglev.v3.Maglev`: {
      const reader = new MessageReader(message as Maglev, path, problems);
      const hashing = parseHashing(reader.child("consistentHashingLbConfig"));
      const tableSize = Number(reader.get("tableSize") ?? 65_537n);
      const isLocalityWeighted = reader.get("localityWeightedLbConfig") !== undefined;
      reader.finish();
      if (!isPrime(tableSize)) reader.invalid("tableSize", "The table size of maglev must be prime number");
      const policy: LbPolicyConfig = {
        kind: "maglev",
        tableSize,
        useHostnameForHashing: hashing?.useHostnameForHashing ?? false,
        hashBalanceFactor: hashing?.hashBalanceFactor ?? 0,
      };
      return { policy, isLocalityWeighted, zoneAware: undefined, failTrafficOnPanic: false };
    }
    case `${prefix}cluster_provided.v3.ClusterProvided`:
      return {
        policy: { kind: "cluster-provided" },
        isLocalityWeighted: false,
        zoneAware: undefined,
        failTrafficOnPanic: false,
      };
    case `${prefix}client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin`:
      return {
        policy: parseClientSide(new MessageReader(message as ClientSideWeightedRoundRobin, path, problems)),
        isLocalityWeighted: false,
        zoneAware: undefined,
        failTrafficOnPanic: false,
      };
    case `${prefix}wrr_locality.v3.WrrLocality`: {
      const reader = new MessageReader(message as WrrLocality, path, problems);
      const list = reader.child("endpointPickingPolicy");
      reader.finish();
      const inner = list === undefined ? undefined : parseLbPolicies(list);
      if (inner !== undefined && inner.policy.kind !== "client-side-weighted-round-robin")
        reader.invalid(
          "endpointPickingPolicy",
          "wrr_locality takes only client_side_weighted_round_robin as its endpoint_picking_policy",
        );
      return inner && { ...inner, isLocalityWeighted: true };
    }
    case `${prefix}subset.v3.Subset`: {
      const reader = new MessageReader(message as Subset, path, problems);
      const list = reader.child("subsetLbPolicy");
      if (list === undefined) reader.invalid("subsetLbPolicy", "the policy within the subsets must be set");
      const inner = list === undefined ? undefined : parseLbPolicies(list);
      const subsets = parseSubsets(reader);
      return inner && { ...inner, subsets };
    }
    default:
      return undefined;
  }
}

function parseClientSide(reader: MessageReader<ClientSideWeightedRoundRobin>): LbPolicyConfig {
  if (reader.get("enableOobLoadReport") === true)
    reader.unsupported("enableOobLoadReport", "load reports are taken from responses only");
  reader.ignore("oobReportingPeriod", "concerns reports out of band");
  const policy: LbPolicyConfig = {
    kind: "client-side-weighted-round-robin",
    blackoutMs: durationMs(reader.get("blackoutPeriod")) ?? 10_000,
    expirationMs: durationMs(reader.get("weightExpirationPeriod")) ?? 180_000,
    // Shorter than 100 ms is 100 ms (gRFC A58).
    updateMs: Math.max(durationMs(reader.get("weightUpdatePeriod")) ?? 1000, 100),
    errorPenalty: reader.get("errorUtilizationPenalty") ?? 1,
    metricNames: reader.get("metricNamesForComputingUtilization"),
    slowStart: parseSlowStart(reader.child("slowStartConfig")),
  };
  reader.finish();
  return policy;
}

function parseHashing(
  reader: MessageReader<ConsistentHashingLbConfig> | undefined,
): { readonly useHostnameForHashing: boolean; readonly hashBalanceFactor: number } | undefined {
  if (reader === undefined) return undefined;
  const parsed = {
    useHostnameForHashing: reader.get("useHostnameForHashing"),
    hashBalanceFactor: reader.get("hashBalanceFactor") ?? 0,
  };
  reader.finish();
  return parsed;
}

function withLocality(
  policy: LbPolicyConfig,
  locality: MessageReader<LocalityLbConfig> | undefined,
  owner: { finish(): void },
): ParsedExtension {
  owner.finish();
  const specifier = locality?.get("localityConfigSpecifier");
  locality?.finish();
  const isLocalityWeighted = specifier?.case === "localityWeightedLbConfig";
  const { zoneAware, failTrafficOnPanic } = parseZoneAware(
    specifier?.case === "zoneAwareLbConfig" ? locality?.oneof("localityConfigSpecifier", specifier.value) : undefined,
  );
  return { policy, isLocalityWeighted, zoneAware: isLocalityWeighted ? undefined : zoneAware, failTrafficOnPanic };
}
