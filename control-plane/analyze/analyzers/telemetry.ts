/** Telemetry: whom it selects, and the providers that it names. */
import { fieldsOf, listOf, matchesLabels, stringMapOf, stringOf } from "../../model/read-fields.ts";
import { fullName, type AnalyzedObject } from "../analyzed-object.ts";
import type { Analyzer } from "../analyzer.ts";
import { firstLabel, selectorText } from "../labels.ts";

const labelsOf = ({ spec }: AnalyzedObject): Readonly<Record<string, string>> =>
  stringMapOf(fieldsOf(spec["selector"])["matchLabels"]);

export const telemetryProviders: Analyzer = {
  name: "telemetry.ProviderAnalyzer",
  description: "Access logging in a Telemetry has a provider",
  inputs: ["Telemetry"],
  analyze(context) {
    const defaults = fieldsOf(context.meshConfig["defaultProviders"]);
    if (listOf(defaults["accessLogging"]).length > 0) return;
    for (const item of context.all("Telemetry")) {
      const isWithout = listOf(item.spec["accessLogging"])
        .map(fieldsOf)
        .some(({ disabled, providers }) => disabled !== true && listOf(providers).length === 0);
      if (!isWithout) continue;
      const message = `${fullName(item)} turns on access logging without a provider, and the mesh has no default one: it has no effect. Name a provider, as "envoy".`;
      context.report("IST0157", item, message);
    }
  },
};

export const lightstep: Analyzer = {
  name: "telemetry.LightstepAnalyzer",
  description: "No Telemetry uses the provider for Lightstep, which is gone",
  inputs: ["Telemetry"],
  analyze(context) {
    const names = new Set(
      listOf(context.meshConfig["extensionProviders"])
        .map(fieldsOf)
        .filter((provider) => provider["lightstep"] !== undefined)
        .map((provider) => provider["name"]),
    );
    for (const item of context.all("Telemetry")) {
      for (const tracing of listOf(item.spec["tracing"]).map(fieldsOf)) {
        for (const provider of listOf(tracing["providers"]).map(fieldsOf)) {
          if (!names.has(provider["name"])) continue;
          const message = `the provider ${stringOf(provider["name"]) ?? ""} is one for Lightstep, which is deprecated; use an OpenTelemetry provider.`;
          context.report("IST0002", item, message);
        }
      }
    }
  },
};

export const telemetrySelectors: Analyzer = {
  name: "telemetry.SelectorAnalyzer",
  description: "The selector of a Telemetry matches pods, and no other Telemetry's does",
  inputs: ["Telemetry", "Pod"],
  analyze(context) {
    const selected = new Map<AnalyzedObject, AnalyzedObject[]>();
    for (const item of context.all("Telemetry")) {
      const labels = labelsOf(item);
      if (Object.keys(labels).length === 0) continue;
      const pods = context
        .all("Pod")
        .filter((pod) => pod.namespace === item.namespace && matchesLabels(labels, pod.labels));
      if (pods.length === 0) {
        const message = `no pod of its namespace has the labels of its selector "${selectorText(labels)}".`;
        context.report("IST0101", item, message, `spec.selector.matchLabels.${firstLabel(labels)}`);
      }
      for (const pod of pods) selected.set(pod, [...(selected.get(pod) ?? []), item]);
    }
    for (const [pod, items] of selected) {
      if (items.length < 2) continue;
      const names = items.map(({ name }) => name).sort();
      for (const item of items) {
        const message = `the Telemetries ${names.join(", ")} all select the pod ${fullName(pod)}; which of them counts is not defined.`;
        context.report("IST0159", item, message, "metadata.name");
      }
    }
  },
};

export const telemetryDefaults: Analyzer = {
  name: "telemetry.DefaultSelectorAnalyzer",
  description: "A namespace has one Telemetry without a selector at most",
  inputs: ["Telemetry"],
  analyze(context) {
    const wide = context.all("Telemetry").filter(({ spec }) => spec["selector"] === undefined);
    for (const [namespace, items] of Map.groupBy(wide, (item) => item.namespace)) {
      if (items.length < 2) continue;
      const names = items.map(({ name }) => name).sort();
      for (const item of items) {
        const message = `the Telemetries ${names.join(", ")} of ${namespace || "one namespace"} all select every workload; which of them counts is not defined. Keep one, or give the others a selector.`;
        context.report("IST0160", item, message);
      }
    }
  },
};
