/** An object as the analyzers see it: with the namespace that the caller chose for objects that name none. */
import { stepsOfPath } from "../config/manifest-place.ts";
import { isRecord } from "../config/object-from-raw.ts";
import type { MeshObject } from "../model/object.ts";
import { fieldsOf, stringMapOf, stringOf, type Fields } from "../model/read-fields.ts";

/** Kinds that analyzers ask for, with the group that makes them what they are. */
const groups = {
  VirtualService: "networking.istio.io",
  DestinationRule: "networking.istio.io",
  Gateway: "networking.istio.io",
  ServiceEntry: "networking.istio.io",
  Sidecar: "networking.istio.io",
  WorkloadEntry: "networking.istio.io",
  WorkloadGroup: "networking.istio.io",
  EnvoyFilter: "networking.istio.io",
  ProxyConfig: "networking.istio.io",
  AuthorizationPolicy: "security.istio.io",
  PeerAuthentication: "security.istio.io",
  RequestAuthentication: "security.istio.io",
  Telemetry: "telemetry.istio.io",
  WasmPlugin: "extensions.istio.io",
  TrafficExtension: "extensions.istio.io",
  KubernetesGateway: "gateway.networking.k8s.io",
  HTTPRoute: "gateway.networking.k8s.io",
  GRPCRoute: "gateway.networking.k8s.io",
  Namespace: "",
  Node: "",
  Pod: "",
  Secret: "",
  Service: "",
  ConfigMap: "",
  Deployment: "apps",
  CustomResourceDefinition: "apiextensions.k8s.io",
  MutatingWebhookConfiguration: "admissionregistration.k8s.io",
  ValidatingWebhookConfiguration: "admissionregistration.k8s.io",
} as const;

export type AnalyzedKind = keyof typeof groups;

export interface AnalyzedObject {
  readonly kind: AnalyzedKind;
  /** As written, or the chosen default; "" for cluster-scoped kinds, and where no default was chosen. */
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly spec: Fields;
  readonly object: MeshObject;
  /** A pod that a Deployment and the like will make: its labels are known, what injection adds is not. */
  readonly isTemplate?: boolean;
}

/** Undefined for kinds that no analyzer asks for. */
export function analyzedObject(object: MeshObject, defaultNamespace: string): AnalyzedObject | undefined {
  const kind = kindOf(object);
  if (kind === undefined) return undefined;
  const { metadata } = object;
  const written = stringOf(fieldsOf(object.raw["metadata"])["namespace"]) ?? "";
  const isNamespaced = metadata.namespace !== "";
  const namespace = isNamespaced ? written || defaultNamespace : "";
  const { name, labels, annotations } = metadata;
  return { kind, namespace, name, labels, annotations, spec: fieldsOf(object.spec), object };
}

/** The pod that a workload's controller makes; undefined for other kinds. */
export function podOfTemplate(object: MeshObject, defaultNamespace: string): AnalyzedObject | undefined {
  const makesPods = ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"].includes(object.kind);
  if (!makesPods || object.group !== "apps") return undefined;
  const template = fieldsOf(fieldsOf(object.spec)["template"]);
  const metadata = fieldsOf(template["metadata"]);
  const written = stringOf(fieldsOf(object.raw["metadata"])["namespace"]) ?? "";
  return {
    kind: "Pod",
    namespace: written || defaultNamespace,
    name: object.metadata.name,
    labels: stringMapOf(metadata["labels"]),
    annotations: stringMapOf(metadata["annotations"]),
    spec: fieldsOf(template["spec"]),
    object,
    isTemplate: true,
  };
}

function kindOf({ kind, group }: MeshObject): AnalyzedKind | undefined {
  if (kind === "Gateway" && group === groups.KubernetesGateway) return "KubernetesGateway";
  if (!Object.hasOwn(groups, kind)) return undefined;
  const known = kind as AnalyzedKind;
  return groups[known] === group ? known : undefined;
}

/** `default/reviews`, or the name alone. */
export function fullName({ namespace, name }: Pick<AnalyzedObject, "namespace" | "name">): string {
  return namespace === "" ? name : `${namespace}/${name}`;
}

/** `VirtualService default/reviews`, as istioctl writes the origin of a message. */
export function originOf(item: AnalyzedObject): string {
  return `${item.object.kind} ${fullName(item)}`;
}

/** The line of a scalar that is written at `path`; undefined where there is none (then the object's own line counts). */
export function lineOfScalar(item: AnalyzedObject, path: string): number | undefined {
  let value: unknown = item.object.raw;
  const steps = stepsOfPath(path);
  for (let at = 0; at < steps.length;) {
    if (Array.isArray(value)) {
      value = value[Number(steps[at])];
      at += 1;
      continue;
    }
    if (!isRecord(value)) return undefined;
    // Names of labels and annotations hold dots.
    let taken = steps.length - at;
    while (taken > 1 && !Object.hasOwn(value, steps.slice(at, at + taken).join("."))) taken -= 1;
    value = value[steps.slice(at, at + taken).join(".")];
    at += taken;
  }
  if (value === undefined || value === null || typeof value === "object") return undefined;
  return item.object.source.locate(path).line;
}
