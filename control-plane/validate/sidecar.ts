/** networking.istio.io Sidecar, as istiod checks it. */
import { ipFamily } from "../model/ip.ts";
import { fieldsOf, listOf, numberOf, stringOf, stringsOf, type Fields } from "../model/read-fields.ts";
import { ipFault, isDnsLabel, portFault, wildcardDomainFault } from "./check-strings.ts";
import type { Findings } from "./findings.ts";
import { expectPortProtocol } from "./port-protocol.ts";
import { expectDestination } from "./destinations.ts";
import { expectServerTls } from "./gateway-tls.ts";
import { expect, expectSelector } from "./shared-checks.ts";
import { expectConnectionPool } from "./traffic-policy.ts";
import { protocolFromName } from "../model/protocol.ts";

const UNIX = "unix://";

export function validateSidecar(findings: Findings, spec: Fields): void {
  expectSelector(findings, "spec.workloadSelector", spec["workloadSelector"], "labels");
  const ingress = listOf(spec["ingress"]).map(fieldsOf);
  const isEmpty = ["ingress", "egress"].every((name) => listOf(spec[name]).length === 0);
  if (isEmpty && spec["outboundTrafficPolicy"] === undefined && spec["inboundConnectionPool"] === undefined) {
    findings.refuse(
      "spec",
      "the Sidecar says nothing: it needs ingress, egress, outboundTrafficPolicy or inboundConnectionPool.",
    );
  }
  const seen = new Set<unknown>();
  for (const [index, listener] of ingress.entries()) {
    const path = `spec.ingress[${index}]`;
    expectNoTargetPort(findings, path, listener);
    expectIngress(findings, path, listener);
    const { number } = fieldsOf(listener["port"]);
    if (seen.has(number)) findings.refuse(`${path}.port.number`, `the port ${String(number)} is used twice.`);
    seen.add(number);
  }
  expectEgress(findings, listOf(spec["egress"]).map(fieldsOf));
  expectConnectionPool(findings, "spec.inboundConnectionPool", spec["inboundConnectionPool"]);
  expectOutboundPolicy(findings, spec["outboundTrafficPolicy"]);
}

function expectNoTargetPort(findings: Findings, path: string, listener: Fields): void {
  const targetPort = fieldsOf(listener["port"])["targetPort"];
  if ((numberOf(targetPort) ?? 0) > 0)
    findings.refuse(`${path}.port.targetPort`, "has no effect in a Sidecar; remove it.");
}

function expectOutboundPolicy(findings: Findings, value: unknown): void {
  const path = "spec.outboundTrafficPolicy";
  const { mode = "REGISTRY_ONLY", egressProxy } = fieldsOf(value);
  if (mode === "ALLOW_ANY_DYNAMIC_DNS") {
    findings.refuse(
      `${path}.mode`,
      "ALLOW_ANY_DYNAMIC_DNS is a mode of the whole mesh; say ALLOW_ANY or REGISTRY_ONLY.",
    );
  } else if (egressProxy !== undefined) {
    if (mode !== "ALLOW_ANY") findings.refuse(`${path}.egressProxy`, "goes with the mode ALLOW_ANY only.");
    else if (fieldsOf(egressProxy)["port"] === undefined) findings.refuse(`${path}.egressProxy`, "a port is required.");
    else expectDestination(findings, `${path}.egressProxy`, egressProxy);
  }
}

/** Certificates of an ingress listener are files of the sidecar, and TLS ends there. */
function expectIngressTls(findings: Findings, path: string, listener: Fields): void {
  const tls = fieldsOf(listener["tls"]);
  for (const name of ["subjectAltNames", "credentialNames", "tlsCertificates"]) {
    if (listOf(tls[name]).length > 0)
      findings.refuse(`${path}.tls.${name}`, "is not supported by a sidecar's listener.");
  }
  if (tls["httpsRedirect"] === true)
    findings.refuse(`${path}.tls.httpsRedirect`, "is not supported by a sidecar's listener.");
  if ((stringOf(tls["credentialName"]) ?? "") !== "") {
    findings.refuse(`${path}.tls.credentialName`, "is not supported by a sidecar's listener; name files.");
  }
  const mode = tls["mode"];
  if (mode === "ISTIO_MUTUAL" || mode === "AUTO_PASSTHROUGH") {
    findings.refuse(
      `${path}.tls.mode`,
      `${mode} is no mode of a sidecar's listener; say SIMPLE, MUTUAL or PASSTHROUGH.`,
    );
    return;
  }
  const protocol = protocolFromName(stringOf(fieldsOf(listener["port"])["protocol"]) ?? "");
  if (protocol !== "HTTPS" && protocol !== "TLS") {
    findings.refuse(`${path}.tls`, "tls goes with a port of the protocol HTTPS or TLS only.");
  }
  expectServerTls(findings, `${path}.tls`, tls);
}

function expectIngress(findings: Findings, path: string, listener: Fields): void {
  const port = fieldsOf(listener["port"]);
  expect(findings, `${path}.port.number`, portFault(port["number"]));
  expectPortProtocol(findings, `${path}.port.protocol`, port["protocol"]);
  const bind = stringOf(listener["bind"]) ?? "";
  if (bind.startsWith(UNIX)) findings.refuse(`${path}.bind`, "an ingress listener can't be a unix:// socket.");
  else if (bind !== "") expect(findings, `${path}.bind`, ipFault(bind));
  if (listener["tls"] !== undefined) expectIngressTls(findings, path, listener);
  expectConnectionPool(findings, `${path}.connectionPool`, listener["connectionPool"]);
  const isHttp = ["HTTP", "HTTP2", "GRPC", "GRPC-Web", "HTTP_PROXY"].includes(
    protocolFromName(stringOf(port["protocol"]) ?? ""),
  );
  if (fieldsOf(listener["connectionPool"])["http"] !== undefined && !isHttp) {
    findings.warn(
      `${path}.connectionPool.http`,
      `has no effect on a port of the protocol ${String(port["protocol"])}.`,
    );
  }
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
    expectNoTargetPort(findings, path, listener);
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
    warnOfRepeatedHosts(findings, path, hosts);
  }
}

function warnOfRepeatedHosts(findings: Findings, path: string, hosts: readonly string[]): void {
  const byNamespace = new Map<string, Set<string>>();
  for (const [at, host] of hosts.entries()) {
    const slash = host.indexOf("/");
    if (slash < 0 || host.startsWith("~")) continue;
    const written = host.slice(0, slash);
    const namespace = written === "." ? findings.object.metadata.namespace : written;
    const name = host.slice(slash + 1);
    const known = byNamespace.get(namespace) ?? new Set();
    const isRepeated = name === "*" ? known.size > 0 : known.has(name) || known.has("*");
    if (isRepeated) findings.warn(`${path}.hosts[${at}]`, `${host} is imported by another entry already.`);
    byNamespace.set(namespace, known.add(name));
  }
  if (byNamespace.get("*")?.has("*") === true && byNamespace.size > 1) {
    findings.warn(`${path}.hosts`, "`*/*` imports everything; the other hosts add nothing.");
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
