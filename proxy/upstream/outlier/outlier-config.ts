/** `envoy.config.cluster.v3.OutlierDetection` with Envoy's defaults. */
import type { MessageReader } from "#protos/reader.ts";
import type { OutlierDetection } from "#protos/gen/envoy/config/cluster/v3/outlier_detection_pb.js";
import { durationMs } from "../../config-values.ts";

export interface OutlierConfig {
  readonly intervalMs: number;
  readonly baseEjectionTimeMs: number;
  readonly maxEjectionTimeMs: number;
  readonly maxEjectionTimeJitterMs: number;
  readonly maxEjectionPercent: number;
  readonly alwaysEjectOneHost: boolean;
  readonly consecutive5xx: number;
  readonly consecutiveGatewayFailure: number;
  readonly consecutiveLocalOriginFailure: number;
  readonly enforcingConsecutive5xx: number;
  readonly enforcingConsecutiveGatewayFailure: number;
  readonly enforcingConsecutiveLocalOriginFailure: number;
  readonly successRateMinimumHosts: number;
  readonly successRateRequestVolume: number;
  /** Thousandths: 1900 is 1.9 standard deviations. */
  readonly successRateStdevFactor: number;
  readonly enforcingSuccessRate: number;
  readonly enforcingLocalOriginSuccessRate: number;
  readonly failurePercentageThreshold: number;
  readonly failurePercentageMinimumHosts: number;
  readonly failurePercentageRequestVolume: number;
  readonly enforcingFailurePercentage: number;
  readonly enforcingFailurePercentageLocalOrigin: number;
  readonly splitExternalLocalOriginErrors: boolean;
  /** A host that passes an active health check returns at once (L-41). */
  readonly unejectsOnHealthCheck: boolean;
}

/** What holds where the configuration says nothing. */
export const outlierDefaults: OutlierConfig = {
  intervalMs: 10_000,
  baseEjectionTimeMs: 30_000,
  maxEjectionTimeMs: 300_000,
  maxEjectionTimeJitterMs: 0,
  maxEjectionPercent: 10,
  alwaysEjectOneHost: false,
  consecutive5xx: 5,
  consecutiveGatewayFailure: 5,
  consecutiveLocalOriginFailure: 5,
  enforcingConsecutive5xx: 100,
  enforcingConsecutiveGatewayFailure: 0,
  enforcingConsecutiveLocalOriginFailure: 100,
  successRateMinimumHosts: 5,
  successRateRequestVolume: 100,
  successRateStdevFactor: 1900,
  enforcingSuccessRate: 100,
  enforcingLocalOriginSuccessRate: 100,
  failurePercentageThreshold: 85,
  failurePercentageMinimumHosts: 5,
  failurePercentageRequestVolume: 50,
  enforcingFailurePercentage: 0,
  enforcingFailurePercentageLocalOrigin: 0,
  splitExternalLocalOriginErrors: false,
  unejectsOnHealthCheck: true,
};

/** Reads the settings; problems are on the reader's list. */
export function parseOutlierDetection(reader: MessageReader<OutlierDetection>): OutlierConfig {
  const defaults = outlierDefaults;
  const baseEjectionTimeMs = durationMs(reader.get("baseEjectionTime")) ?? defaults.baseEjectionTimeMs;
  const config: OutlierConfig = {
    intervalMs: durationMs(reader.get("interval")) ?? defaults.intervalMs,
    baseEjectionTimeMs,
    maxEjectionTimeMs:
      durationMs(reader.get("maxEjectionTime")) ?? Math.max(defaults.maxEjectionTimeMs, baseEjectionTimeMs),
    maxEjectionTimeJitterMs: durationMs(reader.get("maxEjectionTimeJitter")) ?? defaults.maxEjectionTimeJitterMs,
    maxEjectionPercent: reader.get("maxEjectionPercent") ?? defaults.maxEjectionPercent,
    alwaysEjectOneHost: reader.get("alwaysEjectOneHost") ?? defaults.alwaysEjectOneHost,
    consecutive5xx: reader.get("consecutive5xx") ?? defaults.consecutive5xx,
    consecutiveGatewayFailure: reader.get("consecutiveGatewayFailure") ?? defaults.consecutiveGatewayFailure,
    consecutiveLocalOriginFailure:
      reader.get("consecutiveLocalOriginFailure") ?? defaults.consecutiveLocalOriginFailure,
    enforcingConsecutive5xx: reader.get("enforcingConsecutive5xx") ?? defaults.enforcingConsecutive5xx,
    enforcingConsecutiveGatewayFailure:
      reader.get("enforcingConsecutiveGatewayFailure") ?? defaults.enforcingConsecutiveGatewayFailure,
    enforcingConsecutiveLocalOriginFailure:
      reader.get("enforcingConsecutiveLocalOriginFailure") ?? defaults.enforcingConsecutiveLocalOriginFailure,
    successRateMinimumHosts: reader.get("successRateMinimumHosts") ?? defaults.successRateMinimumHosts,
    successRateRequestVolume: reader.get("successRateRequestVolume") ?? defaults.successRateRequestVolume,
    successRateStdevFactor: reader.get("successRateStdevFactor") ?? defaults.successRateStdevFactor,
    enforcingSuccessRate: reader.get("enforcingSuccessRate") ?? defaults.enforcingSuccessRate,
    enforcingLocalOriginSuccessRate:
      reader.get("enforcingLocalOriginSuccessRate") ?? defaults.enforcingLocalOriginSuccessRate,
    failurePercentageThreshold: reader.get("failurePercentageThreshold") ?? defaults.failurePercentageThreshold,
    failurePercentageMinimumHosts:
      reader.get("failurePercentageMinimumHosts") ?? defaults.failurePercentageMinimumHosts,
    failurePercentageRequestVolume:
      reader.get("failurePercentageRequestVolume") ?? defaults.failurePercentageRequestVolume,
    enforcingFailurePercentage: reader.get("enforcingFailurePercentage") ?? defaults.enforcingFailurePercentage,
    enforcingFailurePercentageLocalOrigin:
      reader.get("enforcingFailurePercentageLocalOrigin") ?? defaults.enforcingFailurePercentageLocalOrigin,
    splitExternalLocalOriginErrors: reader.get("splitExternalLocalOriginErrors"),
    unejectsOnHealthCheck: reader.get("successfulActiveHealthCheckUnejectHost") ?? true,
  };
  reader.finish();
  if (config.maxEjectionTimeMs < config.baseEjectionTimeMs)
    reader.invalid("maxEjectionTime", "max_ejection_time must be greater than or equal to base_ejection_time");
  return config;
}
