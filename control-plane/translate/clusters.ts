/** Clusters of one proxy (§4.2). */
import { patchedClusters } from "./envoy-filter/cluster-patches.ts";
import { inboundClusters } from "./inbound-clusters.ts";
import { byText, type JsonObject } from "./json.ts";
import { outboundClusters, sniClusters } from "./outbound-clusters.ts";
import { passthroughClusters } from "./passthrough-clusters.ts";
import { memoized } from "./memo.ts";
import { outboundView } from "./outbound-class.ts";
import type { View } from "./view.ts";

/** Sorted by name. */
export function clusters(view: View): readonly JsonObject[] {
  const isSidecar = view.proxy.type === "sidecar";
  const all = [
    ...passthroughClusters(view),
    ...(isSidecar ? inboundClusters(view) : []),
    ...sharedOutbound(outboundView(view)),
    ...sniClusters(view),
  ];
  return patchedClusters(view, all).toSorted((a, b) => byText(String(a["name"]), String(b["name"])));
}

const sharedOutbound = memoized(outboundClusters);
