/** networking.istio.io DestinationRule, as istiod checks it. */
import { fieldsOf, listOf, stringOf, type Fields } from "../model/read-fields.ts";
import { isDnsLabel, wildcardDomainFault } from "./check-strings.ts";
import type { Findings } from "./findings.ts";
import { expect, expectExportTo, expectLabels, expectSelector } from "./shared-checks.ts";
import { expectTrafficPolicy } from "./traffic-policy.ts";

export function validateDestinationRule(findings: Findings, spec: Fields): void {
  expect(findings, "spec.host", wildcardDomainFault(stringOf(spec["host"]) ?? ""));
  expectTrafficPolicy(findings, "spec.trafficPolicy", spec["trafficPolicy"]);
  for (const [index, item] of listOf(spec["subsets"]).entries()) {
    const subset = fieldsOf(item);
    const path = `spec.subsets[${index}]`;
    const name = stringOf(subset["name"]) ?? "";
    if (!isDnsLabel(name)) {
      findings.refuse(
        `${path}.name`,
        `${JSON.stringify(name)} is no name of a subset: letters, digits and \`-\`, not empty.`,
      );
    }
    expectLabels(findings, `${path}.labels`, subset["labels"]);
    expectTrafficPolicy(findings, `${path}.trafficPolicy`, subset["trafficPolicy"]);
  }
  const selector = spec["workloadSelector"];
  expectSelector(findings, "spec.workloadSelector", selector);
  expectExportTo(findings, spec["exportTo"], { hasWorkloadSelector: selector !== undefined });
}
