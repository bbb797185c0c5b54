/** networking.istio.io ProxyConfig, as istiod checks it. */
import { numberOf, type Fields } from "../model/read-fields.ts";
import type { Findings } from "./findings.ts";
import { expectSelector } from "./shared-checks.ts";

export function validateProxyConfig(findings: Findings, spec: Fields): void {
  expectSelector(findings, "spec.selector", spec["selector"]);
  const concurrency = numberOf(spec["concurrency"]) ?? 0;
  if (concurrency < 0) findings.refuse("spec.concurrency", `must be 0 or more, found ${concurrency}.`);
}
