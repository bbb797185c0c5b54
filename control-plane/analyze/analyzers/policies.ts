/** Policies: whom they reach, and what they rely on. */
import { fieldsOf, listOf, matchesLabels, stringMapOf, stringOf, stringsOf } from "../../model/read-fields.ts";
import { fullName, type AnalyzedKind, type AnalyzedObject } from "../analyzed-object.ts";
import type { AnalysisContext, Analyzer } from "../analyzer.ts";
import { selectorText } from "../labels.ts";
import { isAmbientPod, isInMesh } from "./in-mesh.ts";

export const authorizationPolicies: Analyzer = {
  name: "auth.AuthorizationPoliciesAnalyzer",
  description: "An AuthorizationPolicy reaches workloads, and the namespaces that it names exist",
  inputs: ["AuthorizationPolicy", "Namespace", "Pod"],
  analyze(context) {
    const pods = context.all("Pod").filter((pod) => isInMesh(context, pod, pod.spec) || isAmbientPod(pod));
    for (const item of context.all("AuthorizationPolicy")) {
      checkReach(context, item, pods);
      checkNamespaces(context, item);
    }
  },
};

function checkReach(context: AnalysisContext, item: AnalyzedObject, pods: readonly AnalyzedObject[]): void {
  const isMeshWide = item.namespace === context.meshConfig["rootNamespace"];
  const selector = item.spec["selector"];
  if (selector === undefined && isMeshWide) return;
  const labels = stringMapOf(fieldsOf(selector)["matchLabels"]);
  const reached = pods.some(
    (pod) => (isMeshWide || pod.namespace === item.namespace) && matchesLabels(labels, pod.labels),
  );
  if (reached) return;
  const which = selector === undefined ? "in its namespace" : `with its labels "${selectorText(labels)}"`;
  context.report("IST0127", item, `there is no workload in the mesh ${which}: the policy has no effect.`);
}

function checkNamespaces(context: AnalysisContext, item: AnalyzedObject): void {
  for (const [at, rule] of listOf(item.spec["rules"]).map(fieldsOf).entries()) {
    for (const [index, from] of listOf(rule["from"]).map(fieldsOf).entries()) {
      const source = fieldsOf(from["source"]);
      for (const field of ["namespaces", "notNamespaces"]) {
        for (const [place, name] of stringsOf(source[field]).entries()) {
          if (context.all("Namespace").some((namespace) => isNamed(namespace.name, name))) continue;
          const path = `spec.rules[${at}].from[${index}].source.namespaces[${place}]`;
          context.report("IST0101", item, `names the namespace "${name}", which does not exist.`, path);
        }
      }
    }
  }
}

function isNamed(name: string, wanted: string): boolean {
  if (wanted === "*") return true;
  if (wanted.startsWith("*")) return name.endsWith(wanted.slice(1));
  if (wanted.endsWith("*")) return name.startsWith(wanted.slice(0, -1));
  return name.toLowerCase() === wanted.toLowerCase();
}

const attachable: readonly AnalyzedKind[] = ["AuthorizationPolicy", "RequestAuthentication", "Telemetry", "WasmPlugin"];
const GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name";

export const gatewaySelectors: Analyzer = {
  name: "k8sgateway.SelectorAnalyzer",
  description: "No policy selects the pods of a Kubernetes Gateway by labels, which has no effect",
  inputs: [...attachable, "Pod"],
  analyze(context) {
    const pods = context.all("Pod").filter(({ labels }) => labels[GATEWAY_NAME] !== undefined);
    for (const item of attachable.flatMap((kind) => context.all(kind))) {
      const { selector, targetRef } = item.spec;
      if (selector === undefined || targetRef !== undefined) continue;
      const labels = stringMapOf(fieldsOf(selector)["matchLabels"]);
      for (const pod of pods) {
        if (pod.namespace !== item.namespace || !matchesLabels(labels, pod.labels)) continue;
        const message = `its selector has no effect on the pods of the Kubernetes Gateway ${pod.labels[GATEWAY_NAME] ?? ""}; name the Gateway in targetRefs instead.`;
        context.report("IST0166", item, message);
      }
    }
  },
};

export const blockedCidrs: Analyzer = {
  name: "authn.BlockedCIDRsAnalyzer",
  description: "Where keys of tokens are fetched, istiod is told which networks it must not ask",
  inputs: ["RequestAuthentication", "Deployment"],
  analyze(context) {
    const names = context.all("RequestAuthentication").map(fullName);
    if (names.length === 0) return;
    const shown = names.length > 5 ? `${names.slice(0, 5).join(", ")} and ${names.length - 5} more` : names.join(", ");
    for (const item of context.all("Deployment").filter(({ labels }) => labels["app"] === "istiod")) {
      const pod = fieldsOf(fieldsOf(item.spec["template"])["spec"]);
      const isSet = listOf(pod["containers"])
        .flatMap((container) => listOf(fieldsOf(container)["env"]))
        .map(fieldsOf)
        .some(({ name, value }) => name === "BLOCKED_CIDRS_IN_JWKS_URIS" && (stringOf(value) ?? "") !== "");
      if (isSet) continue;
      const message = `fetches keys for ${names.length} RequestAuthentications (${shown}) from anywhere; set BLOCKED_CIDRS_IN_JWKS_URIS to the networks that it must not ask.`;
      context.report("IST0175", item, message);
    }
  },
};
