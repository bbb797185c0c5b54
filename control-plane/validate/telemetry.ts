/** telemetry.istio.io Telemetry, as istiod checks it. */
import { fieldsOf, listOf, numberOf, stringOf, type Fields } from "../model/read-fields.ts";
import type { Findings } from "./findings.ts";
import { expectSelector, expectTargetRefs } from "./shared-checks.ts";

export function validateTelemetry(findings: Findings, spec: Fields): void {
  expectTargetRefs(findings, spec);
  expectSelector(findings, "spec.selector", spec["selector"]);
  for (const section of ["metrics", "tracing", "accessLogging"]) {
    for (const [index, item] of listOf(spec[section]).map(fieldsOf).entries()) {
      expectProviders(findings, `spec.${section}[${index}].providers`, item["providers"]);
    }
  }
  for (const [index, item] of listOf(spec["metrics"]).map(fieldsOf).entries()) {
    expectMetrics(findings, `spec.metrics[${index}]`, item);
  }
  expectTracing(findings, listOf(spec["tracing"]).map(fieldsOf));
  for (const [index, item] of listOf(spec["accessLogging"]).map(fieldsOf).entries()) {
    const { filter } = item;
    if (filter !== undefined && (stringOf(fieldsOf(filter)["expression"]) ?? "") === "") {
      findings.refuse(`spec.accessLogging[${index}].filter`, "a filter needs an expression.");
    }
  }
}

function expectProviders(findings: Findings, path: string, providers: unknown): void {
  for (const [index, provider] of listOf(providers).entries()) {
    if ((stringOf(fieldsOf(provider)["name"]) ?? "") === "") {
      findings.refuse(`${path}[${index}].name`, "a provider needs the name of one of the mesh's extensionProviders.");
    }
  }
}

function expectMetrics(findings: Findings, path: string, metrics: Fields): void {
  for (const [index, override] of listOf(metrics["overrides"]).map(fieldsOf).entries()) {
    const at = `${path}.overrides[${index}]`;
    for (const [name, tag] of Object.entries(fieldsOf(override["tagOverrides"]))) {
      const { operation = "UPSERT", value = "" } = fieldsOf(tag);
      const place = `${at}.tagOverrides[${JSON.stringify(name)}]`;
      if (name === "") findings.warn(`${at}.tagOverrides`, "a tag needs a name.");
      if (operation === "UPSERT" && value === "") findings.refuse(place, "UPSERT needs a value.");
      if (operation === "REMOVE" && value !== "") findings.refuse(place, "REMOVE takes no value.");
    }
    if (fieldsOf(override["match"])["customMetric"] === "") {
      findings.refuse(`${at}.match.customMetric`, "the name of the metric is empty.");
    }
  }
}

function expectTracing(findings: Findings, tracing: readonly Fields[]): void {
  if (tracing.length > 1) {
    findings.warn("spec.tracing", "only the first entry counts; merge them, or use match to tell them apart.");
  }
  for (const [index, item] of tracing.entries()) {
    const path = `spec.tracing[${index}]`;
    if (listOf(item["providers"]).length > 1) findings.warn(`${path}.providers`, "only the first provider counts.");
    const percentage = numberOf(item["randomSamplingPercentage"]) ?? 0;
    if (percentage < 0 || percentage > 100) {
      findings.refuse(`${path}.randomSamplingPercentage`, `must be from 0 to 100, found ${percentage}.`);
    }
    for (const [name, tag] of Object.entries(fieldsOf(item["customTags"]))) {
      const at = `${path}.customTags[${JSON.stringify(name)}]`;
      const { literal, header, environment } = fieldsOf(tag);
      if (name === "") findings.refuse(`${path}.customTags`, "a tag needs a name.");
      if (literal !== undefined && (stringOf(fieldsOf(literal)["value"]) ?? "") === "")
        findings.refuse(`${at}.literal`, "a literal needs a value.");
      if (header !== undefined && (stringOf(fieldsOf(header)["name"]) ?? "") === "")
        findings.refuse(`${at}.header`, "a header needs a name.");
      if (environment !== undefined && (stringOf(fieldsOf(environment)["name"]) ?? "") === "")
        findings.refuse(`${at}.environment`, "an environment variable needs a name.");
    }
  }
}
