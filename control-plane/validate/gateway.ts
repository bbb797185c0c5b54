/** networking.istio.io Gateway, as istiod checks it. */
import { fieldsOf, listOf, numberOf, stringOf, stringsOf, type Fields } from "../model/read-fields.ts";
import { protocolFromName } from "../model/protocol.ts";
import type { Protocol } from "../model/service.ts";
import { fqdnFault, ipFault, isDnsLabel, portFault, wildcardDomainFault } from "./check-strings.ts";
import type { Findings } from "./findings.ts";
import { expectServerTls } from "./gateway-tls.ts";
import { expect } from "./shared-checks.ts";

const UNIX = "unix://";

export function validateGateway(findings: Findings, spec: Fields): void {
  const { name } = findings.object.metadata;
  // Its name is a part of the names of route configurations.
  if (!isDnsLabel(name))
    findings.refuse("metadata.name", `${JSON.stringify(name)} must be letters, digits and \`-\`, at most 63.`);
  if (Object.keys(fieldsOf(spec["selector"])).length === 0) {
    findings.note("spec.selector", "without a selector the Gateway is for every gateway workload of the mesh.");
  }
  const servers = listOf(spec["servers"]).map(fieldsOf);
  if (servers.length === 0) findings.refuse("spec.servers", "a Gateway needs at least one server.");
  const portNames = new Set<string>();
  for (const [index, server] of servers.entries()) {
    const path = `spec.servers[${index}]`;
    expectServer(findings, path, server);
    const portName = stringOf(fieldsOf(server["port"])["name"]) ?? "";
    if (portName === "") continue;
    if (portNames.has(portName))
      findings.refuse(`${path}.port.name`, `${portName} is the name of another port of this Gateway.`);
    portNames.add(portName);
  }
}

function expectServer(findings: Findings, path: string, server: Fields): void {
  const hosts = stringsOf(server["hosts"]);
  if (hosts.length === 0) findings.refuse(`${path}.hosts`, "a server needs at least one host; `*` is all of them.");
  for (const [index, host] of hosts.entries()) expect(findings, `${path}.hosts[${index}]`, serverHostFault(host));
  if ((stringOf(server["defaultEndpoint"]) ?? "") !== "")
    findings.refuse(`${path}.defaultEndpoint`, "is not supported by Istio; route by a VirtualService.");
  const protocol = expectPort(findings, `${path}.port`, server["port"]);
  expectBind(findings, path, server);
  if (protocol === undefined) return;
  expectTlsForProtocol(findings, path, protocol, server["tls"]);
}

/** Undefined where it is none. */
function expectPort(findings: Findings, path: string, value: unknown): Protocol | undefined {
  if (value === undefined || value === null) {
    findings.refuse(path, "port is missing; it is required.");
    return undefined;
  }
  const port = fieldsOf(value);
  const written = stringOf(port["protocol"]) ?? "";
  const protocol = protocolFromName(written);
  const isKnown = protocol !== "auto" && protocol !== "UDP" && protocol !== "HTTP_PROXY";
  if (!isKnown) {
    const allowed = "HTTP, HTTPS, HTTP2, GRPC, GRPC-WEB, TLS, TCP, MONGO, REDIS, MYSQL";
    findings.refuse(`${path}.protocol`, `${JSON.stringify(written)} must be one of ${allowed}.`);
  }
  if ((numberOf(port["number"]) ?? 0) !== 0) expect(findings, `${path}.number`, portFault(port["number"]));
  else findings.refuse(`${path}.number`, "a server needs a port number.");
  if ((stringOf(port["name"]) ?? "") === "") findings.refuse(`${path}.name`, "a port needs a name.");
  return isKnown ? protocol : undefined;
}

function expectBind(findings: Findings, path: string, server: Fields): void {
  const bind = stringOf(server["bind"]) ?? "";
  if (bind === "") return;
  if (bind.startsWith(UNIX)) findings.refuse(`${path}.bind`, "a gateway listens on addresses, not on unix:// sockets.");
  else expect(findings, `${path}.bind`, ipFault(bind));
}

function expectTlsForProtocol(findings: Findings, path: string, protocol: Protocol, value: unknown): void {
  const hasTls = value !== undefined && value !== null;
  const needsTls = protocol === "HTTPS" || protocol === "TLS";
  if (needsTls && !hasTls) {
    findings.refuse(`${path}.tls`, `a ${protocol} server needs tls; with \`mode: PASSTHROUGH\` it stays unread.`);
    return;
  }
  if (!hasTls) return;
  const tls = fieldsOf(value);
  expectServerTls(findings, `${path}.tls`, tls);
  if (needsTls) {
    if (tls["httpsRedirect"] === true)
      findings.warn(`${path}.tls.httpsRedirect`, "belongs to the plaintext HTTP server; this one is HTTPS already.");
    return;
  }
  const isHttp = protocol === "HTTP" || protocol === "HTTP2" || protocol === "GRPC" || protocol === "GRPC-Web";
  const isRedirectOnly = isHttp && onlyRedirects(tls);
  if (!isRedirectOnly) {
    const allowed = isHttp
      ? "a plaintext HTTP server may have tls.httpsRedirect alone"
      : `a ${protocol} server has no tls`;
    findings.refuse(`${path}.tls`, `${allowed}; for TLS the protocol is HTTPS or TLS.`);
  }
}

function onlyRedirects(tls: Fields): boolean {
  const mode = stringOf(tls["mode"]) ?? "PASSTHROUGH";
  const isPassthrough = mode === "PASSTHROUGH" || mode === "AUTO_PASSTHROUGH";
  return (
    isPassthrough &&
    ["caCertificates", "privateKey", "serverCertificate"].every((key) => (stringOf(tls[key]) ?? "") === "")
  );
}

/** `host` or `namespace/host`; the namespace may be `*` or `.`. */
function serverHostFault(text: string): string | undefined {
  const slash = text.indexOf("/");
  if (slash < 0) return hostFault(text);
  const namespace = text.slice(0, slash);
  const host = text.slice(slash + 1);
  if (namespace === "" || host === "") return `${JSON.stringify(text)}: neither namespace nor host may be empty`;
  if (namespace !== "*" && namespace !== "." && !isDnsLabel(namespace)) {
    return `${JSON.stringify(namespace)} must be a namespace, \`*\` or \`.\``;
  }
  return hostFault(host);
}

function hostFault(host: string): string | undefined {
  if (ipFault(host) === undefined) return undefined;
  return host.includes("*") ? wildcardDomainFault(host) : fqdnFault(host);
}
