/** Who is in the mesh, and how. */
import { fieldsOf, listOf, stringOf, type Fields } from "../../model/read-fields.ts";
import type { AnalyzedObject } from "../analyzed-object.ts";
import type { AnalysisContext } from "../analyzer.ts";

export const INJECTION_LABEL = "istio-injection";
export const REVISION_LABEL = "istio.io/rev";
export const MODE_LABEL = "istio.io/dataplane-mode";
const INJECT = "sidecar.istio.io/inject";

/** Containers and init containers of a pod's spec. */
export function containersOf(spec: Fields): readonly Fields[] {
  return [...listOf(spec["containers"]), ...listOf(spec["initContainers"])].map(fieldsOf);
}

export function hasProxy(spec: Fields): boolean {
  const proxy = containersOf(spec).find(({ name }) => name === "istio-proxy");
  return proxy !== undefined && (stringOf(proxy["image"]) ?? "") !== "";
}

/** A sidecar is there, asked for by label or annotation, or given by the namespace. */
export function isInMesh(
  context: AnalysisContext,
  workload: Pick<AnalyzedObject, "labels" | "annotations" | "namespace">,
  spec: Fields,
): boolean {
  if (hasProxy(spec)) return true;
  const asked = workload.labels[INJECT] ?? workload.annotations[INJECT];
  if (asked !== undefined) return asked === "true";
  return context.find("Namespace", "", workload.namespace)?.labels[INJECTION_LABEL] === "enabled";
}

export function isAmbientPod({ annotations }: AnalyzedObject): boolean {
  return annotations["ambient.istio.io/redirection"] === "enabled";
}

export function isAmbientNamespace(namespace: AnalyzedObject | undefined): boolean {
  const labels = namespace?.labels ?? {};
  if (labels[INJECTION_LABEL] === "enabled" || (labels[REVISION_LABEL] ?? "") !== "") return false;
  return labels[MODE_LABEL] === "ambient";
}

/** Istio's own workloads and Services carry these labels. */
export function isControlPlane({ labels }: AnalyzedObject): boolean {
  return labels["istio"] !== undefined || labels["release"] === "istio";
}
