/** Lines of the event log of health checks: `envoy.data.core.v3.HealthCheckEvent` in JSON. */
import type { SocketAddress } from "#lib/connection.ts";
import type { UpstreamHost } from "../host.ts";
import type { FailureType } from "./health-check-config.ts";

export type HealthEvent =
  | { readonly kind: "eject_unhealthy_event"; readonly failureType: FailureType }
  | { readonly kind: "add_healthy_event"; readonly isFirst: boolean }
  | { readonly kind: "successful_health_check_event" }
  | {
      readonly kind: "health_check_failure_event";
      readonly failureType: FailureType;
      readonly isFirst: boolean;
      readonly status: number;
    }
  | { readonly kind: "degraded_healthy_host" }
  | { readonly kind: "no_longer_degraded_host" };

/** One line, without its end. `checker`: `HTTP`, `TCP`, `GRPC`. */
export function healthEventLine(
  event: HealthEvent,
  host: UpstreamHost,
  checker: string,
  clusterName: string,
  nowMs: number,
): string {
  const { address, locality, metadata } = host;
  const hasMetadata = Object.keys(metadata).length > 0;
  return JSON.stringify({
    health_checker_type: checker,
    host: addressOf(address),
    cluster_name: clusterName,
    [event.kind]: bodyOf(event),
    timestamp: new Date(nowMs).toISOString(),
    ...(hasMetadata ? { metadata: { filter_metadata: metadata, typed_filter_metadata: {} } } : {}),
    locality: { region: locality.region, zone: locality.zone, sub_zone: locality.subZone },
  });
}

function addressOf(address: SocketAddress): Readonly<Record<string, unknown>> {
  if (address.kind === "pipe") return { pipe: { path: address.path, mode: 0 } };
  if (address.kind === "internal")
    return { envoy_internal_address: { server_listener_name: address.listener, endpoint_id: "" } };
  return {
    socket_address: {
      protocol: "TCP",
      address: address.address,
      port_value: address.port,
      resolver_name: "",
      ipv4_compat: false,
      network_namespace_filepath: "",
    },
  };
}

function bodyOf(event: HealthEvent): Readonly<Record<string, unknown>> {
  switch (event.kind) {
    case "eject_unhealthy_event":
      return { failure_type: failureName(event.failureType) };
    case "add_healthy_event":
      return { first_check: event.isFirst };
    case "health_check_failure_event":
      return {
        failure_type: failureName(event.failureType),
        first_check: event.isFirst,
        http_status_code: event.status,
      };
    default:
      return {};
  }
}

function failureName(type: FailureType): string {
  return type.replace("-", "_").toUpperCase();
}
