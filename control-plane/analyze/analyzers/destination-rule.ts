/** What DestinationRules leave open, and what their subsets select. */
import {
  fieldsOf,
  listOf,
  matchesLabels,
  numberOf,
  stringMapOf,
  stringOf,
  type Fields,
} from "../../model/read-fields.ts";
import { fullName, type AnalyzedObject } from "../analyzed-object.ts";
import type { AnalysisContext, Analyzer } from "../analyzer.ts";
import { hostOwners, ownerOfHost } from "./hosts.ts";

export const caCertificates: Analyzer = {
  name: "destinationrule.CaCertificateAnalyzer",
  description: "A DestinationRule that originates TLS says whose certificates it trusts",
  inputs: ["DestinationRule"],
  analyze(context) {
    for (const item of context.all("DestinationRule")) {
      const { spec } = item;
      const policy = fieldsOf(spec["trafficPolicy"]);
      const hasSelector = spec["workloadSelector"] !== undefined;
      if (trustsAnybody(policy["tls"], hasSelector)) {
        context.report(
          "IST0128",
          item,
          sentence(item, fieldsOf(policy["tls"])),
          "spec.trafficPolicy.tls.caCertificates",
        );
      }
      for (const [index, level] of listOf(policy["portLevelSettings"]).map(fieldsOf).entries()) {
        if (!trustsAnybody(level["tls"], hasSelector)) continue;
        const port = String(numberOf(fieldsOf(level["port"])["number"]) ?? "");
        const path = `spec.trafficPolicy.portLevelSettings[${index}].tls.caCertificates`;
        context.report("IST0129", item, `${sentence(item, fieldsOf(level["tls"]))} This is for port ${port}.`, path);
      }
    }
  },
};

function trustsAnybody(value: unknown, hasSelector: boolean): boolean {
  const tls = fieldsOf(value);
  if (tls["mode"] !== "SIMPLE" && tls["mode"] !== "MUTUAL") return false;
  const hasCredential = (stringOf(tls["credentialName"]) ?? "") !== "" && hasSelector;
  return (stringOf(tls["caCertificates"]) ?? "") === "" && !hasCredential;
}

function sentence(item: AnalyzedObject, tls: Fields): string {
  return `${fullName(item)} originates TLS (${String(tls["mode"])}) to ${String(item.spec["host"])} without caCertificates: nobody verifies who answers. Name the file of the authority that is trusted.`;
}

export const subsetPods: Analyzer = {
  name: "destinationrule.SubsetSelectPodAnalyzer",
  description: "The host of a DestinationRule exists, and each of its subsets selects a pod",
  inputs: ["DestinationRule", "Pod", "Service", "ServiceEntry", "Node"],
  analyze(context) {
    const owners = hostOwners(context);
    const pods = podLabels(context);
    for (const item of context.all("DestinationRule")) {
      const host = stringOf(item.spec["host"]) ?? "";
      const owner = ownerOfHost(owners, item, host);
      if (owner === undefined) {
        context.report("IST0174", item, `its host ${host} is none of a Service or ServiceEntry in the mesh.`);
        continue;
      }
      for (const subset of listOf(item.spec["subsets"]).map(fieldsOf)) {
        const selector = { ...owner.workloadLabels, ...stringMapOf(subset["labels"]) };
        if (pods.some((labels) => matchesLabels(selector, labels))) continue;
        const message = `its subset ${String(subset["name"])} selects no pod: requests to it are answered 503 (UH).`;
        context.report("IST0173", item, message);
      }
    }
  },
};

/** The labels of pods with those that istiod adds of their node. */
function podLabels(context: AnalysisContext): readonly Readonly<Record<string, string>>[] {
  const nodes = new Map(context.all("Node").map(({ name, labels }) => [name, labels]));
  return context.all("Pod").map(({ labels, spec }) => {
    const node = stringOf(spec["nodeName"]) ?? "";
    const places = nodes.get(node) ?? {};
    const added: Record<string, string> = { ...labels };
    for (const name of ["topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"]) {
      if ((places[name] ?? "") !== "") added[name] = places[name] ?? "";
    }
    if (node !== "") added["kubernetes.io/hostname"] = node;
    return added;
  });
}
