/** networking.istio.io EnvoyFilter, as istiod checks it: what a patch is about, and that its value is of Envoy's API. */
import { messageFromJson } from "#protos/json.ts";
import { PATCH_MESSAGES } from "../translate/envoy-filter/patches.ts";
import { fieldsOf, listOf, stringOf, type Fields } from "../model/read-fields.ts";
import { regexFault } from "./check-strings.ts";
import type { Findings } from "./findings.ts";
import { expectSelector } from "./shared-checks.ts";

const MAX_VERSION_PATTERN = 1024;
const HTTP_CONNECTION_MANAGER = "envoy.filters.network.http_connection_manager";

/** What a patch may be matched by. */
const matchOf: Readonly<Record<string, string>> = {
  LISTENER: "listener",
  FILTER_CHAIN: "listener",
  NETWORK_FILTER: "listener",
  HTTP_FILTER: "listener",
  ROUTE_CONFIGURATION: "routeConfiguration",
  VIRTUAL_HOST: "routeConfiguration",
  HTTP_ROUTE: "routeConfiguration",
  CLUSTER: "cluster",
};

export function validateEnvoyFilter(findings: Findings, spec: Fields): void {
  findings.warn(
    "",
    "an EnvoyFilter reaches into what Envoy is told, which may change with any release; prefer an API of Istio's where there is one.",
  );
  expectSelector(findings, "spec.workloadSelector", spec["workloadSelector"], "labels");
  for (const [index, entry] of listOf(spec["configPatches"]).map(fieldsOf).entries()) {
    expectPatch(findings, `spec.configPatches[${index}]`, entry);
  }
}

function expectPatch(findings: Findings, path: string, entry: Fields): void {
  const match = fieldsOf(entry["match"]);
  if (match["context"] === "WAYPOINT") return;
  const applyTo = stringOf(entry["applyTo"]) ?? "INVALID";
  const { operation, value } = fieldsOf(entry["patch"]);
  if (applyTo === "INVALID")
    findings.refuse(`${path}.applyTo`, "applyTo is missing; say what is patched, as HTTP_FILTER.");
  else if (entry["patch"] === undefined) findings.refuse(`${path}.patch`, "patch is missing; it is required.");
  else if (operation === undefined || operation === "INVALID") {
    findings.refuse(`${path}.patch.operation`, "operation is missing; say MERGE, ADD, REMOVE, INSERT_BEFORE, ….");
  } else if (operation !== "REMOVE" && value === undefined) {
    findings.refuse(`${path}.patch.value`, `${stringOf(operation) ?? ""} needs a value.`);
  } else if (expectVersion(findings, path, match) && expectMatch(findings, path, applyTo, match)) {
    expectValue(findings, `${path}.patch.value`, applyTo, value ?? {});
  }
}

function expectVersion(findings: Findings, path: string, match: Fields): boolean {
  const pattern = stringOf(fieldsOf(match["proxy"])["proxyVersion"]) ?? "";
  const at = `${path}.match.proxy.proxyVersion`;
  if (pattern === "") return true;
  if (pattern.length > MAX_VERSION_PATTERN) {
    findings.warn(at, `longer than ${MAX_VERSION_PATTERN} characters: it has no effect.`);
    return true;
  }
  const fault = regexFault(pattern);
  if (fault !== undefined) findings.refuse(at, `${fault}.`);
  return fault === undefined;
}

/** False where the patch can't be looked at further. */
function expectMatch(findings: Findings, path: string, applyTo: string, match: Fields): boolean {
  const wanted = matchOf[applyTo];
  const found = ["listener", "routeConfiguration", "cluster", "waypoint"].find((name) => match[name] !== undefined);
  if (wanted === undefined || found === undefined) return true;
  if (found !== wanted) {
    findings.refuse(`${path}.match.${found}`, `a patch of ${applyTo} is matched by ${wanted}, not by ${found}.`);
    return wanted !== "listener";
  }
  const filter = fieldsOf(fieldsOf(match["listener"])["filterChain"])["filter"];
  return (
    filter === undefined ||
    expectFilter(findings, `${path}.match.listener.filterChain.filter`, applyTo, fieldsOf(filter))
  );
}

function expectFilter(findings: Findings, path: string, applyTo: string, filter: Fields): boolean {
  const name = stringOf(filter["name"]) ?? "";
  if (applyTo === "LISTENER" || applyTo === "FILTER_CHAIN") {
    findings.warn(path, `matching by filter has no effect on a patch of ${applyTo}.`);
  }
  if (name === "") {
    findings.refuse(`${path}.name`, "the name of the filter is missing.");
    return false;
  }
  const subFilter = filter["subFilter"];
  if (subFilter === undefined) return true;
  const fault =
    applyTo !== "HTTP_FILTER"
      ? "subFilter goes with applyTo HTTP_FILTER only."
      : name !== HTTP_CONNECTION_MANAGER && name !== "envoy.http_connection_manager"
        ? `subFilter goes with the filter ${HTTP_CONNECTION_MANAGER} only.`
        : (stringOf(fieldsOf(subFilter)["name"]) ?? "") === ""
          ? "the name of the HTTP filter is missing."
          : undefined;
  if (fault !== undefined) findings.refuse(`${path}.subFilter`, fault);
  return fault === undefined;
}

/** What Envoy's API has no words for in our tree may be newer than it: that is no reason to refuse the patch. */
function expectValue(findings: Findings, path: string, applyTo: string, value: unknown): void {
  const type = Object.hasOwn(PATCH_MESSAGES, applyTo)
    ? PATCH_MESSAGES[applyTo as keyof typeof PATCH_MESSAGES]
    : undefined;
  if (type === undefined) return;
  for (const problem of messageFromJson(type, value, path).problems) {
    const isUnknown = problem.code === "unknown-field" || problem.code === "unknown-type";
    findings[isUnknown || /type/.test(problem.message) ? "warn" : "refuse"](
      problem.path,
      problem.message,
      problem.code,
    );
  }
}
