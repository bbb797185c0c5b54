/** The policies of `load_balancing_policy` → the same settings that `lb_policy` gives. */
import type { Message } from "@bufbuild/protobuf";
import type { Problem } from "#lib/problem.ts";
import { MessageReader } from "#protos/reader.ts";
import type { LeastRequest } from "#protos/gen/envoy/extensions/load_balancing_policies/least_request/v3/least_request_pb.js";
import type {
  ConsistentHashingLbConfig,
  LocalityLbConfig,
} from "#protos/gen/envoy/extensions/load_balancing_policies/common/v3/common_pb.js";
import type { Maglev } from "#protos/gen/envoy/extensions/load_balancing_policies/maglev/v3/maglev_pb.js";
import type { Random } from "#protos/gen/envoy/extensions/load_balancing_policies/random/v3/random_pb.js";
import type { RingHash } from "#protos/gen/envoy/extensions/load_balancing_policies/ring_hash/v3/ring_hash_pb.js";
import type { RoundRobin } from "#protos/gen/envoy/extensions/load_balancing_policies/round_robin/v3/round_robin_pb.js";
import { isPrime } from "../load-balancing/maglev.ts";
import type { LbPolicyConfig } from "../load-balancing/create-load-balancer.ts";
import type { ZoneAwareConfig } from "../load-balancing/zone-aware.ts";
import { leastRequestSettings, parseSlowStart, parseZoneAware, ringSettings, ringSizeText } from "./lb-settings.ts";

export interface ParsedExtension {
  readonly policy: LbPolicyConfig;
  readonly isLocalityWeighted: boolean;
  readonly zoneAware: ZoneAwareConfig | undefined;
  readonly failTrafficOnPanic: boolean;
}

const prefix = "envoy.extensions.load_balancing_policies.";

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
    default:
      return undefined;
  }
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
