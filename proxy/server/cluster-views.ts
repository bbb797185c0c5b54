/** Clusters and endpoints for the admin pages. */
import type { ClusterView, HostView } from "../admin/clusters-endpoint.ts";
import { addressJson } from "../admin/clusters-endpoint.ts";
import type { JsonObject } from "../admin/field-mask.ts";
import type { ManagedCluster } from "../upstream/cluster-manager.ts";
import type { ClusterEntry } from "../upstream/cluster.ts";
import { localityKey, type UpstreamHost } from "../upstream/host.ts";

/** The active clusters, by name. */
export function clusterViews(managed: readonly ManagedCluster[]): readonly ClusterView[] {
  return managed
    .filter(({ state }) => state === "active")
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(viewOf);
}

function viewOf({ name, cluster, isDynamic }: ManagedCluster): ClusterView {
  const { outlier, config } = cluster;
  return {
    name,
    observabilityName: cluster.observabilityName,
    addedViaApi: isDynamic,
    edsServiceName: edsServiceName(cluster),
    isUnverified: config.transports.all.some((transport) => transport.isUnverified),
    thresholds: config.thresholds,
    outlier: outlier && {
      successRateAverage: outlier.external.average,
      successRateEjectionThreshold: outlier.external.threshold,
      localOriginSuccessRateAverage: outlier.localOrigin.average,
      localOriginSuccessRateEjectionThreshold: outlier.localOrigin.threshold,
    },
    hosts: [...cluster.hosts()].map((host) => hostView(host, cluster)),
  };
}

/** What Envoy prints: only a name that is not the cluster's own. */
function edsServiceName({ config, name }: ClusterEntry): string {
  const { discovery } = config;
  return discovery.kind === "eds" && discovery.serviceName !== name ? discovery.serviceName : "";
}

function hostView(host: UpstreamHost, { outlier }: ClusterEntry): HostView {
  const monitor = outlier?.monitorOf(host);
  return {
    address: host.address,
    hostname: host.hostname,
    weight: host.weight,
    locality: host.locality,
    canary: host.canary,
    priority: host.priority,
    stats: host.stats,
    health: { flags: host.healthFlags, eds: edsHealth(host) },
    successRate: monitor?.successRate ?? -1,
    localOriginSuccessRate: monitor?.localOriginSuccessRate ?? -1,
  };
}

function edsHealth(host: UpstreamHost): string {
  return host.edsHealth === "unknown" ? "HEALTHY" : host.edsHealth.toUpperCase();
}

/** `ClusterLoadAssignment`s as they are in force, with health as the proxy sees it. */
export function endpointDumps(
  managed: readonly ManagedCluster[],
): { readonly name: string; readonly isDynamic: boolean; readonly json: JsonObject }[] {
  return managed
    .filter(({ state }) => state === "active")
    .map(({ cluster, isDynamic }) => {
      const name = cluster.config.discovery.kind === "eds" ? cluster.config.discovery.serviceName : cluster.name;
      return { name, isDynamic, json: assignmentJson(name, cluster) };
    });
}

function assignmentJson(name: string, cluster: ClusterEntry): JsonObject {
  const localities = new Map<string, UpstreamHost[]>();
  for (const host of cluster.hosts()) {
    const key = `${host.priority} ${localityKey(host.locality)}`;
    const hosts = localities.get(key);
    if (hosts === undefined) localities.set(key, [host]);
    else hosts.push(host);
  }
  return {
    cluster_name: name,
    endpoints: [...localities.values()].map(localityJson),
    policy: { overprovisioning_factor: cluster.overprovisioningFactor },
  };
}

/** Where a host is asked for its health, as far as it is not where it serves. */
function checkJson({ healthCheck }: UpstreamHost): JsonObject {
  const { address, hostname, isDisabled } = healthCheck;
  return {
    ...(address?.kind === "ip" ? { port_value: address.port } : {}),
    ...(hostname === "" ? {} : { hostname }),
    ...(isDisabled ? { disable_active_health_check: true } : {}),
  };
}

function localityJson(hosts: readonly UpstreamHost[]): JsonObject {
  const [first] = hosts;
  const { region = "", zone = "", subZone = "" } = first?.locality ?? {};
  const priority = first?.priority ?? 0;
  return {
    locality: {
      ...(region === "" ? {} : { region }),
      ...(zone === "" ? {} : { zone }),
      ...(subZone === "" ? {} : { sub_zone: subZone }),
    },
    lb_endpoints: hosts.map((host) => ({
      endpoint: {
        address: addressJson(host.address),
        health_check_config: checkJson(host),
        ...(host.hostname === "" ? {} : { hostname: host.hostname }),
      },
      health_status: host.health.toUpperCase(),
      ...(Object.keys(host.metadata).length === 0 ? {} : { metadata: { filter_metadata: host.metadata } }),
      load_balancing_weight: host.weight,
    })),
    ...(priority === 0 ? {} : { priority }),
  };
}
