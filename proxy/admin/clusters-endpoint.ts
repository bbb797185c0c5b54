/** `/clusters`, in text and as `envoy.admin.v3.Clusters`. */
import { RE2JS } from "re2js";
import { formatAddress, type SocketAddress } from "#lib/connection.ts";
import type { HostStats, Locality } from "../upstream/types.ts";
import { json, text, type AdminEndpoint } from "./endpoint.ts";

export interface ClusterView {
  readonly name: string;
  readonly observabilityName: string;
  readonly addedViaApi: boolean;
  readonly edsServiceName: string;
  /** A transport of it talks TLS with whoever answers. */
  readonly isUnverified?: boolean;
  readonly thresholds: { readonly default: ThresholdView; readonly high: ThresholdView };
  /** Only with outlier detection. */
  readonly outlier?: OutlierView | undefined;
  readonly hosts: readonly HostView[];
}

export interface ThresholdView {
  readonly maxConnections: number;
  readonly maxPendingRequests: number;
  readonly maxRequests: number;
  readonly maxRetries: number;
}

/** −1: not computed. */
export interface OutlierView {
  readonly successRateAverage: number;
  readonly successRateEjectionThreshold: number;
  readonly localOriginSuccessRateAverage: number;
  readonly localOriginSuccessRateEjectionThreshold: number;
}

export interface HostView {
  readonly address: SocketAddress;
  readonly hostname: string;
  readonly weight: number;
  readonly locality: Locality;
  readonly canary: boolean;
  readonly priority: number;
  readonly stats: HostStats;
  readonly health: HostHealthView;
  readonly successRate: number;
  readonly localOriginSuccessRate: number;
}

/** What is known of a host's health. */
export interface HostHealthView {
  /** `healthy`, or the words of `/clusters`: `/failed_active_hc/degraded_eds_health`. */
  readonly flags: string;
  /** `HEALTHY`, `UNHEALTHY`, `DRAINING`, `TIMEOUT`, `DEGRADED` or `UNKNOWN`, as EDS says. */
  readonly eds: string;
}

/** The page over the active clusters, sorted by the caller. */
export function clustersEndpoint(clusters: () => readonly ClusterView[]): AdminEndpoint {
  return {
    path: "/clusters",
    help: "upstream cluster status",
    parameters: [{ name: "filter", help: "Regular expression (Google re2) for filtering clusters by name" }],
    handle({ query }) {
      const pattern = query.get("filter") ?? "";
      let chosen = clusters();
      if (pattern !== "") {
        try {
          const regex = RE2JS.compile(pattern);
          chosen = chosen.filter(({ name }) => regex.test(name));
        } catch (error) {
          return text(`Invalid re2 regex: ${error instanceof Error ? error.message : String(error)}`, 400);
        }
      }
      return query.get("format") === "json"
        ? json({ cluster_statuses: chosen.map(clusterJson) })
        : text(chosen.map(clusterText).join(""));
    },
  };
}

function clusterText(cluster: ClusterView): string {
  const { name, outlier, thresholds, hosts } = cluster;
  const lines: [string, string | number | boolean][] = [["observability_name", cluster.observabilityName]];
  if (outlier !== undefined)
    lines.push(
      ["outlier::success_rate_average", outlier.successRateAverage],
      ["outlier::success_rate_ejection_threshold", outlier.successRateEjectionThreshold],
      ["outlier::local_origin_success_rate_average", outlier.localOriginSuccessRateAverage],
      ["outlier::local_origin_success_rate_ejection_threshold", outlier.localOriginSuccessRateEjectionThreshold],
    );
  for (const priority of ["default", "high"] as const)
    lines.push(
      [`${priority}_priority::max_connections`, thresholds[priority].maxConnections],
      [`${priority}_priority::max_pending_requests`, thresholds[priority].maxPendingRequests],
      [`${priority}_priority::max_requests`, thresholds[priority].maxRequests],
      [`${priority}_priority::max_retries`, thresholds[priority].maxRetries],
    );
  lines.push(["added_via_api", cluster.addedViaApi]);
  // Differs from Envoy: a line of ours, only where nothing verifies the certificates of the upstream.
  if (cluster.isUnverified === true) lines.push(["upstream_tls_unverified", true]);
  if (cluster.edsServiceName !== "") lines.push(["eds_service_name", cluster.edsServiceName]);
  for (const host of hosts) {
    const address = formatAddress(host.address);
    for (const [key, value] of hostLines(host)) lines.push([`${address}::${key}`, value]);
  }
  return lines.map(([key, value]) => `${name}::${key}::${value}\n`).join("");
}

