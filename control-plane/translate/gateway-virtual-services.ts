/** Which VirtualServices belong to a Gateway, and to which of a server's hosts (rules 101, 102). */
import type { MeshIndex } from "../model/mesh-index.ts";
import { hostsMatch, isSubsetOf } from "./hosts.ts";
import type { GatewayServer } from "./gateway-server.ts";
import { memoizedByShapeAnd } from "./memo.ts";
import type { View } from "./view.ts";
import { consumersFirst, resolvedVirtualServices, type VirtualService } from "./virtual-service.ts";
import { isVisibleTo } from "./visibility.ts";

/** Those that a gateway of the view's namespace sees: its namespace's private ones, those exported to it, all others; oldest first. */
export function virtualServicesOf(view: View, gateway: string): readonly VirtualService[] {
  return byGateway(view.mesh, view.proxy.namespace).get(gateway) ?? [];
}

const byGateway = memoizedByShapeAnd(
  (mesh: MeshIndex, namespace: string): ReadonlyMap<string, readonly VirtualService[]> => {
    const defaults = mesh.meshConfig.defaultVirtualServiceExportTo;
    const result = new Map<string, VirtualService[]>();
    const visible = resolvedVirtualServices(mesh).filter((item) =>
      isVisibleTo(item.spec.exportTo, defaults, item.namespace, namespace),
    );
    for (const virtualService of consumersFirst(visible, namespace).toSorted(
      (a, b) => reach(a, defaults) - reach(b, defaults),
    )) {
      for (const gateway of new Set(virtualService.gateways)) {
        const list = result.get(gateway);
        if (list === undefined) result.set(gateway, [virtualService]);
        else list.push(virtualService);
      }
    }
    return result;
  },
);

function reach({ spec, namespace }: VirtualService, defaults: readonly string[]): number {
  const exportTo = spec.exportTo === undefined || spec.exportTo.length === 0 ? defaults : spec.exportTo;
  if (exportTo.includes("*")) return 2;
  return exportTo.every((target) => target === "." || target === namespace) ? 0 : 1;
}

/** The narrower of each pair of hosts that overlap, in the server's order; `namespace/host` is for that namespace alone. */
export function intersectingHosts(server: GatewayServer, virtualService: VirtualService): readonly string[] {
  const result = new Set<string>();
  for (const own of hostsForNamespace(server, virtualService.namespace)) {
    for (const host of virtualService.hosts) {
      if (isSubsetOf(own, host)) result.add(own);
      else if (isSubsetOf(host, own)) result.add(host);
    }
  }
  return [...result];
}

/** Whether `tcp` and `tls` rules of a VirtualService concern a server at all. */
export function sharesHosts(server: GatewayServer, virtualService: VirtualService): boolean {
  const own = hostsForNamespace(server, virtualService.namespace);
  return virtualService.hosts.some((host) => own.some((candidate) => hostsMatch(candidate, host)));
}

function hostsForNamespace({ hosts }: GatewayServer, namespace: string): readonly string[] {
  return hosts.flatMap((host) => {
    const slash = host.indexOf("/");
    if (slash < 0) return [host];
    return host.slice(0, slash) === namespace ? [host.slice(slash + 1)] : [];
  });
}
