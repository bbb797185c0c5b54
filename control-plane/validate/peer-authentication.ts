/** security.istio.io PeerAuthentication, as istiod checks it. */
import { fieldsOf, type Fields } from "../model/read-fields.ts";
import { portFault } from "./check-strings.ts";
import type { Findings } from "./findings.ts";
import { expect, expectSelector } from "./shared-checks.ts";

export function validatePeerAuthentication(findings: Findings, spec: Fields): void {
  const { selector, portLevelMtls } = spec;
  const ports = Object.keys(fieldsOf(portLevelMtls));
  const selectsAll = Object.keys(fieldsOf(fieldsOf(selector)["matchLabels"])).length === 0;
  if (selectsAll && ports.length > 0) {
    findings.refuse("spec.portLevelMtls", "counts only for selected workloads; add a selector with matchLabels.");
  }
  if (portLevelMtls !== undefined && ports.length === 0) {
    findings.refuse("spec.portLevelMtls", "is empty; name at least one port, or remove it.");
  }
  for (const port of ports) {
    expect(findings, `spec.portLevelMtls["${port}"]`, portFault(/^\d+$/.test(port) ? Number(port) : port));
  }
  expectSelector(findings, "spec.selector", selector);
}
