/** networking.istio.io Sidecar, as istiod checks it. */
import { ipFamily } from "../model/ip.ts";
import { fieldsOf, listOf, numberOf, stringOf, stringsOf, type Fields } from "../model/read-fields.ts";
import { ipFault, isDnsLabel, portFault, wildcardDomainFault } from "./check-strings.ts";
import type { Findings } from "./findings.ts";
import { expectPortProtocol } from "./port-protocol.ts";
import { expect, expectSelector } from "./shared-checks.ts";

const UNIX = "unix://";

export function validateSidecar(findings: Findings, spec: Fields): void {
  expectSelector(findings, "spec.workloadSelector", spec["workloadSelector"], "labels");
  const ingress = listOf(spec["ingress"]).map(fieldsOf);
  const seen = new Set<unknown>();
  for (const [index, listener] of ingress.entries()) {
    const path = `spec.ingress[${index}]`;
    expectIngress(findings, path, listener);
    const { number } = fieldsOf(listener["port"]);
    if (seen.has(number)) findings.refuse(`${path}.port.number`, `the port ${String(number)} is used twice.`);
    seen.add(number);
  }
  expectEgress(findings, listOf(spec["egress"]).map(fieldsOf));
}

function expectIngress(findings: Findings, path: string, listener: Fields): void {
  const port = fieldsOf(listener["port"]);
  expect(findings, `${path}.port.number`, portFault(port["number"]));
  expectPortProtocol(findings, `${path}.port.protocol`, port["protocol"]);
  const bind = stringOf(listener["bind"]) ?? "";
  if (bind.startsWith(UNIX)) findings.refuse(`${path}.bind`, "an ingress listener can't be a unix:// socket.");
  else if (bind !== "") expect(findings, `${path}.bind`, ipFault(bind));
  const endpoint = stringOf(listener["defaultEndpoint"]) ?? "";
  if (endpoint === "" || endpoint.startsWith(UNIX)) return;
  const match = /^(?:(127\.0\.0\.1|0\.0\.0\.0)|\[(::1|::)\])?:(\d+)$/.exec(endpoint);
  if (match === null || portFault(Number(match[3])) !== undefined) {
    const forms = "127.0.0.1:PORT, 0.0.0.0:PORT, [::1]:PORT, [::]:PORT or unix://PATH";
    findings.refuse(`${path}.defaultEndpoint`, `${JSON.stringify(endpoint)} must be ${forms}.`);
  }
}

function expectEgress(findings: Findings, listeners: readonly Fields[]): void {
  const seen = new Set<string>();
  for (const [index, listener] of listeners.entries()) {
    const path = `spec.egress[${index}]`;
    const port = listener["port"] === undefined ? undefined : fieldsOf(listener["port"]);
    if (port === undefined && index < listeners.length - 1) {
      findings.refuse(
        path,
        "a listener without a port takes everything that is left: it must be the last, and the only one.",
      );
    }
    if (port !== undefined) {
      expectEgressPort(findings, path, port, listener);
      const number = numberOf(port["number"]) ?? 0;
      const key = number === 0 ? (stringOf(listener["bind"]) ?? "") : String(number);
      if (seen.has(key)) findings.refuse(`${path}.port`, `${key} is used twice among the egress listeners.`);
      seen.add(key);
    }
    const hosts = stringsOf(listener["hosts"]);
    if (hosts.length === 0)
      findings.refuse(`${path}.hosts`, "at least one host is required, as `./*` or `istio-system/*`.");
    for (const [at, host] of hosts.entries()) expect(findings, `${path}.hosts[${at}]`, importedHostFault(host));
  }
}

function expectEgressPort(findings: Findings, path: string, port: Fields, listener: Fields): void {
  const bind = stringOf(listener["bind"]) ?? "";
  expectPortProtocol(findings, `${path}.port.protocol`, port["protocol"]);
  if ((numberOf(port["number"]) ?? 0) === 0) {
    if (!bind.startsWith(UNIX)) findings.refuse(`${path}.bind`, "without a port number bind must be unix://PATH.");
    else if (
      listener["captureMode"] !== undefined &&
      listener["captureMode"] !== "DEFAULT" &&
      listener["captureMode"] !== "NONE"
    ) {
      findings.refuse(`${path}.captureMode`, "a unix:// socket can't be captured; use DEFAULT or NONE.");
    }
    return;
  }
  expect(findings, `${path}.port.number`, portFault(port["number"]));
  if (bind !== "" && ipFamily(bind) === 0) findings.refuse(`${path}.bind`, `${JSON.stringify(bind)} is no IP address.`);
}

// `namespace/host`: `./*`, `istio-system/*`, `~/*`, any namespace by `*`; `~namespace/host` leaves out.
function importedHostFault(text: string): string | undefined {
  const slash = text.indexOf("/");
  if (slash < 0) return `${JSON.stringify(text)} must be namespace/host, as ./* or */api.example.com`;
  const [namespace, host] = [text.slice(0, slash), text.slice(slash + 1)];
  if (namespace === "" || host === "") return `${JSON.stringify(text)}: neither namespace nor host may be empty`;
  const name = namespace.startsWith("~") && namespace.length > 1 ? namespace.slice(1) : namespace;
  if (name !== "*" && name !== "." && name !== "~" && !isDnsLabel(name)) {
    return `${JSON.stringify(namespace)} must be a namespace, \`*\`, \`.\` or \`~\``;
  }
  return wildcardDomainFault(host);
}
