/** Where routes lead: destinations with weights, and what may be done to headers on the way. */
import { fieldsOf, listOf, numberOf, stringOf, stringsOf } from "../model/read-fields.ts";
import { headerNameFault, headerValueFault, isDnsLabel, portFault, wildcardDomainFault } from "./check-strings.ts";
import type { Findings } from "./findings.ts";
import { expect } from "./shared-checks.ts";

/** `route[]` of http, tls and tcp rules (rule 23). */
export function expectRouteDestinations(findings: Findings, path: string, list: unknown): void {
  let total = 0;
  const destinations = listOf(list);
  for (const [index, item] of destinations.entries()) {
    const at = `${path}[${index}]`;
    const route = fieldsOf(item);
    expectDestination(findings, `${at}.destination`, route["destination"]);
    const weight = numberOf(route["weight"]) ?? 0;
    if (weight < 0) findings.refuse(`${at}.weight`, `a weight can't be negative, found ${weight}.`);
    total += weight;
    expectHeaderOperations(findings, `${at}.headers`, route["headers"]);
  }
  if (destinations.length > 1 && total === 0) {
    findings.refuse(path, "the weights of the destinations add up to 0; give at least one of them a weight.");
  }
}

export function expectDestination(findings: Findings, path: string, value: unknown): void {
  if (value === undefined || value === null) {
    findings.refuse(path, "a destination with a host is required.");
    return;
  }
  const { host, subset, port } = fieldsOf(value);
  const name = stringOf(host) ?? "";
  if (name === "*") findings.refuse(`${path}.host`, "`*` is no destination; name one service.");
  else expect(findings, `${path}.host`, wildcardDomainFault(name));
  if (typeof subset === "string" && subset !== "" && !isDnsLabel(subset)) {
    findings.refuse(`${path}.subset`, `${JSON.stringify(subset)} is no name of a subset: letters, digits and \`-\`.`);
  }
  if (port !== undefined) expect(findings, `${path}.port.number`, portFault(fieldsOf(port)["number"]));
}

/** `headers` of a rule or destination (rule 25). */
export function expectHeaderOperations(findings: Findings, path: string, headers: unknown): void {
  for (const direction of ["request", "response"] as const) {
    const operations = fieldsOf(fieldsOf(headers)[direction]);
    for (const kind of ["set", "add"] as const) {
      for (const [name, value] of Object.entries(fieldsOf(operations[kind]))) {
        const at = `${path}.${direction}.${kind}[${JSON.stringify(name)}]`;
        expect(
          findings,
          at,
          operationNameFault(name, direction === "request") ?? headerValueFault(stringOf(value) ?? ""),
        );
      }
    }
    for (const [index, name] of stringsOf(operations["remove"]).entries()) {
      expect(findings, `${path}.${direction}.remove[${index}]`, operationNameFault(name, false));
    }
  }
}

/** The Host may be rewritten once at one level: by rewrite, or by one of the request's header operations. */
export function expectOneAuthority(findings: Findings, path: string, rewrite: unknown, headers: unknown): void {
  const request = fieldsOf(fieldsOf(headers)["request"]);
  let current = stringOf(fieldsOf(rewrite)["authority"]) ?? "";
  for (const kind of ["set", "add"] as const) {
    for (const [name, value] of Object.entries(fieldsOf(request[kind]))) {
      if (!isAuthority(name)) continue;
      if (current !== "") {
        const at = `${path}.headers.request.${kind}[${JSON.stringify(name)}]`;
        findings.refuse(at, `the Host is already set to ${JSON.stringify(current)} at this level; set it once.`);
      }
      current = String(value);
    }
  }
}

function operationNameFault(name: string, mayBeAuthority: boolean): string | undefined {
  if (isAuthority(name)) {
    return mayBeAuthority ? undefined : `${JSON.stringify(name)} can only be set or added on a request`;
  }
  if (name.startsWith(":")) return `${JSON.stringify(name)}: a pseudo header can't be changed`;
  return headerNameFault(name);
}

function isAuthority(name: string): boolean {
  return name === ":authority" || name.toLowerCase() === "host";
}
