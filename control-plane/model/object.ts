/** A Kubernetes-style object as it was written, with the place of every field. */
import type { SourceLocation } from "#lib/problem.ts";

export interface MeshObject<Spec = unknown> {
  readonly apiVersion: string;
  /** `networking.istio.io`; empty for core. */
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
  readonly spec: Spec;
  /** Everything as parsed (Secret.data, ServiceAccount fields, EndpointSlice.endpoints live outside spec). */
  readonly raw: Readonly<Record<string, unknown>>;
  readonly source: ObjectSource;
  /** The object that this one is made of: a route of the Gateway API; a policy that was refused. */
  readonly origin?: MeshObject;
}

export interface ObjectMeta {
  readonly name: string;
  /** `default` where the manifest says none; "" for cluster-scoped kinds. */
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** ms since the epoch; a manifest without one counts as made at the same fixed time (oldest by name, namespace: rule 112). */
  readonly creationTimestamp: number;
  readonly resourceVersion?: string;
  readonly generation?: number;
}

export interface ObjectSource {
  /** Where the object begins. */
  readonly location: SourceLocation;
  /** Where a field is: `spec.http[0].route[1].weight`. Falls back to the nearest parent that exists. */
  locate(path: string): SourceLocation;
}

/** `VirtualService default/reviews`. */
export function objectName(object: MeshObject): string {
  const { namespace, name } = object.metadata;
  return `${object.kind} ${namespace === "" ? name : `${namespace}/${name}`}`;
}

/** Unique key of an object: group, kind, namespace, name (versions of one kind are the same object). */
export function objectKey(object: MeshObject): string {
  return `${object.group}/${object.kind}/${object.metadata.namespace}/${object.metadata.name}`;
}

/** Policies without which more would be open: a refused one goes on as an object of another kind. */
export const REFUSABLE_POLICIES: readonly string[] = ["AuthorizationPolicy", "RequestAuthentication"];

export function refusedKind(kind: string): string {
  return `Refused${kind}`;
}
