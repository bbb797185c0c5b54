/** Objects of Istio's API that are made of objects of others: the Gateway API, Ingress, Linkerd, Consul. */
import type { MeshObject } from "../model/object.ts";
import { PARENTS_ANNOTATION } from "./names.ts";

export interface GeneratedObject<Spec> {
  readonly kind: "Gateway" | "VirtualService" | "DestinationRule" | "AuthorizationPolicy";
  readonly name: string;
  readonly namespace: string;
  /** What it is made of: the first gives its age, and its place in the files. */
  readonly origins: readonly MeshObject[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly spec: Spec;
}

/** Findings about it are told of the object that it is made of. */
export function generatedObject<Spec>(input: GeneratedObject<Spec>): MeshObject<Spec> {
  const { kind, name, namespace, origins, spec } = input;
  const [origin] = origins;
  if (origin === undefined) throw new Error(`${kind} ${namespace}/${name} is made of nothing`);
  const group = kind === "AuthorizationPolicy" ? "security.istio.io" : "networking.istio.io";
  const apiVersion = `${group}/v1`;
  const annotations = {
    [PARENTS_ANNOTATION]: origins
      .map(({ kind: from, metadata }) => `${from}/${metadata.name}.${metadata.namespace}`)
      .join(","),
    ...input.annotations,
  };
  const { location } = origin.source;
  return {
    apiVersion,
    group,
    version: "v1",
    kind,
    metadata: { name, namespace, labels: {}, annotations, creationTimestamp: origin.metadata.creationTimestamp },
    spec,
    raw: { apiVersion, kind, metadata: { name, namespace, annotations }, spec },
    source: { location, locate: () => location },
    origin,
  };
}
