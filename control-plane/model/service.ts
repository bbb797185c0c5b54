/** Services and the workloads behind them, whatever object they were written as. */
import type { MeshObject } from "./object.ts";

/** Istio's protocol names (rule 81); `auto` is to be sniffed. */
export type Protocol =
  | "HTTP"
  | "HTTP2"
  | "GRPC"
  | "GRPC-Web"
  | "HTTP_PROXY"
  | "HTTPS"
  | "TLS"
  | "TCP"
  | "MONGO"
  | "MYSQL"
  | "REDIS"
  | "UDP"
  | "auto";

export type Resolution = "static" | "dns" | "dns-round-robin" | "passthrough" | "dynamic-dns" | "alias";

export interface ServicePort {
  readonly number: number;
  readonly name: string;
  readonly protocol: Protocol;
  /** Kubernetes targetPort: a number, or the name of a container port. ServiceEntry: a number. */
  readonly targetPort: number | string;
}

export interface ServiceModel {
  /** Fully qualified: `reviews.default.svc.cluster.local`, or a ServiceEntry's host (may be a wildcard). */
  readonly host: string;
  readonly name: string;
  readonly namespace: string;
  readonly origin: "kubernetes" | "service-entry";
  readonly object: MeshObject;
  readonly ports: readonly ServicePort[];
  readonly resolution: Resolution;
  readonly isHeadless: boolean;
  /** MESH_EXTERNAL. */
  readonly isExternal: boolean;
  readonly externalName?: string | undefined;
  /** Cluster IP(s), ServiceEntry addresses; empty: 0.0.0.0. */
  readonly addresses: readonly string[];
  /** Cluster IPs by cluster, where several clusters have the Service. */
  readonly clusterAddresses?: ReadonlyMap<string, readonly string[]> | undefined;
  readonly selector: Readonly<Record<string, string>> | undefined;
  /** `*`, `.`, `~` or namespaces. */
  readonly exportTo: readonly string[];
  readonly subjectAltNames: readonly string[];
  readonly creationTimestamp: number;
  readonly labels: Readonly<Record<string, string>>;
}

export interface WorkloadInstance {
  /** `endpoint`: of an EndpointSlice or Endpoints, without a Pod. */
  readonly origin: "pod" | "workload-entry" | "service-entry" | "endpoint";
  readonly name: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
  readonly addresses: readonly string[];
  /** Container port names → numbers. */
  readonly namedPorts: Readonly<Record<string, number>>;
  readonly locality: { readonly region: string; readonly zone: string; readonly subZone: string };
  readonly network: string;
  readonly clusterId: string;
  /** Has a sidecar that speaks mutual TLS (label security.istio.io/tlsMode=istio, or rule 56). */
  readonly hasSidecar: boolean;
  readonly isReady: boolean;
  /** The controller it belongs to, as Istio names workloads (Deployment name), its kind, canonical name and revision. */
  readonly workloadName: string;
  readonly canonicalName: string;
  readonly canonicalRevision: string;
  readonly object: MeshObject;
}
