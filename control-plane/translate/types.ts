/**
 * Translation: (MeshIndex, ProxyNode) → xDS in proto3 JSON, pure. One file a kind; the ADS server turns the JSON into
 * messages (`fromJson`) and versions each resource by its content.
 */
import type { Problem } from "#lib/problem.ts";
import type { MeshIndex } from "../model/mesh-index.ts";
import type { ProxyNode } from "../model/proxy-node.ts";
import type { ProvenIdentity } from "./credential-access.ts";

/** proto3 JSON of one resource, lowerCamelCase, Any with `@type`. */
export type ResourceJson = Readonly<Record<string, unknown>>;

/** Everything for one proxy. Every list is sorted by name. */
export interface ProxyConfigSnapshot {
  readonly clusters: readonly ResourceJson[];
  readonly endpoints: readonly ResourceJson[];
  readonly listeners: readonly ResourceJson[];
  readonly routes: readonly ResourceJson[];
  /** Filters that the listeners fetch by name (ECDS); undefined without any. */
  readonly extensionConfigs?: readonly ResourceJson[] | undefined;
  /** Of a proxy that captures DNS. */
  readonly nameTable?: ResourceJson | undefined;
  /** What could not be translated, and what has no effect for this proxy. */
  readonly problems: readonly Problem[];
}

export interface Translator {
  /** `names`: what gRPC without a proxy asks for; others get everything. */
  clusters(mesh: MeshIndex, proxy: ProxyNode, names?: readonly string[]): Translated;
  /** Only the assignments that are asked for; a name nobody knows yields nothing. */
  endpoints(mesh: MeshIndex, proxy: ProxyNode, clusterNames: readonly string[]): Translated;
  /** `names` as with clusters; gRPC that names none gets those of every service. */
  listeners(mesh: MeshIndex, proxy: ProxyNode, names?: readonly string[]): Translated;
  routes(mesh: MeshIndex, proxy: ProxyNode, routeNames: readonly string[]): Translated;
  /** Only those that the proxy, who has proved to be `identity`, may have; the others are findings. */
  secrets(
    mesh: MeshIndex,
    proxy: ProxyNode,
    names: readonly string[],
    identity: ProvenIdentity | undefined,
  ): Translated;
  /** Only the filters that are asked for (ECDS). */
  extensionConfigs(mesh: MeshIndex, proxy: ProxyNode, names: readonly string[]): Translated;
  /** One resource, or none for a proxy that does not capture DNS. */
  nameTable(mesh: MeshIndex, proxy: ProxyNode): Translated;
  /** Everything; endpoints for the EDS clusters and routes for the RDS names that the listeners ask for. */
  snapshot(mesh: MeshIndex, proxy: ProxyNode): ProxyConfigSnapshot;
}

export interface Translated {
  readonly resources: readonly ResourceJson[];
  readonly problems: readonly Problem[];
  /** Extensions that the proxy lacks and would have used here. */
  readonly leftOut?: Iterable<string>;
}
