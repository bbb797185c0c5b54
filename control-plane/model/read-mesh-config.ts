/** Mesh configuration from where people write it: an IstioOperator, the ConfigMap `istio`, a file. */
import type { Problem } from "#lib/problem.ts";
import { parseDocument } from "yaml";
import { durationMsFrom } from "./duration.ts";
import type { MeshConfig } from "./mesh-config.ts";
import { objectName, type MeshObject } from "./object.ts";
import { fieldsOf, stringOf, stringsOf, type Fields } from "./read-fields.ts";

/** One layer of mesh configuration, and where it was written. */
export interface MeshConfigLayer {
  readonly values: Fields;
  /** `IstioOperator istio-system/production`, `mesh.yaml`. */
  readonly origin: string;
  /** Place of a field: `enableTracing`, `defaultConfig.tracing`. */
  readonly problemAt: (path: string) => Pick<Problem, "object" | "source">;
}

/** What a default installation has, over the code's defaults. */
const defaults: Fields = {
  trustDomain: "cluster.local",
  rootNamespace: "istio-system",
  ingressClass: "istio",
  enableAutoMtls: true,
  enableTracing: true,
  enablePrometheusMerge: true,
  connectTimeout: "10s",
  dnsRefreshRate: "60s",
  protocolDetectionTimeout: "0s",
  outboundTrafficPolicy: { mode: "ALLOW_ANY" },
  inboundTrafficPolicy: { mode: "PASSTHROUGH" },
  defaultServiceExportTo: ["*"],
  defaultVirtualServiceExportTo: ["*"],
  defaultDestinationRuleExportTo: ["*"],
  localityLbSetting: { enabled: true },
  defaultProviders: { metrics: ["prometheus"] },
  defaultConfig: { discoveryAddress: "istiod.istio-system.svc:15012" },
  extensionProviders: [
    { name: "prometheus", prometheus: {} },
    { name: "stackdriver", stackdriver: {} },
    { name: "envoy", envoyFileAccessLog: { path: "/dev/stdout" } },
  ],
};

/**
 * Defaults, then each layer over what stands before it: `defaultConfig` is merged field by field, extension providers
 * by name, everything else is replaced.
 */
export function readMeshConfig(layers: readonly MeshConfigLayer[]): {
  readonly meshConfig: MeshConfig;
  readonly problems: readonly Problem[];
} {
  const problems: Problem[] = [];
  let values = defaults;
  for (const layer of layers) {
    const accepted = checkLayer(layer, problems);
    values = merge(values, accepted);
  }
  return { meshConfig: meshConfigFrom(values), problems };
}

/** The layers that objects carry: IstioOperator first, the ConfigMap `istio` of the root namespace over it. */
export function meshConfigLayers(objects: readonly MeshObject[]): {
  readonly layers: readonly MeshConfigLayer[];
  readonly problems: readonly Problem[];
} {
  const layers: MeshConfigLayer[] = [];
  const problems: Problem[] = [];
  for (const object of objects.filter(({ kind, group }) => kind === "IstioOperator" && group === "install.istio.io")) {
    const layer = layerOfOperator(object);
    if (layer !== undefined) layers.push(layer);
  }
  for (const object of objects.filter(isMeshConfigMap)) {
    const text = stringOf(fieldsOf(object.raw["data"])["mesh"]);
    if (text === undefined) continue;
    const origin = objectName(object);
    const at = (): Pick<Problem, "object" | "source"> => ({
      object: origin,
      source: object.source.locate("data.mesh"),
    });
    const read = layerOfText(text, origin, at);
    if (read.layer !== undefined) layers.push(read.layer);
    problems.push(...read.problems);
  }
  return { layers, problems };
}

/** A mesh.yaml file: MeshConfig itself, without apiVersion and kind. */
export function layerOfText(
  text: string,
  origin: string,
  problemAt: MeshConfigLayer["problemAt"],
): { readonly layer?: MeshConfigLayer; readonly problems: readonly Problem[] } {
  const document = parseDocument(text, { merge: true });
  const [error] = document.errors;
  const refuse = (message: string): Problem => ({
    code: "malformed-yaml",
    level: "error",
    path: "",
    message,
    ...problemAt(""),
  });
  if (error !== undefined)
    return { problems: [refuse(`mesh configuration can't be read: ${error.message.split("\n")[0] ?? ""}`)] };
  const value: unknown = document.toJS({ maxAliasCount: 100 });
  if (value === null || value === undefined) return { problems: [] };
  if (typeof value !== "object" || Array.isArray(value)) {
    return { problems: [refuse("mesh configuration must be a map, as `enableTracing: true`.")] };
  }
  return { layer: { values: value as Fields, origin, problemAt }, problems: [] };
}

