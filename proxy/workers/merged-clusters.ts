/** `/clusters` of several workers: a host once, with the counts of all. */
import { formatAddress } from "#lib/connection.ts";
import type { ClusterView, HostView } from "../admin/clusters-endpoint.ts";
import type { HostStats } from "../upstream/types.ts";

/** Clusters and hosts in the order of the first worker; what another alone has comes after. */
export function mergedClusters(workers: readonly (readonly ClusterView[])[]): readonly ClusterView[] {
  const clusters = new Map<string, { readonly view: ClusterView; readonly hosts: Map<string, HostView> }>();
  for (const view of workers.flat()) {
    const known = clusters.get(view.name) ?? { view, hosts: new Map<string, HostView>() };
    clusters.set(view.name, known);
    for (const host of view.hosts) {
      const key = `${host.priority} ${formatAddress(host.address)}`;
      const other = known.hosts.get(key);
      known.hosts.set(key, other === undefined ? host : merged(other, host));
    }
  }
  return [...clusters.values()].map(({ view, hosts }) => ({ ...view, hosts: [...hosts.values()] }));
}

function merged(one: HostView, other: HostView): HostView {
  return {
    ...one,
    stats: sum(one.stats, other.stats),
    health: { ...one.health, flags: union(one.health.flags, other.health.flags) },
  };
}

function sum(one: HostStats, other: HostStats): HostStats {
  return {
    cxActive: one.cxActive + other.cxActive,
    cxTotal: one.cxTotal + other.cxTotal,
    cxConnectFail: one.cxConnectFail + other.cxConnectFail,
    rqActive: one.rqActive + other.rqActive,
    rqPendingActive: one.rqPendingActive + other.rqPendingActive,
    rqError: one.rqError + other.rqError,
    rqSuccess: one.rqSuccess + other.rqSuccess,
    rqTimeout: one.rqTimeout + other.rqTimeout,
    rqTotal: one.rqTotal + other.rqTotal,
  };
}

/** A flag that one worker has set is shown. */
function union(one: string, other: string): string {
  const flags = new Set([...one.split("/"), ...other.split("/")].filter((flag) => flag !== "" && flag !== "healthy"));
  return flags.size === 0 ? "healthy" : [...flags].map((flag) => `/${flag}`).join("");
}
