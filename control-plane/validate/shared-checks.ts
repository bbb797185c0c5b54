/** Checks that several kinds have in common. */
import { type Fields, fieldsOf, listOf, stringOf } from "../model/read-fields.ts";
import { durationFault, isDnsLabel, labelKeyFault, labelValueFault } from "./check-strings.ts";
import type { Findings } from "./findings.ts";

/** Refuses at `path` where `fault` says something. */
export function expect(findings: Findings, path: string, fault: string | undefined): void {
  if (fault !== undefined) findings.refuse(path, `${fault}.`);
}

export function expectDuration(findings: Findings, path: string, value: unknown): void {
  if (value !== undefined) expect(findings, path, durationFault(value));
}

export function expectLabels(findings: Findings, path: string, value: unknown): void {
  for (const [key, item] of Object.entries(fieldsOf(value))) {
    expect(findings, `${path}[${JSON.stringify(key)}]`, labelKeyFault(key) ?? labelValueFault(stringOf(item) ?? ""));
  }
}

export function expectPercentage(findings: Findings, path: string, percentage: unknown): void {
  const value = fieldsOf(percentage)["value"];
  if (typeof value === "number" && (value < 0 || value > 100)) {
    findings.refuse(`${path}.value`, `must be from 0 to 100, found ${value}.`);
  }
}

/** A workload selector: labels that say something, without wildcards. */
export function expectSelector(findings: Findings, path: string, selector: unknown, key = "matchLabels"): void {
  if (selector === undefined) return;
  const labels = Object.entries(fieldsOf(fieldsOf(selector)[key]));
  for (const [name, value] of labels) {
    const at = `${path}.${key}[${JSON.stringify(name)}]`;
    if (name === "") findings.refuse(at, "an empty label name selects nothing.");
    else if (name.includes("*") || String(value).includes("*"))
      findings.refuse(at, "wildcards are not supported in a selector.");
  }
  if (labels.length === 0) findings.warn(path, "the selector has no labels: it selects every workload.");
}

/** Group and kind; the group of a Service may also be written `core`. */
const attachable: ReadonlySet<string> = new Set([
  "/Service",
  "core/Service",
  "networking.istio.io/ServiceEntry",
  "gateway.networking.k8s.io/Gateway",
  "gateway.networking.k8s.io/GatewayClass",
]);
const withoutSlash = (target: string): string => target.replace(/^\//, "");

/** A policy selects workloads by labels, or names what it is attached to, not both; and nothing in another namespace. */
export function expectTargetRefs(findings: Findings, spec: Fields): void {
  const ways = ["selector", "targetRef", "targetRefs"].filter((field) => {
    const value = spec[field];
    return value !== undefined && value !== null && !(Array.isArray(value) && value.length === 0);
  });
  if (ways.length > 1) findings.refuse("spec", `set only one of ${ways.join(", ")}.`);
  const refs = [
    ...(ways.includes("targetRef") ? [{ at: "spec.targetRef", ref: spec["targetRef"] }] : []),
    ...listOf(spec["targetRefs"]).map((ref, index) => ({ at: `spec.targetRefs[${index}]`, ref })),
  ];
  for (const { at, ref } of refs) {
    const { name, kind, namespace, group } = fieldsOf(ref);
    if ((stringOf(name) ?? "") === "") findings.refuse(`${at}.name`, "name is missing; it is required.");
    const target = `${stringOf(group) ?? ""}/${stringOf(kind) ?? ""}`;
    if ((stringOf(kind) ?? "") === "") findings.refuse(`${at}.kind`, "kind is missing; it is required.");
    else if (!attachable.has(target)) {
      const named = target.startsWith("/") ? target.slice(1) : target;
      findings.refuse(at, `a policy is attached to ${[...attachable].map(withoutSlash).join(", ")}, not to ${named}.`);
    }
    if ((stringOf(namespace) ?? "") !== "")
      findings.refuse(`${at}.namespace`, "a policy reaches only its own namespace.");
  }
}

/** `exportTo`: `*` alone, or `.` and namespaces; `~` for services only. */
export function expectExportTo(
  findings: Findings,
  value: unknown,
  options: { readonly isServiceEntry?: boolean; readonly hasWorkloadSelector?: boolean } = {},
): void {
  const { namespace } = findings.object.metadata;
  const entries = listOf(value).map(String);
  const seen = new Set<string>();
  for (const [index, entry] of entries.entries()) {
    const path = `spec.exportTo[${index}]`;
    const key = entry === "." ? namespace : entry;
    if (seen.has(key)) findings.refuse(path, `${entry} stands in exportTo twice (\`.\` is ${namespace}).`);
    seen.add(key);
    if (key === "*" || (key === "~" && options.isServiceEntry === true)) continue;
    if (!isDnsLabel(key)) findings.refuse(path, `${JSON.stringify(entry)} must be \`*\`, \`.\` or a namespace.`);
  }
  if (seen.size > 1 && seen.has("*"))
    findings.refuse("spec.exportTo", "`*` is everybody; it can't stand beside others.");
  if (seen.size > 1 && seen.has("~")) findings.refuse("spec.exportTo", "`~` is nobody; it can't stand beside others.");
  if (options.hasWorkloadSelector === true && seen.size > 0 && (seen.size > 1 || !seen.has(namespace))) {
    findings.refuse(
      "spec.exportTo",
      "with a workloadSelector the rule counts in its own namespace only; write `.` or nothing.",
    );
  }
}
