/** networking.istio.io WorkloadGroup, as istiod checks it. */
import { fieldsOf, listOf, numberOf, stringOf, type Fields } from "../model/read-fields.ts";
import { portFault } from "./check-strings.ts";
import type { Findings } from "./findings.ts";
import { expect, expectLabels } from "./shared-checks.ts";

export function validateWorkloadGroup(findings: Findings, spec: Fields): void {
  if (spec["template"] === undefined) {
    findings.refuse("spec", "template is missing; it says what the WorkloadEntries of the group are like.");
    return;
  }
  expectLabels(findings, "spec.metadata.labels", fieldsOf(spec["metadata"])["labels"]);
  if (spec["probe"] !== undefined) expectProbe(findings, "spec.probe", fieldsOf(spec["probe"]));
}

const counts = ["periodSeconds", "initialDelaySeconds", "timeoutSeconds", "successThreshold", "failureThreshold"];

function expectProbe(findings: Findings, path: string, probe: Fields): void {
  for (const name of counts) {
    const value = numberOf(probe[name]) ?? 0;
    if (value < 0) findings.refuse(`${path}.${name}`, `must be 0 or more, found ${value}.`);
  }
  if (probe["httpGet"] !== undefined) {
    const { port, scheme = "", httpHeaders } = fieldsOf(probe["httpGet"]);
    expect(findings, `${path}.httpGet.port`, portFault(port));
    if (!["", "HTTP", "HTTPS"].includes(String(scheme))) {
      findings.refuse(`${path}.httpGet.scheme`, `must be HTTP or HTTPS, found ${JSON.stringify(scheme)}.`);
    }
    for (const [index, header] of listOf(httpHeaders).map(fieldsOf).entries()) {
      const name = stringOf(header["name"]) ?? "";
      if (!/^[-_A-Za-z0-9]+$/.test(name)) {
        findings.refuse(`${path}.httpGet.httpHeaders[${index}].name`, `${JSON.stringify(name)} is no header name.`);
      }
    }
  } else if (probe["tcpSocket"] !== undefined) {
    expect(findings, `${path}.tcpSocket.port`, portFault(fieldsOf(probe["tcpSocket"])["port"]));
  } else if (probe["exec"] !== undefined) {
    if (listOf(fieldsOf(probe["exec"])["command"]).length === 0) {
      findings.refuse(`${path}.exec.command`, "command is missing; it is required.");
    }
  } else if (probe["grpc"] === undefined) {
    findings.refuse(path, "says nothing to ask; it needs httpGet, tcpSocket or exec.");
  } else {
    findings.refuse(`${path}.grpc`, "istiod knows no probe by gRPC; use httpGet, tcpSocket or exec.");
  }
}
