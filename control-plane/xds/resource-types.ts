/** The types of xDS resources, in the order in which they are pushed (make before break: X-54). */

export interface ResourceType {
  /** `CDS`: as istioctl and the metrics say. */
  readonly short: string;
  readonly typeUrl: string;
  readonly typeName: string;
  /** Whether an empty first request means everything; elsewhere resources are asked for by name. */
  readonly isWildcard: boolean;
}

function type(short: string, typeName: string, isWildcard: boolean): ResourceType {
  return { short, typeName, typeUrl: `type.googleapis.com/${typeName}`, isWildcard };
}

export const CDS: ResourceType = type("CDS", "envoy.config.cluster.v3.Cluster", true);
export const EDS: ResourceType = type("EDS", "envoy.config.endpoint.v3.ClusterLoadAssignment", false);
export const LDS: ResourceType = type("LDS", "envoy.config.listener.v3.Listener", true);
export const RDS: ResourceType = type("RDS", "envoy.config.route.v3.RouteConfiguration", false);
export const SDS: ResourceType = type("SDS", "envoy.extensions.transport_sockets.tls.v3.Secret", false);
export const ECDS: ResourceType = type("ECDS", "envoy.config.core.v3.TypedExtensionConfig", false);
export const NDS: ResourceType = type("NDS", "istio.networking.nds.v1.NameTable", true);
export const PCDS: ResourceType = type("PCDS", "istio.mesh.v1alpha1.ProxyConfig", true);

export const resourceTypes: readonly ResourceType[] = [CDS, EDS, LDS, RDS, SDS, ECDS, NDS, PCDS];

export function resourceTypeOf(typeUrl: string): ResourceType | undefined {
  return resourceTypes.find((known) => known.typeUrl === typeUrl);
}
