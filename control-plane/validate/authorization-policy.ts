/** security.istio.io AuthorizationPolicy, as istiod checks it. */
import { fieldsOf, type Fields, listOf, stringOf } from "../model/read-fields.ts";
import { conditionFault, pathTemplateFault, serviceAccountsFault } from "./authorization-values.ts";
import { cidrFault } from "./check-strings.ts";
import type { Findings } from "./findings.ts";
import { expect, expectSelector, expectTargetRefs } from "./shared-checks.ts";

const SOURCE_FIELDS = [
  "principals",
  "requestPrincipals",
  "namespaces",
  "serviceAccounts",
  "trustDomains",
  "ipBlocks",
  "remoteIpBlocks",
];
/** What istiod takes for a question that a TCP connection can answer. */
const TCP_SOURCE_FIELDS = SOURCE_FIELDS.filter((name) => name !== "requestPrincipals" && name !== "trustDomains");
const OPERATION_FIELDS = ["hosts", "ports", "methods", "paths"];

/** What ext_authz can't ask, because it comes before tokens are checked, or because Istio has it not yet. */
const NOT_WITH_CUSTOM = ["principals", "requestPrincipals", "namespaces", "serviceAccounts", "trustDomains"];
const CONDITIONS_NOT_WITH_CUSTOM = /^(?:source\.(?:namespace|serviceAccount|trustDomain|principal)$|request\.auth\.)/;

const HTTP_ONLY_DENY =
  "on TCP ports this DENY rule refuses everything, because all it asks for is HTTP's; say for which ports it is meant.";

export function validateAuthorizationPolicy(findings: Findings, spec: Fields): void {
  const action = stringOf(spec["action"]) ?? "ALLOW";
  const rules = listOf(spec["rules"]);
  expectSelector(findings, "spec.selector", spec["selector"]);
  expectTargetRefs(findings, spec);
  if ((action === "DENY" || action === "CUSTOM") && rules.length === 0) {
    findings.refuse(
      "spec.rules",
      `${action} without rules never takes effect; for every request write \`rules: [{}]\`.`,
    );
  }
  checkProvider(findings, spec, action, rules.length);
  for (const [index, rule] of rules.entries()) checkRule(findings, `spec.rules[${index}]`, rule, action);
}

function checkProvider(findings: Findings, spec: Fields, action: string, rules: number): void {
  const name = stringOf(fieldsOf(spec["provider"])["name"]) ?? "";
  if (action === "CUSTOM" && rules > 0 && name === "") {
    findings.refuse("spec.provider.name", "CUSTOM asks an extension provider; name it.");
  }
  if (action !== "CUSTOM" && spec["provider"] !== undefined && spec["provider"] !== null) {
    findings.refuse("spec.provider", `counts only with the action CUSTOM, found ${action}.`);
  }
}

function checkRule(findings: Findings, path: string, rule: unknown, action: string): void {
  if (rule === null) {
    findings.refuse(path, "is empty; for every request write `{}`.");
    return;
  }
  const { from, to, when } = fieldsOf(rule);
  const sources = items(findings, `${path}.from`, from, "source");
  const operations = items(findings, `${path}.to`, to, "operation");
  for (const { at, fields } of sources) checkSource(findings, at, fields, action);
  for (const { at, fields } of operations) checkOperation(findings, at, fields);
  for (const [index, condition] of listOf(when).entries()) {
    checkCondition(findings, `${path}.when[${index}]`, fieldsOf(condition), action);
  }
  const isTcpFrom = sources.some(({ fields }) => has(fields, TCP_SOURCE_FIELDS));
  const isTcpTo = operations.some(({ fields }) => has(fields, ["ports"]));
  const isHttpOnly =
    (sources.length > 0 && operations.length === 0 && !isTcpFrom) || (operations.length > 0 && !isTcpTo);
  if (action === "DENY" && isHttpOnly) findings.warn(path, HTTP_ONLY_DENY);
}

interface Item {
  readonly at: string;
  readonly fields: Fields;
}

