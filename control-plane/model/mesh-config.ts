/** istio.mesh.v1alpha1.MeshConfig as we read it: defaults filled in (§4.13), unknown fields are findings. */
export interface MeshConfig {
  readonly trustDomain: string;
  readonly trustDomainAliases: readonly string[];
  readonly rootNamespace: string;
  readonly outboundTrafficPolicy: "ALLOW_ANY" | "REGISTRY_ONLY";
  readonly inboundTrafficPolicy: "PASSTHROUGH" | "LOCALHOST";
  readonly enableAutoMtls: boolean;
  readonly enableTracing: boolean;
  readonly accessLogFile: string;
  readonly accessLogFormat: string;
  readonly accessLogEncoding: "TEXT" | "JSON";
  readonly connectTimeoutMs: number;
  readonly dnsRefreshRateMs: number;
  readonly protocolDetectionTimeoutMs: number;
  readonly defaultServiceExportTo: readonly string[];
  readonly defaultVirtualServiceExportTo: readonly string[];
  readonly defaultDestinationRuleExportTo: readonly string[];
  /** Everything else as written, for what reads it (defaultConfig, extensionProviders, localityLbSetting, defaultHttpRetryPolicy, …). */
  readonly raw: Readonly<Record<string, unknown>>;
}
