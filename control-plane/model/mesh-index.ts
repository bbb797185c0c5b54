/**
 * The whole mesh at one moment: immutable, indexed for translation. Built from objects by `buildMeshIndex`
 * (build-mesh-index.ts); a changed file gives a new index.
 */
import type { Problem } from "#lib/problem.ts";
import type { GatewayApiStatus } from "./gateway-status.ts";
import type { MeshConfig } from "./mesh-config.ts";
import type { MeshObject } from "./object.ts";
import type { ServiceModel, WorkloadInstance } from "./service.ts";

export interface MeshIndex {
  readonly meshConfig: MeshConfig;
  /** Accepted objects of a kind, and those of Istio's API that the Gateway API's are made into; oldest first, ties by name then namespace (rule 112). Kind is Istio's: `VirtualService`. */
  objects<Spec = unknown>(kind: string): readonly MeshObject<Spec>[];
  object<Spec = unknown>(kind: string, namespace: string, name: string): MeshObject<Spec> | undefined;
  /** Kubernetes Services and ServiceEntry hosts, oldest first. One entry per host and defining object. */
  readonly services: readonly ServiceModel[];
  /** Definitions of one host (several namespaces may define it: rule 11). */
  servicesByHost(host: string): readonly ServiceModel[];
  /** Pods, WorkloadEntries and inline ServiceEntry endpoints. */
  readonly workloads: readonly WorkloadInstance[];
  workload(namespace: string, podName: string): WorkloadInstance | undefined;
  /** Instances behind a service, all ports; the subset and port selection is the caller's. */
  instancesOf(service: ServiceModel): readonly ServiceInstance[];
  /** Where other networks are entered (multi-network); empty: all endpoints are reached directly. */
  readonly networkGateways: readonly NetworkGateway[];
  /** What a controller would write into the status of each object of the Gateway API; by the object. */
  readonly gatewayApiStatuses: ReadonlyMap<MeshObject, GatewayApiStatus>;
  /** The key set of a `keySetKey` that has been fetched; undefined: it is not there (yet), or nobody fetches. */
  keySet?(key: string): string | undefined;
  /** Findings of loading, validating and indexing. */
  readonly problems: readonly Problem[];
  /** The same value in every mesh that differs only in endpoints: what is worked out from the rest holds as long. */
  readonly shape: object;
  /** Which endpoints have changed since this shape began. */
  readonly endpointVersions: EndpointVersions;
  /** Content hash of what the index was built from. */
  readonly version: string;
}

/** Every change gets a value of its own; what never changed has none. */
export interface EndpointVersions {
  /** By host of a service. */
  readonly hosts: ReadonlyMap<string, object>;
  /** By `namespace/name` of a Pod. */
  readonly workloads: ReadonlyMap<string, object>;
}

/** An address through which the workloads of a network are reached from others, by mTLS and SNI. */
export interface NetworkGateway {
  readonly network: string;
  /** "": of no cluster (written in MeshNetworks). */
  readonly clusterId: string;
  readonly address: string;
  readonly port: number;
}

export interface ServiceInstance {
  readonly workload: WorkloadInstance;
  /** Name of the service port. */
  readonly portName: string;
  readonly servicePort: number;
  /** IP, hostname (DNS resolution) or `unix://` path. */
  readonly address: string;
  readonly port: number;
  readonly ready: boolean;
  readonly terminating: boolean;
  readonly weight: number;
}