export function isMeshConfigMap(object: MeshObject): boolean {
  return object.kind === "ConfigMap" && object.group === "" && object.metadata.name === "istio";
}

function layerOfOperator(object: MeshObject): MeshConfigLayer | undefined {
  const spec = fieldsOf(object.spec);
  const fromValues = fieldsOf(fieldsOf(spec["values"])["meshConfig"]);
  const values = { ...fromValues, ...fieldsOf(spec["meshConfig"]) };
  const trustDomain = stringOf(fieldsOf(fieldsOf(spec["values"])["global"])["trustDomain"]);
  if (Object.keys(values).length === 0 && trustDomain === undefined) return undefined;
  const origin = objectName(object);
  return {
    values: trustDomain === undefined ? values : { trustDomain, ...values },
    origin,
    problemAt: (path) => ({
      object: origin,
      source: object.source.locate(path === "" ? "spec.meshConfig" : `spec.meshConfig.${path}`),
    }),
  };
}

function merge(base: Fields, over: Fields): Fields {
  const result: Record<string, unknown> = { ...base, ...over };
  if (over["defaultConfig"] !== undefined) {
    result["defaultConfig"] = { ...fieldsOf(base["defaultConfig"]), ...fieldsOf(over["defaultConfig"]) };
  }
  if (Array.isArray(over["extensionProviders"])) {
    const named = new Map<string, unknown>();
    for (const provider of [...(base["extensionProviders"] as readonly unknown[]), ...over["extensionProviders"]]) {
      named.set(String(fieldsOf(provider)["name"]), provider);
    }
    result["extensionProviders"] = [...named.values()];
  }
  if (over["defaultProviders"] !== undefined) {
    result["defaultProviders"] = { ...fieldsOf(base["defaultProviders"]), ...fieldsOf(over["defaultProviders"]) };
  }
  return result;
}

function meshConfigFrom(values: Fields): MeshConfig {
  const mode = (key: string): string => stringOf(fieldsOf(values[key])["mode"]) ?? "";
  return {
    trustDomain: stringOf(values["trustDomain"]) || "cluster.local",
    trustDomainAliases: stringsOf(values["trustDomainAliases"]),
    rootNamespace: stringOf(values["rootNamespace"]) || "istio-system",
    outboundTrafficPolicy: mode("outboundTrafficPolicy") === "REGISTRY_ONLY" ? "REGISTRY_ONLY" : "ALLOW_ANY",
    inboundTrafficPolicy: mode("inboundTrafficPolicy") === "LOCALHOST" ? "LOCALHOST" : "PASSTHROUGH",
    enableAutoMtls: values["enableAutoMtls"] !== false,
    enableTracing: values["enableTracing"] !== false,
    accessLogFile: stringOf(values["accessLogFile"]) ?? "",
    accessLogFormat: stringOf(values["accessLogFormat"]) ?? "",
    accessLogEncoding: values["accessLogEncoding"] === "JSON" ? "JSON" : "TEXT",
    connectTimeoutMs: durationMsFrom(values["connectTimeout"]) ?? 10_000,
    dnsRefreshRateMs: durationMsFrom(values["dnsRefreshRate"]) ?? 60_000,
    protocolDetectionTimeoutMs: durationMsFrom(values["protocolDetectionTimeout"]) ?? 0,
    defaultServiceExportTo: stringsOf(values["defaultServiceExportTo"]),
    defaultVirtualServiceExportTo: stringsOf(values["defaultVirtualServiceExportTo"]),
    defaultDestinationRuleExportTo: stringsOf(values["defaultDestinationRuleExportTo"]),
    raw: values,
  };
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

function checkLayer(layer: MeshConfigLayer, problems: Problem[]): Fields {
  const accepted: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(layer.values)) {
    const type = meshConfigFields[key];
    const finding = (level: Problem["level"], code: string, message: string): void => {
      const place = layer.problemAt(key);
      problems.push({ code, level, path: `meshConfig.${key}`, message, object: layer.origin, ...place });
    };
    if (type === undefined) {
      finding("warning", "unknown-field", `MeshConfig has no field ${key}; it is ignored.`);
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
