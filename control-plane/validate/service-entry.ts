/** networking.istio.io ServiceEntry and WorkloadEntry, as istiod checks them. */
import { ipFamily } from "../model/ip.ts";
import { protocolFromName } from "../model/protocol.ts";
import { fieldsOf, listOf, stringOf, stringsOf, type Fields } from "../model/read-fields.ts";
import { cidrFault, fqdnFault, ipFault, isDnsLabel, portFault, wildcardDomainFault } from "./check-strings.ts";
import type { Findings } from "./findings.ts";
import { expectPortProtocol } from "./port-protocol.ts";
import { expect, expectExportTo, expectLabels, expectSelector } from "./shared-checks.ts";

const UNIX = "unix://";

export function validateServiceEntry(findings: Findings, spec: Fields): void {
  const hosts = stringsOf(spec["hosts"]);
  const resolution = stringOf(spec["resolution"]) ?? "NONE";
  const endpoints = listOf(spec["endpoints"]).map(fieldsOf);
  expectSelector(findings, "spec.workloadSelector", spec["workloadSelector"], "labels");
  if (spec["workloadSelector"] !== undefined && endpoints.length > 0) {
    findings.refuse("spec.endpoints", "endpoints and workloadSelector exclude each other.");
  }
  if (hosts.length === 0) findings.refuse("spec.hosts", "at least one host is required.");
  for (const [index, host] of hosts.entries()) {
    if (host === "*")
      findings.refuse(`spec.hosts[${index}]`, "`*` is not allowed; name a host, or a wildcard as *.example.com.");
    else expect(findings, `spec.hosts[${index}]`, wildcardDomainFault(host));
    if (resolution !== "DYNAMIC_DNS" && host.length > 1 && host.includes("*") && !host.startsWith("*.")) {
      findings.warn(`spec.hosts[${index}]`, `${host}: a wildcard stands for whole labels only, as in *.example.com.`);
    }
  }
  expectAddresses(findings, stringsOf(spec["addresses"]), resolution);
  const portNames = expectPorts(findings, spec);
  expectEndpoints(findings, {
    resolution,
    hosts,
    endpoints,
    portNames,
    hasSelector: spec["workloadSelector"] !== undefined,
  });
  const ports = listOf(spec["ports"]).map(fieldsOf);
  if (resolution !== "NONE" && hosts.length > 1 && !ports.every(tellsHostsApart)) {
    findings.refuse(
      "spec.hosts",
      "several hosts can't be told apart on a port that is neither HTTP nor TLS; use one ServiceEntry a host.",
    );
  }
  warnOfAddresses(findings, spec, resolution);
  expectExportTo(findings, spec["exportTo"], { isServiceEntry: true });
}

/** A TCP connection says nothing but an address: without one of its own it is anybody's. */
function warnOfAddresses(findings: Findings, spec: Fields, resolution: string): void {
  const addresses = listOf(spec["addresses"]);
  const hosts = listOf(spec["hosts"]);
  const label = findings.object.metadata.labels["networking.istio.io/enable-autoallocate-ip"] ?? "";
  const isAllocated = resolution !== "NONE" && label.toLowerCase() !== "false";
  for (const [index, port] of listOf(spec["ports"]).map(fieldsOf).entries()) {
    const protocol = stringOf(port["protocol"]) ?? "";
    if (addresses.length === 0 && !isAllocated && (protocol === "" || protocol === "TCP")) {
      findings.warn(`spec.ports[${index}]`, "a TCP port without addresses, and none is allocated; add spec.addresses.");
    }
  }
  const isDns = resolution === "DNS" || resolution === "DNS_ROUND_ROBIN";
  const hasTcp = listOf(spec["ports"]).some((port) => isTcp(stringOf(fieldsOf(port)["protocol"]) ?? ""));
  if (isDns && addresses.length > 0 && hosts.length > 1 && hasTcp) {
    findings.warn(
      "spec.hosts",
      "several hosts share addresses on a TCP port: connections to them can't be told apart.",
    );
  }
  if (resolution === "NONE" && spec["workloadSelector"] !== undefined) {
    findings.warn("spec.workloadSelector", "has no effect with the resolution NONE; say STATIC or DNS.");
  }
}

const isTcp = (protocol: string): boolean =>
  ["TCP", "HTTPS", "TLS", "MONGO", "REDIS", "MYSQL"].includes(protocolFromName(protocol));

export function validateWorkloadEntry(findings: Findings, spec: Fields): void {
  const address = stringOf(spec["address"]) ?? "";
  if (address === "") {
    if ((stringOf(spec["network"]) ?? "") === "")
      findings.refuse("spec.address", "an address is required (or a network).");
    else
      findings.warn("spec.network", "without an address the workload is reached through the gateways of its network.");
  } else if (address.startsWith(UNIX)) {
    expectUnix(findings, "spec", address, spec);
  } else if (ipFamily(address) === 0 && fqdnFault(address) !== undefined) {
    findings.refuse("spec.address", `${JSON.stringify(address)} is neither an IP address nor a DNS name.`);
  }
  expectLabels(findings, "spec.labels", spec["labels"]);
  for (const [name, port] of Object.entries(fieldsOf(spec["ports"]))) {
    expect(findings, `spec.ports[${JSON.stringify(name)}]`, portNameFault(name) ?? portFault(port));
  }
}

function tellsHostsApart(port: Fields): boolean {
  const known = ["HTTP", "HTTP2", "GRPC", "GRPC-Web", "HTTP_PROXY", "HTTPS", "TLS"];
  return known.includes(protocolFromName(stringOf(port["protocol"]) ?? ""));
}

