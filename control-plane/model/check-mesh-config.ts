/** Which fields MeshConfig has, and what may stand in them. */
import type { Problem } from "#lib/problem.ts";
import { durationMsFrom } from "./duration.ts";
import { meantOrAllowed } from "./near-names.ts";
import { inCamelCase } from "./camel-case.ts";
import { fieldsOf, type Fields } from "./read-fields.ts";

/** One layer of mesh configuration, and where it was written. */
export interface MeshConfigLayer {
  readonly values: Fields;
  /** `IstioOperator istio-system/production`, `mesh.yaml`. */
  readonly origin: string;
  /** Place of a field: `enableTracing`, `defaultConfig.tracing`. */
  readonly problemAt: (path: string) => Pick<Problem, "object" | "source">;
}

type FieldType = "boolean" | "string" | "strings" | "map" | "list" | "duration" | "number" | readonly string[];

/** Fields of istio.mesh.v1alpha1.MeshConfig (API 1.31). */
const meshConfigFields: Readonly<Record<string, FieldType>> = {
  proxyListenPort: "number",
  proxyInboundListenPort: "number",
  proxyHttpPort: "number",
  connectTimeout: "duration",
  tcpKeepalive: "map",
  ingressClass: "string",
  ingressService: "string",
  ingressControllerMode: ["UNSPECIFIED", "OFF", "DEFAULT", "STRICT"],
  ingressSelector: "string",
  enableTracing: "boolean",
  accessLogFile: "string",
  accessLogFormat: "string",
  accessLogEncoding: ["TEXT", "JSON"],
  enableEnvoyAccessLogService: "boolean",
  disableEnvoyListenerLog: "boolean",
  defaultConfig: "map",
  outboundTrafficPolicy: "map",
  inboundTrafficPolicy: "map",
  configSources: "list",
  enableAutoMtls: "boolean",
  trustDomain: "string",
  trustDomainAliases: "strings",
  caCertificates: "list",
  defaultServiceExportTo: "strings",
  defaultVirtualServiceExportTo: "strings",
  defaultDestinationRuleExportTo: "strings",
  rootNamespace: "string",
  localityLbSetting: "map",
  dnsRefreshRate: "duration",
  h2UpgradePolicy: ["DO_NOT_UPGRADE", "UPGRADE"],
  inboundClusterStatName: "string",
  outboundClusterStatName: "string",
  certificates: "list",
  serviceSettings: "list",
  enablePrometheusMerge: "boolean",
  verifyCertificateAtClient: "boolean",
  ca: "map",
  extensionProviders: "list",
  defaultProviders: "map",
  discoverySelectors: "list",
  pathNormalization: "map",
  defaultHttpRetryPolicy: "map",
  meshMTLS: "map",
  tlsDefaults: "map",
  protocolDetectionTimeout: "duration",
  defaultTrafficPolicy: "map",
};

/** The fields of a layer that are good; the others become problems. */
export function checkMeshConfigLayer(layer: MeshConfigLayer, problems: Problem[]): Fields {
  const accepted: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(inCamelCase(layer.values))) {
    const type = Object.hasOwn(meshConfigFields, key) ? meshConfigFields[key] : undefined;
    const finding = (level: Problem["level"], code: string, message: string): void => {
      const place = layer.problemAt(key);
      problems.push({ code, level, path: `meshConfig.${key}`, message, object: layer.origin, ...place });
    };
    if (type === undefined) {
      finding(
        "warning",
        "unknown-field",
        `MeshConfig has no field ${key}, it is ignored; ${meantOrAllowed(key, Object.keys(meshConfigFields))}`,
      );
      continue;
    }
    if (value === null) continue;
    const wrong = wrongType(type, value);
    if (wrong !== undefined) {
      finding("error", "invalid-value", `${wrong}.`);
      continue;
    }
    const deeper = invalidMode(key, value);
    if (deeper !== undefined) {
      finding("error", "invalid-value", `${deeper}.`);
      continue;
    }
    accepted[key] = value;
  }
  return accepted;
}

function invalidMode(key: string, value: unknown): string | undefined {
  const allowed: Readonly<Record<string, readonly string[]>> = {
    outboundTrafficPolicy: ["ALLOW_ANY", "REGISTRY_ONLY", "ALLOW_ANY_DYNAMIC_DNS"],
    inboundTrafficPolicy: ["PASSTHROUGH", "LOCALHOST"],
  };
  const modes = allowed[key];
  const mode = fieldsOf(value)["mode"];
  if (modes === undefined || mode === undefined || (typeof mode === "string" && modes.includes(mode))) return undefined;
  return `${key}.mode must be one of ${modes.join(", ")}, found ${JSON.stringify(mode)}`;
}

function wrongType(type: FieldType, value: unknown): string | undefined {
  const found = `found ${JSON.stringify(value)}`;
  if (typeof type !== "string")
    return type.includes(String(value)) ? undefined : `must be one of ${type.join(", ")}, ${found}`;
  switch (type) {
    case "duration":
      return durationMsFrom(value) === undefined ? `must be a duration, as 10s or 100ms, ${found}` : undefined;
    case "map":
      return typeof value === "object" && !Array.isArray(value) ? undefined : `must be a map, ${found}`;
    case "list":
      return Array.isArray(value) ? undefined : `must be a list, ${found}`;
    case "strings": {
      const isStrings = Array.isArray(value) && value.every((item) => typeof item === "string");
      return isStrings ? undefined : `must be a list of strings, ${found}`;
    }
    case "boolean":
    case "string":
    case "number":
      return typeof value === type ? undefined : `must be a ${type}, ${found}`;
  }
}
