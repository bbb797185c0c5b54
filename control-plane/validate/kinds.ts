/** The kinds that we know: their versions, their schema, and what they do here. */
import { WasmPlugin } from "@kubernetes-models/istio/extensions.istio.io/v1alpha1/WasmPlugin";
import { DestinationRule } from "@kubernetes-models/istio/networking.istio.io/v1/DestinationRule";
import { Gateway } from "@kubernetes-models/istio/networking.istio.io/v1/Gateway";
import { ServiceEntry } from "@kubernetes-models/istio/networking.istio.io/v1/ServiceEntry";
import { Sidecar } from "@kubernetes-models/istio/networking.istio.io/v1/Sidecar";
import { VirtualService } from "@kubernetes-models/istio/networking.istio.io/v1/VirtualService";
import { WorkloadEntry } from "@kubernetes-models/istio/networking.istio.io/v1/WorkloadEntry";
import { WorkloadGroup } from "@kubernetes-models/istio/networking.istio.io/v1/WorkloadGroup";
import { EnvoyFilter } from "@kubernetes-models/istio/networking.istio.io/v1alpha3/EnvoyFilter";
import { ProxyConfig } from "@kubernetes-models/istio/networking.istio.io/v1beta1/ProxyConfig";
import { AuthorizationPolicy } from "@kubernetes-models/istio/security.istio.io/v1/AuthorizationPolicy";
import { PeerAuthentication } from "@kubernetes-models/istio/security.istio.io/v1/PeerAuthentication";
import { RequestAuthentication } from "@kubernetes-models/istio/security.istio.io/v1/RequestAuthentication";
import { Telemetry } from "@kubernetes-models/istio/telemetry.istio.io/v1/Telemetry";
import { type Fields, listOf } from "../model/read-fields.ts";

/** A model of the CRD, of which only the validator is used. */
interface CrdModel {
  readonly apiVersion: string;
  readonly prototype: { validate(): void };
}

export interface KnownKind {
  readonly group: string;
  /** Served versions; their schemas are the same, so that one stands for all. */
  readonly versions: readonly string[];
  readonly model: CrdModel;
  /** Fields of the served CRD that the model does not know yet, `[]` for any item; their checks see to their types. */
  readonly added?: readonly string[];
  /** `none`: taken, but translated into nothing yet. `deny`: not there yet, so that what it selects is closed. */
  readonly effect: "full" | "none" | "deny";
  /** Says what of an object has no effect yet, or closes what it selects, where that depends on the object. */
  readonly exceptions?: (spec: Fields) => { readonly effect: "none" | "deny"; readonly what: string } | undefined;
}

const networking = ["v1", "v1beta1", "v1alpha3"];
const security = ["v1", "v1beta1"];

/** Istio's kinds, by name. */
export const istioKinds: Readonly<Record<string, KnownKind>> = {
  VirtualService: { group: "networking.istio.io", versions: networking, model: VirtualService, effect: "full" },
  DestinationRule: { group: "networking.istio.io", versions: networking, model: DestinationRule, effect: "full" },
  ServiceEntry: { group: "networking.istio.io", versions: networking, model: ServiceEntry, effect: "full" },
  WorkloadEntry: { group: "networking.istio.io", versions: networking, model: WorkloadEntry, effect: "full" },
  PeerAuthentication: { group: "security.istio.io", versions: security, model: PeerAuthentication, effect: "full" },
  AuthorizationPolicy: {
    group: "security.istio.io",
    versions: security,
    model: AuthorizationPolicy,
    added: ["spec.rules[].from[].source.trustDomains", "spec.rules[].from[].source.notTrustDomains"],
    effect: "full",
    exceptions: ({ action, targetRef, targetRefs }) => {
      if (action === "CUSTOM") return { effect: "deny", what: "AuthorizationPolicy with the action CUSTOM" };
      const isAttached = (targetRef ?? undefined) !== undefined || listOf(targetRefs).length > 0;
      return isAttached ? { effect: "none", what: "AuthorizationPolicy with targetRefs (of gateways)" } : undefined;
    },
  },
  RequestAuthentication: {
    group: "security.istio.io",
    versions: security,
    model: RequestAuthentication,
    effect: "deny",
  },
  Gateway: { group: "networking.istio.io", versions: networking, model: Gateway, effect: "full" },
  Sidecar: { group: "networking.istio.io", versions: networking, model: Sidecar, effect: "full" },
  WorkloadGroup: { group: "networking.istio.io", versions: networking, model: WorkloadGroup, effect: "none" },
  EnvoyFilter: { group: "networking.istio.io", versions: ["v1alpha3"], model: EnvoyFilter, effect: "none" },
  ProxyConfig: { group: "networking.istio.io", versions: ["v1beta1"], model: ProxyConfig, effect: "none" },
  Telemetry: { group: "telemetry.istio.io", versions: ["v1", "v1alpha1"], model: Telemetry, effect: "full" },
  WasmPlugin: { group: "extensions.istio.io", versions: ["v1alpha1"], model: WasmPlugin, effect: "none" },
};

/** Other kinds that take part in the mesh, with the group they belong to. */
export const kubernetesKinds: Readonly<Record<string, string>> = {
  Namespace: "",
  Node: "",
  Service: "",
  ServiceAccount: "",
  Pod: "",
  Endpoints: "",
  EndpointSlice: "discovery.k8s.io",
  Deployment: "apps",
  StatefulSet: "apps",
  DaemonSet: "apps",
  // How workloads run on one machine: for `glassmesh up`, the mesh itself makes nothing of it.
  LocalMesh: "glassmesh.dev",
};
