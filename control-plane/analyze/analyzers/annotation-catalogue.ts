/** Istio's annotations: what they stand on, and which of them are on their way out (istio.io/api, annotations.yaml). */

export interface KnownAnnotation {
  /** Kinds; `Any` stands for every kind. */
  readonly on: readonly string[];
  readonly isDeprecated: boolean;
}

const byKinds: Readonly<Record<string, string>> = {
  Any: "galley.istio.io/analyze-suppress gateway.istio.io/controller-version",
  Service:
    "alpha.istio.io/canonical-serviceaccounts alpha.istio.io/kubernetes-serviceaccounts networking.istio.io/exportTo traffic.istio.io/nodeSelector",
  "GatewayClass,Gateway": "ambient.istio.io/waypoint-inbound-binding",
  Gateway: "gateway.istio.io/name-override gateway.istio.io/service-account networking.istio.io/service-type",
  WorkloadEntry:
    "istio.io/autoRegistrationGroup istio.io/connectedAt istio.io/disconnectedAt istio.io/workloadController",
  AuthorizationPolicy: "istio.io/dry-run",
  "Service,ServiceEntry,Namespace": "istio.io/use-waypoint-canary-weight",
  "Namespace,Service,ServiceEntry": "networking.istio.io/traffic-distribution",
  Ingress: "kubernetes.io/ingress.class",
  Namespace: "topology.istio.io/controlPlaneClusters",
  Pod: [
    "ambient.istio.io/bypass-inbound-capture ambient.istio.io/dns-capture ambient.istio.io/redirection",
    "inject.istio.io/templates istio.io/reroute-virtual-interfaces istio.io/rev prometheus.istio.io/merge-metrics",
    "proxy.istio.io/config proxy.istio.io/overrides",
    ...["applicationPorts", "failureThreshold", "initialDelaySeconds", "periodSeconds"].map(
      (name) => `readiness.status.sidecar.istio.io/${name}`,
    ),
    ...[
      "agentLogLevel bootstrapOverride componentLogLevel discoveryAddress extraStatTags inject interceptionMode logLevel",
      "nativeSidecar proxyCPU proxyCPULimit proxyImage proxyImageType proxyMemory proxyMemoryLimit",
      "rewriteAppHTTPProbers statsCompression statsEvictionInterval statsFlushInterval statsHistogramBins",
      "statsHistogramBuckets statsInclusionPrefixes statsInclusionRegexps statsInclusionSuffixes status userVolume",
      "userVolumeMount",
    ].map((names) => names.replace(/\S+/g, "sidecar.istio.io/$&")),
    "status.sidecar.istio.io/port",
    ...[
      "excludeInboundPorts excludeInterfaces excludeOutboundIPRanges excludeOutboundPorts includeInboundPorts",
      "includeOutboundIPRanges includeOutboundPorts kubevirtInterfaces",
    ].map((names) => names.replace(/\S+/g, "traffic.sidecar.istio.io/$&")),
  ].join(" "),
};

const deprecated: ReadonlySet<string> = new Set([
  "alpha.istio.io/canonical-serviceaccounts",
  "alpha.istio.io/kubernetes-serviceaccounts",
  "sidecar.istio.io/discoveryAddress",
  "sidecar.istio.io/extraStatTags",
  "sidecar.istio.io/inject",
  "sidecar.istio.io/statsCompression",
  "sidecar.istio.io/statsInclusionPrefixes",
  "sidecar.istio.io/statsInclusionRegexps",
  "sidecar.istio.io/statsInclusionSuffixes",
  "traffic.sidecar.istio.io/kubevirtInterfaces",
]);

export const knownAnnotations: ReadonlyMap<string, KnownAnnotation> = new Map(
  Object.entries(byKinds).flatMap(([kinds, names]) =>
    names
      .split(" ")
      .map((name): [string, KnownAnnotation] => [name, { on: kinds.split(","), isDeprecated: deprecated.has(name) }]),
  ),
);
