/** RDS of gRPC without a proxy: called after the cluster, `outbound|80||host`; holds what a sidecar serves on that port. */
import { byText, type JsonObject } from "./json.ts";
import { memoizedBy } from "./memo.ts";
import { parseOutboundCluster } from "./names.ts";
import { outboundView } from "./outbound-class.ts";
import { egressListenerFor } from "./routes.ts";
import type { View } from "./view.ts";
import { outboundVirtualHosts } from "./virtual-hosts.ts";

/** Sorted by name. */
export function grpcRoutes(view: View, names: readonly string[]): readonly JsonObject[] {
  const shared = outboundView(view);
  return [...new Set(names)]
    .toSorted(byText)
    .map((name) => routeNamed(shared, name))
    .filter((route) => route !== undefined);
}

const routeNamed = memoizedBy((view: View, name: string): JsonObject | undefined => {
  const { port } = parseOutboundCluster(name) ?? { port: 0 };
  if (port === 0) return undefined;
  const virtualHosts = outboundVirtualHosts(view, egressListenerFor(view, port), port);
  return { name, virtualHosts: virtualHosts.toSorted((a, b) => byText(String(a["name"]), String(b["name"]))) };
});
