/** The kinds that we know: their versions, their schema, and what they do here. */
import { type Fields, fieldsOf, listOf } from "../model/read-fields.ts";

export interface KnownKind {
  readonly group: string;
  /** Served versions; their schemas are the same, so that one stands for all. */
  readonly versions: readonly string[];
  /** `none`: taken, but translated into nothing yet. */
  readonly effect: "full" | "none";
  /** Says what of an object has no effect yet, where that depends on the object. */
  readonly exceptions?: (spec: Fields) => { readonly effect: "none"; readonly what: string } | undefined;
}

const networking = ["v1", "v1beta1", "v1alpha3"];
const security = ["v1", "v1beta1"];

/** Istio's kinds, by name. */
export const istioKinds: Readonly<Record<string, KnownKind>> = {
  VirtualService: { group: "networking.istio.io", versions: networking, effect: "full" },
  DestinationRule: { group: "networking.istio.io", versions: networking, effect: "full" },
  ServiceEntry: { group: "networking.istio.io", versions: networking, effect: "full" },
  WorkloadEntry: { group: "networking.istio.io", versions: networking, effect: "full" },
  PeerAuthentication: { group: "security.istio.io", versions: security, effect: "full" },
  AuthorizationPolicy: {
    group: "security.istio.io",
    versions: security,
    effect: "full",
    exceptions: attachedElsewhere("AuthorizationPolicy"),
  },
  RequestAuthentication: {
    group: "security.istio.io",
    versions: security,
    effect: "full",
    exceptions: attachedElsewhere("RequestAuthentication"),
  },
  Gateway: { group: "networking.istio.io", versions: networking, effect: "full" },
  Sidecar: { group: "networking.istio.io", versions: networking, effect: "full" },
  WorkloadGroup: { group: "networking.istio.io", versions: networking, effect: "none" },
  EnvoyFilter: { group: "networking.istio.io", versions: ["v1alpha3"], effect: "full" },
  ProxyConfig: { group: "networking.istio.io", versions: ["v1beta1"], effect: "full" },
  Telemetry: { group: "telemetry.istio.io", versions: ["v1", "v1alpha1"], effect: "full" },
  TrafficExtension: {
    group: "extensions.istio.io",
    versions: ["v1alpha1"],
    effect: "full",
    exceptions: attachedElsewhere("TrafficExtension"),
  },
  WasmPlugin: {
    group: "extensions.istio.io",
    versions: ["v1alpha1"],
    effect: "full",
    exceptions: attachedElsewhere("WasmPlugin"),
  },
};

const GATEWAY_API = "gateway.networking.k8s.io";

/** The Gateway API's kinds, by name. */
export const gatewayApiKinds: Readonly<Record<string, KnownKind>> = {
  GatewayClass: { group: GATEWAY_API, versions: ["v1", "v1beta1"], effect: "full" },
  Gateway: { group: GATEWAY_API, versions: ["v1", "v1beta1"], effect: "full" },
  HTTPRoute: { group: GATEWAY_API, versions: ["v1", "v1beta1"], effect: "full" },
  GRPCRoute: { group: GATEWAY_API, versions: ["v1"], effect: "full" },
  TLSRoute: { group: GATEWAY_API, versions: ["v1", "v1alpha3", "v1alpha2"], effect: "full" },
  TCPRoute: { group: GATEWAY_API, versions: ["v1", "v1alpha2"], effect: "full" },
  ReferenceGrant: { group: GATEWAY_API, versions: ["v1", "v1beta1"], effect: "full" },
  BackendTLSPolicy: { group: GATEWAY_API, versions: ["v1", "v1alpha3"], effect: "full" },
};

/** Undefined for kinds that have no CRD here. */
export function knownKind(kind: string, group: string): KnownKind | undefined {
  const kinds = group === GATEWAY_API ? gatewayApiKinds : istioKinds;
  const known = Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
  return known?.group === group ? known : undefined;
}

/** Other kinds that take part in the mesh, with the group they belong to. */
export const kubernetesKinds: Readonly<Record<string, string>> = {
  Namespace: "",
  Node: "",
  Service: "",
  ServiceAccount: "",
  Pod: "",
  Endpoints: "",
  // Certificates of gateways.
  Secret: "",
  EndpointSlice: "discovery.k8s.io",
  Deployment: "apps",
  StatefulSet: "apps",
  DaemonSet: "apps",
  // Of other APIs, made into Istio's objects.
  Ingress: "networking.k8s.io",
  IngressClass: "networking.k8s.io",
  ServiceProfile: "linkerd.io",
  ServiceIntentions: "consul.hashicorp.com",
  // How workloads run on one machine: for `glassmesh up`, the mesh itself makes nothing of it.
  LocalMesh: "glassmesh.dev",
};

/** A policy may be attached to Gateways; other targets belong to waypoints. */
function attachedElsewhere(kind: string): NonNullable<KnownKind["exceptions"]> {
  return ({ targetRef, targetRefs }) => {
    const refs = [...((targetRef ?? undefined) === undefined ? [] : [targetRef]), ...listOf(targetRefs)];
    if (refs.length === 0 || refs.some((ref) => fieldsOf(ref)["kind"] === "Gateway")) return undefined;
    return { effect: "none", what: `${kind} with targetRefs to something else than a Gateway` };
  };
}
