/** Names on the wire (§4.2, §4.3, §4.7), exactly as istiod writes them. */
import type { MeshObject } from "../model/object.ts";
import type { JsonObject } from "./json.ts";

export const BLACK_HOLE = "BlackHoleCluster";
export const PASSTHROUGH = "PassthroughCluster";
export const INBOUND_PASSTHROUGH = "InboundPassthroughCluster";
export const WILDCARD_ADDRESS = "0.0.0.0";
export const HTTP_PROXY_ROUTE = "http_proxy";

/** `outbound|80|v1|reviews.default.svc.cluster.local` */
export function outboundCluster(port: number, subset: string, host: string): string {
  return `outbound|${port}|${subset}|${host}`;
}

/** `inbound|8080||` */
export function inboundCluster(port: number): string {
  return `inbound|${port}||`;
}

/** `outbound_.80_.v1_.reviews.default.svc.cluster.local`: the SNI of mesh TLS. */
export function meshSni(port: number, subset: string, host: string): string {
  return `outbound_.${port}_.${subset}_.${host}`;
}

export interface OutboundClusterKey {
  readonly port: number;
  readonly subset: string;
  readonly host: string;
  /** Called by the SNI of mesh TLS. */
  readonly isSni: boolean;
}

/** Undefined for every name that is neither `outbound|port|subset|host` nor `outbound_.port_.subset_.host`. */
export function parseOutboundCluster(name: string): OutboundClusterKey | undefined {
  const sni = /^outbound_\.(\d+)_\.([^|]*?)_\.([^|]+)$/.exec(name);
  if (sni !== null) return { port: Number(sni[1]), subset: sni[2] ?? "", host: sni[3] ?? "", isSni: true };
  const [direction, port, subset, host, more] = name.split("|");
  if (direction !== "outbound" || port === undefined || subset === undefined || host === undefined) return undefined;
  if (more !== undefined || !/^\d+$/.test(port)) return undefined;
  return { port: Number(port), subset, host, isSni: false };
}

/** `/apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews` */
export function configPath(object: MeshObject): string {
  const kind = object.kind.replace(/(?<=[a-z0-9])(?=[A-Z])/g, "-").toLowerCase();
  const { namespace, name } = object.metadata;
  return `/apis/${object.group}/v1/namespaces/${namespace}/${kind}/${name}`;
}

/** `filter_metadata.istio.config` that names the object a resource was made from. */
export function configMetadata(object: MeshObject): JsonObject {
  return { filterMetadata: { istio: { config: configPath(object) } } };
}

/** The host of an outbound cluster, in either way of writing; the whole name for another cluster. */
export function hostOfCluster(name: string): string {
  const bar = name.lastIndexOf("|");
  return bar >= 0 ? name.slice(bar + 1) : (parseOutboundCluster(name)?.host ?? name);
}
