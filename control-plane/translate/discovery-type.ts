/** How a cluster finds its endpoints (rules 86, 88). */
import type { ScopedService } from "./scope.ts";
import type { EffectivePolicy } from "./traffic-policy.ts";
import { isProxyless } from "./grpc-proxyless.ts";
import type { View } from "./view.ts";

export type DiscoveryType = "EDS" | "STRICT_DNS" | "LOGICAL_DNS" | "ORIGINAL_DST";

export function discoveryType(view: View, service: ScopedService, policy: EffectivePolicy): DiscoveryType {
  const { model } = service;
  // Without a proxy or without interception there is no original destination; gateways accept connections of their own.
  const isIntercepted = view.proxy.placement === undefined && !isProxyless(view.proxy);
  const hasOriginalDst = view.proxy.type === "sidecar" && isIntercepted;
  if (policy.loadBalancer?.simple === "PASSTHROUGH" && policy.loadBalancer.consistentHash === undefined) {
    if (isIntercepted) return "ORIGINAL_DST";
  }
  switch (model.resolution) {
    case "dns":
      return "STRICT_DNS";
    case "dns-round-robin":
    case "dynamic-dns":
      return "LOGICAL_DNS";
    case "passthrough":
      return hasOriginalDst ? "ORIGINAL_DST" : "EDS";
    case "static":
    case "alias":
      return model.isHeadless && hasOriginalDst ? "ORIGINAL_DST" : "EDS";
  }
}

export function isEdsService(view: View, service: ScopedService, policy: EffectivePolicy): boolean {
  return discoveryType(view, service, policy) === "EDS";
}
