/** The few Kubernetes kinds that take part in the mesh: what would break a translation is refused by name. */
import { fieldsOf, listOf, numberOf, stringOf, stringsOf, type Fields } from "../model/read-fields.ts";
import { ipFault, isDnsLabel, portFault } from "./check-strings.ts";
import type { Findings } from "./findings.ts";
import { expect, expectLabels } from "./shared-checks.ts";

export function validateService(findings: Findings, spec: Fields): void {
  const ports = listOf(spec["ports"]).map(fieldsOf);
  const seen = new Set<string>();
  for (const [index, port] of ports.entries()) {
    const path = `spec.ports[${index}]`;
    expect(findings, `${path}.port`, portFault(port["port"]));
    const name = port["name"];
    if (name === undefined && ports.length > 1) {
      findings.warn(`${path}.name`, "with several ports each needs a name; an API server refuses this Service.");
    }
    if (name !== undefined && (typeof name !== "string" || !isDnsLabel(name))) {
      findings.refuse(
        `${path}.name`,
        `${JSON.stringify(name)} is no name of a port: letters, digits and \`-\`, at most 63.`,
      );
    }
    const transport = port["protocol"] ?? "TCP";
    if (transport !== "TCP" && transport !== "UDP" && transport !== "SCTP") {
      findings.refuse(
        `${path}.protocol`,
        `must be TCP, UDP or SCTP, found ${JSON.stringify(transport)}; the application protocol goes into the name or appProtocol.`,
      );
    }
    for (const key of [`name ${stringOf(name) ?? ""}`, `port ${String(port["port"])}/${stringOf(transport) ?? ""}`]) {
      if (seen.has(key)) findings.refuse(path, `${key} is used twice in this Service.`);
      seen.add(key);
    }
    const target = port["targetPort"];
    if (typeof target === "number" && target !== 0) expect(findings, `${path}.targetPort`, portFault(target));
  }
  const isExternal = spec["type"] === "ExternalName";
  if (ports.length === 0 && !isExternal && spec["clusterIP"] !== "None")
    findings.refuse("spec.ports", "a Service needs at least one port.");
  if (isExternal && (stringOf(spec["externalName"]) ?? "") === "")
    findings.refuse("spec.externalName", "a Service of type ExternalName needs a name.");
  const clusterIps = [spec["clusterIP"], ...listOf(spec["clusterIPs"])].filter(
    (ip) => ip !== undefined && ip !== "" && ip !== "None",
  );
  for (const ip of new Set(clusterIps)) expect(findings, "spec.clusterIP", ipFault(String(ip)));
  expectLabels(findings, "spec.selector", spec["selector"]);
}

export function validatePod(findings: Findings): void {
  const { raw } = findings.object;
  const status = fieldsOf(raw["status"]);
  const addresses = [status["podIP"], ...listOf(status["podIPs"]).map((item) => fieldsOf(item)["ip"])];
  for (const ip of addresses) {
    if (ip !== undefined && ip !== "") expect(findings, "status.podIP", ipFault(stringOf(ip) ?? ""));
  }
  expectContainerPorts(findings, "spec", fieldsOf(findings.object.spec));
}

export function validateWorkloadController(findings: Findings, spec: Fields): void {
  const template = fieldsOf(spec["template"]);
  const selector = fieldsOf(fieldsOf(spec["selector"])["matchLabels"]);
  const labels = fieldsOf(fieldsOf(template["metadata"])["labels"]);
  const missing = Object.entries(selector).find(([key, value]) => labels[key] !== value);
  if (missing !== undefined) {
    findings.refuse(
      "spec.selector.matchLabels",
      `${missing[0]}: ${String(missing[1])} is not among the labels of spec.template: the Deployment would select none of its own Pods.`,
    );
  }
  const replicas = spec["replicas"];
  if (replicas !== undefined && (!Number.isInteger(replicas) || (numberOf(replicas) ?? -1) < 0)) {
    findings.refuse("spec.replicas", `must be a whole number of 0 or more, found ${JSON.stringify(replicas)}.`);
  }
  expectContainerPorts(findings, "spec.template.spec", fieldsOf(template["spec"]));
}

export function validateEndpointSlice(findings: Findings): void {
  const { raw, metadata } = findings.object;
  const type = raw["addressType"];
  if (type !== "IPv4" && type !== "IPv6" && type !== "FQDN")
    findings.refuse("addressType", "must be IPv4, IPv6 or FQDN.");
  if (metadata.labels["kubernetes.io/service-name"] === undefined) {
    findings.warn("metadata.labels", "without the label kubernetes.io/service-name the slice belongs to no Service.");
  }
  for (const [index, endpoint] of listOf(raw["endpoints"]).map(fieldsOf).entries()) {
    for (const address of type === "FQDN" ? [] : stringsOf(endpoint["addresses"])) {
      expect(findings, `endpoints[${index}].addresses`, ipFault(address));
    }
  }
  for (const [index, port] of listOf(raw["ports"]).map(fieldsOf).entries()) {
    if (port["port"] !== undefined) expect(findings, `ports[${index}].port`, portFault(port["port"]));
  }
}

export function validateEndpoints(findings: Findings): void {
  for (const [index, subset] of listOf(findings.object.raw["subsets"]).map(fieldsOf).entries()) {
    for (const key of ["addresses", "notReadyAddresses"]) {
      for (const [at, item] of listOf(subset[key]).map(fieldsOf).entries()) {
        expect(findings, `subsets[${index}].${key}[${at}].ip`, ipFault(stringOf(item["ip"]) ?? ""));
      }
    }
    for (const [at, port] of listOf(subset["ports"]).map(fieldsOf).entries()) {
      expect(findings, `subsets[${index}].ports[${at}].port`, portFault(port["port"]));
    }
  }
}

function expectContainerPorts(findings: Findings, path: string, spec: Fields): void {
  for (const [index, container] of listOf(spec["containers"]).map(fieldsOf).entries()) {
    for (const [at, port] of listOf(container["ports"]).map(fieldsOf).entries()) {
      expect(findings, `${path}.containers[${index}].ports[${at}].containerPort`, portFault(port["containerPort"]));
    }
  }
}
