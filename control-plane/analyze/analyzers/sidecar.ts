/** Sidecars: each pod has one at most. */
import { fieldsOf, matchesLabels, stringMapOf } from "../../model/read-fields.ts";
import { fullName, type AnalyzedObject } from "../analyzed-object.ts";
import type { AnalysisContext, Analyzer } from "../analyzer.ts";
import { firstLabel, selectorText } from "../labels.ts";
import { isAmbientNamespace, isAmbientPod } from "./in-mesh.ts";

export const sidecarSelectors: Analyzer = {
  name: "sidecar.SelectorAnalyzer",
  description: "The selector of a Sidecar matches pods, and no other Sidecar's does",
  inputs: ["Sidecar", "Pod", "Namespace"],
  analyze(context) {
    const ineffective = new Map<AnalyzedObject, string>();
    const selecting = context.all("Sidecar").filter((item) => Object.keys(labelsOf(item)).length > 0);
    const selected = new Map<AnalyzedObject, AnalyzedObject[]>();
    for (const item of selecting) {
      const labels = labelsOf(item);
      const pods = context
        .all("Pod")
        .filter((pod) => pod.namespace === item.namespace && matchesLabels(labels, pod.labels));
      if (pods.length === 0) {
        const message = `no pod of its namespace has the labels of its selector "${selectorText(labels)}".`;
        context.report("IST0101", item, message, `spec.workloadSelector.labels.${firstLabel(labels)}`);
      }
      for (const pod of pods) selected.set(pod, [...(selected.get(pod) ?? []), item]);
    }
    for (const [pod, items] of selected) {
      if (isAmbientPod(pod))
        for (const item of items) ineffective.set(item, "the workload that it selects is in ambient mode");
      else if (items.length > 1) reportShared(context, pod, items);
    }
    reportNamespaceWide(context, ineffective);
    for (const [item, reason] of ineffective) context.report("IST0167", item, `has no effect: ${reason}.`);
  },
};

const labelsOf = ({ spec }: AnalyzedObject): Readonly<Record<string, string>> =>
  stringMapOf(fieldsOf(spec["workloadSelector"])["labels"]);

function reportShared(context: AnalysisContext, pod: AnalyzedObject, items: readonly AnalyzedObject[]): void {
  const names = items.map(({ name }) => name).sort();
  for (const item of items) {
    const message = `the Sidecars ${names.join(", ")} all select the pod ${fullName(pod)}; which of them counts is not defined.`;
    context.report("IST0110", item, message, "metadata.name");
  }
}

function reportNamespaceWide(context: AnalysisContext, ineffective: Map<AnalyzedObject, string>): void {
  const wide = context.all("Sidecar").filter((item) => Object.keys(labelsOf(item)).length === 0);
  for (const [namespace, items] of Map.groupBy(wide, (item) => item.namespace)) {
    if (isAmbientNamespace(context.find("Namespace", "", namespace))) {
      for (const item of items) if (!ineffective.has(item)) ineffective.set(item, "its namespace is in ambient mode");
    } else if (items.length > 1) {
      const names = items.map(({ name }) => name).sort();
      for (const item of items) {
        const message = `the Sidecars ${names.join(", ")} of ${namespace || "one namespace"} all select every workload; which of them counts is not defined. Keep one, or give the others a workloadSelector.`;
        context.report("IST0111", item, message);
      }
    }
  }
}
