/** `outboundTrafficPolicy` of a Sidecar: where goes what nobody knows. */
import { outboundCluster, PASSTHROUGH } from "./names.ts";
import { specOf } from "./spec/spec.ts";
import type { SidecarSpec } from "./spec/sidecar.ts";
import type { View } from "./view.ts";

/** To the `egressProxy`, where the Sidecar has one; else to where it was going. */
export function unknownTrafficCluster(view: View): string {
  const { sidecar } = view.scope;
  const proxy = sidecar && specOf<SidecarSpec>(sidecar).outboundTrafficPolicy?.egressProxy;
  if (proxy === undefined) return PASSTHROUGH;
  return outboundCluster(proxy.port?.number ?? 0, proxy.subset ?? "", proxy.host ?? "");
}