function expectAddresses(findings: Findings, addresses: readonly string[], resolution: string): void {
  for (const [index, address] of addresses.entries()) {
    const path = `spec.addresses[${index}]`;
    expect(findings, path, cidrFault(address));
    if (address.includes("/") && resolution !== "NONE" && resolution !== "STATIC") {
      findings.refuse(path, `a prefix works with resolution NONE or STATIC only, not with ${resolution}.`);
    }
  }
}

function expectPorts(findings: Findings, spec: Fields): ReadonlySet<string> {
  const names = new Set<string>();
  const numbers = new Set<unknown>();
  for (const [index, item] of listOf(spec["ports"]).entries()) {
    const port = fieldsOf(item);
    const path = `spec.ports[${index}]`;
    const name = stringOf(port["name"]) ?? "";
    expect(findings, `${path}.name`, portNameFault(name));
    if (names.has(name)) findings.refuse(`${path}.name`, `the port name ${name} is used twice.`);
    names.add(name);
    expect(findings, `${path}.number`, portFault(port["number"]));
    if (numbers.has(port["number"]))
      findings.refuse(`${path}.number`, `the port ${String(port["number"])} is used twice.`);
    numbers.add(port["number"]);
    const target = port["targetPort"];
    if (target !== undefined && target !== 0) expect(findings, `${path}.targetPort`, portFault(target));
    expectPortProtocol(findings, `${path}.protocol`, port["protocol"]);
  }
  return names;
}

interface EndpointContext {
  readonly resolution: string;
  readonly hosts: readonly string[];
  readonly endpoints: readonly Fields[];
  readonly portNames: ReadonlySet<string>;
  readonly hasSelector: boolean;
}

function expectEndpoints(findings: Findings, context: EndpointContext): void {
  const { resolution, hosts, endpoints, portNames } = context;
  switch (resolution) {
    case "NONE":
      if (endpoints.length > 0)
        findings.refuse(
          "spec.endpoints",
          "with resolution NONE the client's own address counts; remove the endpoints, or use STATIC or DNS.",
        );
      return;
    case "STATIC":
      for (const [index, endpoint] of endpoints.entries()) {
        const path = `spec.endpoints[${index}]`;
        const address = stringOf(endpoint["address"]) ?? "";
        if (address.startsWith(UNIX)) expectUnix(findings, path, address, endpoint);
        else if (address === "" && (stringOf(endpoint["network"]) ?? "") !== "") continue;
        else expect(findings, `${path}.address`, ipFault(address));
        expectEndpointPorts(findings, path, endpoint, portNames);
      }
      if (endpoints.some(({ address }) => stringOf(address)?.startsWith(UNIX) === true) && portNames.size !== 1) {
        findings.refuse("spec.ports", "with a unix:// endpoint exactly one port is required.");
      }
      return;
    case "DNS":
    case "DNS_ROUND_ROBIN":
      if (endpoints.length === 0 && !context.hasSelector) {
        for (const [index, host] of hosts.entries()) {
          const fault = fqdnFault(host);
          if (fault !== undefined)
            findings.refuse(`spec.hosts[${index}]`, `${fault}; without endpoints the host itself is looked up.`);
        }
      }
      if (resolution === "DNS_ROUND_ROBIN" && endpoints.length > 1) {
        findings.refuse("spec.endpoints", "DNS_ROUND_ROBIN takes one endpoint at most.");
      }
      for (const [index, endpoint] of endpoints.entries()) {
        const path = `spec.endpoints[${index}]`;
        const address = stringOf(endpoint["address"]) ?? "";
        if (ipFamily(address) === 0 && fqdnFault(address) !== undefined) {
          findings.refuse(`${path}.address`, `${JSON.stringify(address)} is neither an IP address nor a DNS name.`);
        }
        expectEndpointPorts(findings, path, endpoint, portNames);
      }
      return;
    case "DYNAMIC_DNS":
      if (endpoints.length > 0 || context.hasSelector) {
        findings.refuse(
          "spec.endpoints",
          "with resolution DYNAMIC_DNS the host of each request is looked up; remove endpoints and workloadSelector.",
        );
      }
      return;
    default:
      findings.refuse(
        "spec.resolution",
        `${JSON.stringify(resolution)} must be NONE, STATIC, DNS, DNS_ROUND_ROBIN or DYNAMIC_DNS.`,
      );
  }
}

function expectEndpointPorts(findings: Findings, path: string, endpoint: Fields, portNames: ReadonlySet<string>): void {
  expectLabels(findings, `${path}.labels`, endpoint["labels"]);
  for (const [name, port] of Object.entries(fieldsOf(endpoint["ports"]))) {
    const at = `${path}.ports[${JSON.stringify(name)}]`;
    if (!portNames.has(name))
      findings.refuse(at, `${name} is no port of this ServiceEntry; its ports are ${[...portNames].join(", ")}.`);
    expect(findings, at, portFault(port));
  }
}

function expectUnix(findings: Findings, path: string, address: string, endpoint: Fields): void {
  const file = address.slice(UNIX.length);
  if (!file.startsWith("/") && !file.startsWith("@"))
    findings.refuse(`${path}.address`, "a unix:// address must be an absolute path, or @name.");
  if (Object.keys(fieldsOf(endpoint["ports"])).length > 0)
    findings.refuse(`${path}.ports`, "a unix:// address has no ports.");
}

function portNameFault(name: string): string | undefined {
  return isDnsLabel(name) ? undefined : `${JSON.stringify(name)} is no name of a port: letters, digits and \`-\``;
}
