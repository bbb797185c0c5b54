/** `request_mirror_policies`. */
import type { MessageReader } from "#protos/reader.ts";
import type { RouteAction_RequestMirrorPolicy } from "#protos/gen/envoy/config/route/v3/route_components_pb.js";
import { byteString } from "#lib/xxhash64.ts";
import { isRuntimeFraction, runtimeFractionOf } from "../config-values.ts";
import { parseMutationList } from "./mutation-list.ts";
import type { MirrorPolicy } from "./types.ts";

/** Reads one policy. Without `runtime_fraction` every request is mirrored. */
export function parseMirrorPolicy(reader: MessageReader<RouteAction_RequestMirrorPolicy>): MirrorPolicy {
  const clusterName = reader.get("cluster");
  const clusterHeader = reader.get("clusterHeader").toLowerCase();
  const runtimeFraction = reader.child("runtimeFraction");
  const fraction = runtimeFraction === undefined ? undefined : runtimeFractionOf(runtimeFraction);
  const traceSampled = reader.get("traceSampled");
  const disableShadowHostSuffix = reader.get("disableShadowHostSuffixAppend");
  const mutations = parseMutationList(reader.children("requestHeadersMutations"));
  const hostRewrite = byteString(reader.get("hostRewriteLiteral"));
  reader.finish();
  if ((clusterName === "") === (clusterHeader === ""))
    reader.invalid("cluster", "exactly one of cluster and cluster_header must be set");
  return {
    clusterName,
    clusterHeader,
    disableShadowHostSuffix,
    traceSampled,
    mutations,
    hostRewrite,
    shouldMirror:
      fraction === undefined ? () => true : (random, snapshot) => isRuntimeFraction(fraction, random, snapshot),
  };
}
