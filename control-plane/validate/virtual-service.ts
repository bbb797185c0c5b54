/** networking.istio.io VirtualService, as istiod checks it. */
import { ipFamily } from "../model/ip.ts";
import { fieldsOf, listOf, stringsOf, type Fields } from "../model/read-fields.ts";
import { isHostWithin, portFault, wildcardDomainFault, cidrFault } from "./check-strings.ts";
import { expectRouteDestinations } from "./destinations.ts";
import type { Findings } from "./findings.ts";
import { expectGatewayNames, expectHttpRule, type HttpRuleContext } from "./http-route.ts";
import { expect, expectExportTo, expectLabels } from "./shared-checks.ts";
import { noteUnreachableRules } from "./unreachable-rules.ts";

export function validateVirtualService(findings: Findings, spec: Fields): void {
  const hosts = stringsOf(spec["hosts"]);
  const gateways = stringsOf(spec["gateways"]);
  const isDelegate = hosts.length === 0;
  const isOnMesh = gateways.length === 0 || gateways.includes("mesh");
  expectGatewayNames(findings, "spec.gateways", spec["gateways"]);
  if (isDelegate && gateways.length > 0) {
    findings.refuse(
      "spec.gateways",
      "a VirtualService without hosts is a delegate; its gateways are the root's. Add hosts, or remove gateways.",
    );
  }
  expectHosts(findings, hosts, isOnMesh);
  if (!["http", "tls", "tcp"].some((key) => listOf(spec[key]).length > 0)) {
    findings.refuse("spec", "the VirtualService has no rules: it needs http, tls or tcp.");
  }
  const context: HttpRuleContext = { isDelegate, mayRouteByClaims: gateways.length > 0 && !isOnMesh };
  const rules = listOf(spec["http"]);
  for (const [index, rule] of rules.entries()) expectHttpRule(findings, `spec.http[${index}]`, rule, context);
  for (const [index, rule] of listOf(spec["tls"]).entries())
    expectTlsRule(findings, `spec.tls[${index}]`, fieldsOf(rule), hosts);
  for (const [index, rule] of listOf(spec["tcp"]).entries())
    expectTcpRule(findings, `spec.tcp[${index}]`, fieldsOf(rule));
  expectExportTo(findings, spec["exportTo"]);
  noteUnreachableRules(findings, spec);
}

function expectHosts(findings: Findings, hosts: readonly string[], isOnMesh: boolean): void {
  let areValid = true;
  for (const [index, host] of hosts.entries()) {
    const path = `spec.hosts[${index}]`;
    const fault = ipFamily(host) === 0 ? wildcardDomainFault(host) : undefined;
    if (fault !== undefined) findings.refuse(path, `${fault}.`);
    else if (isOnMesh && host === "*") {
      findings.refuse(
        path,
        "`*` is not allowed for sidecars; name the hosts, or bind the VirtualService to gateways only.",
      );
    } else continue;
    areValid = false;
  }
  if (!areValid) return;
  const first = new Map<string, number>();
  for (const [index, host] of hosts.entries()) if (!first.has(host)) first.set(host, index);
  for (const [index, host] of hosts.entries()) {
    const other = overlapping(hosts, first, host, index);
    if (other === undefined) continue;
    const later = Math.max(index, other);
    findings.refuse(`spec.hosts[${later}]`, `${host} and ${hosts[other] ?? ""} overlap; keep one of them.`);
  }
}

/** A host before this one that is the same, or any other that is a wildcard over it. */
function overlapping(
  hosts: readonly string[],
  first: ReadonlyMap<string, number>,
  host: string,
  index: number,
): number | undefined {
  const same = first.get(host);
  if (same !== undefined && same !== index) return same;
  const own = host.startsWith("*") ? host.slice(1) : host;
  for (let at = 0; at <= own.length; at += 1) {
    const wildcard = `*${own.slice(at)}`;
    const other = wildcard === host ? undefined : first.get(wildcard);
    if (other !== undefined && other !== index) return other;
  }
  return undefined;
}

function expectTlsRule(findings: Findings, path: string, rule: Fields, hosts: readonly string[]): void {
  const matches = listOf(rule["match"]);
  if (matches.length === 0) findings.refuse(path, "a tls rule needs a match with sniHosts.");
  for (const [index, item] of matches.entries()) {
    const match = fieldsOf(item);
    const at = `${path}.match[${index}]`;
    const names = stringsOf(match["sniHosts"]);
    if (names.length === 0) findings.refuse(`${at}.sniHosts`, "at least one SNI host is required.");
    for (const [nameIndex, name] of names.entries()) {
      const fault = ipFamily(name) === 0 ? wildcardDomainFault(name) : undefined;
      if (fault !== undefined) findings.refuse(`${at}.sniHosts[${nameIndex}]`, `${fault}.`);
      else if (ipFamily(name) === 6) {
        findings.warn(`${at}.sniHosts[${nameIndex}]`, `${name}: clients do not send an address as SNI; name the host.`);
      } else if (!hosts.some((host) => isHostWithin(name, host))) {
        findings.refuse(
          `${at}.sniHosts[${nameIndex}]`,
          `${name} is not within the hosts of the VirtualService (${hosts.join(", ")}).`,
        );
      }
    }
    expectL4Match(findings, at, match);
  }
  expectL4Routes(findings, path, rule);
}

function expectTcpRule(findings: Findings, path: string, rule: Fields): void {
  for (const [index, match] of listOf(rule["match"]).entries())
    expectL4Match(findings, `${path}.match[${index}]`, fieldsOf(match));
  expectL4Routes(findings, path, rule);
}

function expectL4Match(findings: Findings, path: string, match: Fields): void {
  for (const [index, subnet] of stringsOf(match["destinationSubnets"]).entries()) {
    expect(findings, `${path}.destinationSubnets[${index}]`, cidrFault(subnet));
  }
  const port = match["port"];
  if (port !== undefined && port !== 0) expect(findings, `${path}.port`, portFault(port));
  expectLabels(findings, `${path}.sourceLabels`, match["sourceLabels"]);
  expectGatewayNames(findings, `${path}.gateways`, match["gateways"]);
}

function expectL4Routes(findings: Findings, path: string, rule: Fields): void {
  if (listOf(rule["route"]).length === 0) findings.refuse(`${path}.route`, "at least one destination is required.");
  expectRouteDestinations(findings, `${path}.route`, rule["route"]);
}
