/** gRPC methods by which resource types are served (§5.1 of Envoy's documentation). */
import { TypeUrl } from "./types.ts";

type Protocol = "delta" | "sotw";

/** The aggregated stream. */
export function adsMethod(protocol: Protocol): string {
  const method = protocol === "delta" ? "DeltaAggregatedResources" : "StreamAggregatedResources";
  return `/envoy.service.discovery.v3.AggregatedDiscoveryService/${method}`;
}

const services: ReadonlyMap<string, readonly [service: string, noun: string]> = new Map([
  [TypeUrl.listener, ["envoy.service.listener.v3.ListenerDiscoveryService", "Listeners"]],
  [TypeUrl.route, ["envoy.service.route.v3.RouteDiscoveryService", "Routes"]],
  [TypeUrl.cluster, ["envoy.service.cluster.v3.ClusterDiscoveryService", "Clusters"]],
  [TypeUrl.endpoint, ["envoy.service.endpoint.v3.EndpointDiscoveryService", "Endpoints"]],
  [TypeUrl.secret, ["envoy.service.secret.v3.SecretDiscoveryService", "Secrets"]],
  [TypeUrl.extensionConfig, ["envoy.service.extension.v3.ExtensionConfigDiscoveryService", "ExtensionConfigs"]],
  [TypeUrl.runtime, ["envoy.service.runtime.v3.RuntimeDiscoveryService", "Runtime"]],
]);

/** The stream of one type; undefined for a type without a service. */
export function typeMethod(typeUrl: string, protocol: Protocol): string | undefined {
  const entry = services.get(typeUrl);
  if (entry === undefined) return undefined;
  const [service, noun] = entry;
  return `/${service}/${protocol === "delta" ? "Delta" : "Stream"}${noun}`;
}