/** `from` or `to`: a list of at least one, each with the one thing in it. */
function items(findings: Findings, path: string, value: unknown, name: string): readonly Item[] {
  if (Array.isArray(value) && value.length === 0) findings.refuse(path, "is empty; name something, or remove it.");
  const found: Item[] = [];
  for (const [index, entry] of listOf(value).entries()) {
    const at = `${path}[${index}]`;
    const inner = fieldsOf(entry)[name];
    if (inner === undefined || inner === null)
      findings.refuse(`${at}.${name}`, `${name} is missing; it says what is meant.`);
    else found.push({ at: `${at}.${name}`, fields: fieldsOf(inner) });
  }
  return found;
}

function checkSource(findings: Findings, path: string, source: Fields, action: string): void {
  checkLists(findings, path, source, SOURCE_FIELDS);
  for (const field of both(["ipBlocks", "remoteIpBlocks"])) {
    for (const [index, value] of listOf(source[field]).entries()) {
      if (typeof value === "string") expect(findings, `${path}.${field}[${index}]`, cidrFault(value));
    }
  }
  for (const field of both(["serviceAccounts"])) {
    expect(findings, `${path}.${field}`, serviceAccountsFault(listOf(source[field])));
  }
  if (has(source, ["serviceAccounts"]) && has(source, ["principals", "namespaces"])) {
    findings.refuse(path, "serviceAccounts say more than principals and namespaces; write only one of them.");
  }
  if (action !== "CUSTOM") return;
  for (const field of both(NOT_WITH_CUSTOM)) {
    if (listOf(source[field]).length > 0)
      findings.refuse(`${path}.${field}`, "is not supported with the action CUSTOM.");
  }
}

function checkOperation(findings: Findings, path: string, operation: Fields): void {
  checkLists(findings, path, operation, OPERATION_FIELDS);
  for (const field of both(["ports"])) {
    for (const [index, value] of listOf(operation[field]).entries()) {
      if (!isPort(value)) findings.refuse(`${path}.${field}[${index}]`, `${JSON.stringify(value)} is no port.`);
    }
  }
  for (const field of both(["paths"])) {
    for (const [index, value] of listOf(operation[field]).entries()) {
      if (typeof value === "string") expect(findings, `${path}.${field}[${index}]`, pathTemplateFault(value));
    }
  }
}

/** Lists of texts that say something, and at least one of them. */
function checkLists(findings: Findings, path: string, fields: Fields, names: readonly string[]): void {
  for (const field of both(names)) {
    const value = fields[field];
    if (value !== undefined && value !== null && !Array.isArray(value)) {
      findings.refuse(`${path}.${field}`, "must be a list.", "wrong-type");
    }
    for (const [index, item] of listOf(value).entries()) {
      if (typeof item !== "string") findings.refuse(`${path}.${field}[${index}]`, "must be text.", "wrong-type");
      else if (item === "") findings.refuse(`${path}.${field}[${index}]`, "an empty value matches nothing.");
    }
  }
  if (!has(fields, names)) findings.refuse(path, `is empty; write one of ${names.join(", ")}, or not….`);
}

function checkCondition(findings: Findings, path: string, condition: Fields, action: string): void {
  const key = stringOf(condition["key"]) ?? "";
  if (key === "") {
    findings.refuse(`${path}.key`, "key is missing; it says what the values are of.");
    return;
  }
  const values = [...listOf(condition["values"]), ...listOf(condition["notValues"])];
  if (values.length === 0) findings.refuse(path, `${key} needs values or notValues.`);
  else expect(findings, path, conditionFault(key, values));
  if (action === "CUSTOM" && CONDITIONS_NOT_WITH_CUSTOM.test(key)) {
    findings.refuse(`${path}.key`, `${key} is not supported with the action CUSTOM.`);
  }
}

/** `x` and `notX`. */
function both(names: readonly string[]): readonly string[] {
  return names.flatMap((name) => [name, `not${name.charAt(0).toUpperCase()}${name.slice(1)}`]);
}

function has(fields: Fields, names: readonly string[]): boolean {
  return both(names).some((name) => listOf(fields[name]).length > 0);
}

function isPort(value: unknown): boolean {
  return typeof value === "string" && /^\d{1,5}$/.test(value) && Number(value) <= 65_535;
}
