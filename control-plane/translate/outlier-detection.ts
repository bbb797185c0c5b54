/** `outlierDetection` → Envoy's (rule 53). */
import { durationJson } from "./duration.ts";
import { compact, type JsonObject } from "./json.ts";
import type { OutlierDetection } from "./spec/destination-rule.ts";

export function outlierDetection(settings: OutlierDetection | undefined): JsonObject | undefined {
  if (settings === undefined) return undefined;
  const { consecutive5xxErrors: errors, consecutiveGatewayErrors: gatewayErrors } = settings;
  const maxPercent = settings.maxEjectionPercent ?? 0;
  const local = settings.consecutiveLocalOriginFailures ?? 0;
  const isSplit = settings.splitExternalLocalOriginErrors === true;
  return compact({
    consecutive5xx: errors,
    enforcingConsecutive5xx: errors === undefined ? undefined : errors > 0 ? 100 : 0,
    consecutiveGatewayFailure: gatewayErrors,
    enforcingConsecutiveGatewayFailure: gatewayErrors === undefined ? undefined : gatewayErrors > 0 ? 100 : 0,
    interval: durationJson(settings.interval),
    baseEjectionTime: durationJson(settings.baseEjectionTime),
    maxEjectionPercent: maxPercent > 0 ? maxPercent : undefined,
    enforcingSuccessRate: 0,
    splitExternalLocalOriginErrors: isSplit ? true : undefined,
    consecutiveLocalOriginFailure: isSplit && local > 0 ? local : undefined,
    enforcingConsecutiveLocalOriginFailure: isSplit && local > 0 ? 100 : undefined,
    enforcingLocalOriginSuccessRate: isSplit ? 0 : undefined,
  });
}

/** Istio's clusters never panic unless `minHealthPercent` says when (4.13). */
export function healthyPanicThreshold(settings: OutlierDetection | undefined): JsonObject {
  const percent = settings?.minHealthPercent ?? 0;
  return percent > 0 ? { value: percent } : {};
}
