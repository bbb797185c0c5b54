/** Fields and kinds that Istio is giving up. */
import { fieldsOf, listOf, numberOf } from "../../model/read-fields.ts";
import type { Analyzer } from "../analyzer.ts";

const removedKinds: ReadonlySet<string> = new Set([
  "ClusterRbacConfig",
  "RbacConfig",
  "ServiceRole",
  "ServiceRoleBinding",
]);

export const deprecations: Analyzer = {
  name: "deprecation.DeprecationAnalyzer",
  description: "Nothing uses fields and kinds that are deprecated",
  inputs: ["VirtualService", "Sidecar", "CustomResourceDefinition"],
  analyze(context) {
    for (const item of context.all("VirtualService")) {
      const isUsed = listOf(item.spec["http"]).some((rule) => {
        const delay = fieldsOf(fieldsOf(fieldsOf(rule)["fault"])["delay"]);
        return (numberOf(delay["percent"]) ?? 0) > 0;
      });
      if (isUsed)
        context.report("IST0002", item, "http.fault.delay.percent is deprecated; use http.fault.delay.percentage.");
    }
    for (const item of context.all("Sidecar")) {
      if (fieldsOf(item.spec["outboundTrafficPolicy"])["egressProxy"] === undefined) continue;
      context.report("IST0002", item, "outboundTrafficPolicy.egressProxy has no effect any more; remove it.");
    }
    for (const item of context.all("CustomResourceDefinition")) {
      const kind = String(fieldsOf(item.spec["names"])["kind"]);
      if (item.spec["group"] !== "rbac.istio.io" || !removedKinds.has(kind)) continue;
      context.report("IST0002", item, `the kind rbac.istio.io ${kind} is gone; use AuthorizationPolicy.`);
    }
  },
};