function hostLines({ stats, ...host }: HostView): [string, string | number | boolean][] {
  return [
    ["cx_active", stats.cxActive],
    ["cx_connect_fail", stats.cxConnectFail],
    ["cx_total", stats.cxTotal],
    ["rq_active", stats.rqActive],
    ["rq_error", stats.rqError],
    ["rq_pending_active", stats.rqPendingActive],
    ["rq_success", stats.rqSuccess],
    ["rq_timeout", stats.rqTimeout],
    ["rq_total", stats.rqTotal],
    ["hostname", host.hostname],
    ["health_flags", host.health.flags],
    ["weight", host.weight],
    ["region", host.locality.region],
    ["zone", host.locality.zone],
    ["sub_zone", host.locality.subZone],
    ["canary", host.canary],
    ["priority", host.priority],
    ["success_rate", host.successRate],
    ["local_origin_success_rate", host.localOriginSuccessRate],
  ];
}

function clusterJson(cluster: ClusterView): unknown {
  const { outlier, thresholds } = cluster;
  return pruned({
    name: cluster.name,
    added_via_api: cluster.addedViaApi,
    success_rate_ejection_threshold: percent(outlier?.successRateEjectionThreshold),
    local_origin_success_rate_ejection_threshold: percent(outlier?.localOriginSuccessRateEjectionThreshold),
    host_statuses: cluster.hosts.map(hostJson),
    circuit_breakers: {
      thresholds: [thresholdJson(thresholds.default), { priority: "HIGH", ...thresholdJson(thresholds.high) }],
    },
    observability_name: cluster.observabilityName,
    eds_service_name: cluster.edsServiceName,
  });
}

function thresholdJson(threshold: ThresholdView): Readonly<Record<string, unknown>> {
  return {
    max_connections: threshold.maxConnections,
    max_pending_requests: threshold.maxPendingRequests,
    max_requests: threshold.maxRequests,
    max_retries: threshold.maxRetries,
  };
}

function hostJson({ stats, health, ...host }: HostView): unknown {
  return pruned({
    address: addressJson(host.address),
    stats: [
      statJson("cx_connect_fail", stats.cxConnectFail),
      statJson("cx_total", stats.cxTotal),
      statJson("rq_error", stats.rqError),
      statJson("rq_success", stats.rqSuccess),
      statJson("rq_timeout", stats.rqTimeout),
      statJson("rq_total", stats.rqTotal),
      { type: "GAUGE", ...statJson("cx_active", stats.cxActive) },
      { type: "GAUGE", ...statJson("rq_active", stats.rqActive) },
      { type: "GAUGE", ...statJson("rq_pending_active", stats.rqPendingActive) },
    ],
    health_status: healthJson(health),
    success_rate: percent(host.successRate),
    weight: host.weight,
    hostname: host.hostname,
    priority: host.priority,
    local_origin_success_rate: percent(host.localOriginSuccessRate),
    locality: pruned({
      region: host.locality.region,
      zone: host.locality.zone,
      sub_zone: host.locality.subZone,
    }),
  });
}

/** `envoy.admin.v3.HostHealthStatus`: a field for each flag. */
function healthJson({ flags, eds }: HostHealthView): unknown {
  const has = (word: string): boolean => flags.split("/").includes(word);
  return pruned({
    failed_active_health_check: has("failed_active_hc"),
    failed_outlier_check: has("failed_outlier_check"),
    failed_active_degraded_check: has("degraded_active_hc"),
    pending_dynamic_removal: has("pending_dynamic_removal"),
    pending_active_hc: has("pending_active_hc"),
    excluded_via_immediate_hc_fail: has("excluded_via_immediate_hc_fail"),
    active_hc_timeout: has("active_hc_timeout"),
    eds_health_status: eds,
  });
}

/** `envoy.config.core.v3.Address` in JSON. */
export function addressJson(address: SocketAddress): unknown {
  if (address.kind === "internal")
    return {
      envoy_internal_address: {
        server_listener_name: address.listener,
        ...(address.path.endsWith("/") ? {} : { endpoint_id: address.path.slice(address.path.lastIndexOf("/") + 1) }),
      },
    };
  return address.kind === "pipe"
    ? { pipe: { path: address.path } }
    : { socket_address: { address: address.address, port_value: address.port } };
}

function statJson(name: string, value: number): Readonly<Record<string, unknown>> {
  return value === 0 ? { name } : { value: String(value), name };
}

function percent(value: number | undefined): { readonly value: number } | undefined {
  return value === undefined || value < 0 ? undefined : { value };
}

/** proto3 JSON leaves defaults out. */
function pruned(fields: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined && value !== "" && value !== 0 && value !== false),
  );
}
