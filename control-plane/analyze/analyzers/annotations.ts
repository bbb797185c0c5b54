/** Annotations of Istio's on Namespaces, Services, Pods and Deployments. */
import { parseCidr } from "../../model/ip.ts";
import { nearestNames } from "../../model/near-names.ts";
import type { AnalyzedKind, AnalyzedObject } from "../analyzed-object.ts";
import type { AnalysisContext, Analyzer } from "../analyzer.ts";
import { knownAnnotations } from "./annotation-catalogue.ts";

const kinds: readonly AnalyzedKind[] = ["Namespace", "Service", "Pod", "Deployment"];

/** Written by istiod itself. */
const ignored: ReadonlySet<string> = new Set([
  "sidecar.istio.io/status",
  "gateway.istio.io/controller-version",
  "istio.io/rev",
]);
const INJECT = "sidecar.istio.io/inject";

export const annotations: Analyzer = {
  name: "annotations.K8sAnalyzer",
  description: "Annotations of Istio's are known, stand where they count, and have values that can be read",
  inputs: kinds,
  analyze(context) {
    for (const item of kinds.flatMap((kind) => context.all(kind)).filter(({ isTemplate }) => isTemplate !== true)) {
      for (const [name, value] of Object.entries(item.annotations)) {
        if (isIstio(name) && !ignored.has(name)) checkAnnotation(context, item, name, value);
      }
    }
  },
};

function isIstio(name: string): boolean {
  return name === "kubernetes.io/ingress.class" || (name.split("/")[0] ?? "").endsWith("istio.io");
}

function checkAnnotation(context: AnalysisContext, item: AnalyzedObject, name: string, value: string): void {
  const path = `metadata.annotations.${name}`;
  const known = knownAnnotations.get(name);
  if (known === undefined) {
    const near = nearestNames(name, knownAnnotations.keys());
    const hint = near.length === 0 ? "" : `; did you mean ${near.join(" or ")}?`;
    context.report("IST0108", item, `the annotation ${name} is none of Istio's${hint}`, path);
    return;
  }
  if (known.isDeprecated && !(name === INJECT && item.labels[INJECT] !== undefined)) {
    const instead = name === INJECT ? "; use the label of the same name" : "";
    context.report("IST0135", item, `the annotation ${name} is deprecated${instead}.`, path);
  }
  if (known.on.includes("Any")) return;
  if (!known.on.includes(item.kind)) {
    const message = `the annotation ${name} has no effect on a ${item.kind}; it belongs on: ${known.on.join(", ")}.`;
    context.report("IST0107", item, message, path);
    return;
  }
  const fault = faults[name]?.(value);
  if (fault !== undefined) context.report("IST0125", item, `the annotation ${name}: ${fault}.`, path);
}

type Fault = (value: string) => string | undefined;

const list =
  (isFine: (item: string) => boolean, what: string): Fault =>
  (value) =>
    value.trim() === "" || value.split(",").every((item) => isFine(item.trim()))
      ? undefined
      : `${JSON.stringify(value)} must be ${what}, with commas between them`;
const orAll =
  (fault: Fault): Fault =>
  (value) =>
    value === "*" ? undefined : fault(value);
const isPort = (text: string): boolean => /^\d{1,5}$/.test(text) && Number(text) <= 65535;
const isPrefix = (text: string): boolean => text.includes("/") && parseCidr(text) !== undefined;
const ports = list(isPort, "ports");
const prefixes = list(isPrefix, "prefixes, as 10.0.0.0/8");
const interfaces = list((name) => /^[\w.@:-]{1,15}\+?$/.test(name), "names of network interfaces");
const matching =
  (pattern: RegExp, what: string): Fault =>
  (value) =>
    pattern.test(value) ? undefined : `${JSON.stringify(value)} must be ${what}`;
const count = matching(/^\d{1,10}$/, "a whole number");
const quantity = matching(
  /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[numkKMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?$/,
  "a quantity, as 100m or 128Mi",
);

const faults: Readonly<Record<string, Fault>> = {
  "sidecar.istio.io/interceptionMode": matching(/^(?:REDIRECT|TPROXY|NONE)$/, "REDIRECT, TPROXY or NONE"),
  "status.sidecar.istio.io/port": matching(/^\s*\d{1,5}\s*$/, "a port"),
  "readiness.status.sidecar.istio.io/initialDelaySeconds": count,
  "readiness.status.sidecar.istio.io/periodSeconds": count,
  "readiness.status.sidecar.istio.io/failureThreshold": count,
  "traffic.sidecar.istio.io/includeOutboundIPRanges": orAll(prefixes),
  "traffic.sidecar.istio.io/excludeOutboundIPRanges": prefixes,
  "traffic.sidecar.istio.io/includeInboundPorts": orAll(ports),
  "traffic.sidecar.istio.io/excludeInboundPorts": ports,
  "traffic.sidecar.istio.io/excludeOutboundPorts": ports,
  "traffic.sidecar.istio.io/excludeInterfaces": interfaces,
  "traffic.sidecar.istio.io/kubevirtInterfaces": interfaces,
  "istio.io/reroute-virtual-interfaces": interfaces,
  "prometheus.istio.io/merge-metrics": matching(/^(?:1|0|t|f|T|F|true|false|TRUE|FALSE|True|False)$/, "true or false"),
  "sidecar.istio.io/proxyCPU": quantity,
  "sidecar.istio.io/proxyMemory": quantity,
  "sidecar.istio.io/proxyCPULimit": quantity,
  "sidecar.istio.io/proxyMemoryLimit": quantity,
};
