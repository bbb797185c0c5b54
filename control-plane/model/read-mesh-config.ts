/** Mesh configuration from where people write it: an IstioOperator, the ConfigMap `istio`, a file. */
import type { Problem } from "#lib/problem.ts";
import { LineCounter, parseDocument } from "yaml";
import { locateInDocument } from "../config/manifest-place.ts";
import { checkMeshConfigLayer, type MeshConfigLayer } from "./check-mesh-config.ts";
import { durationMsFrom } from "./duration.ts";
import type { MeshConfig } from "./mesh-config.ts";
import { objectName, type MeshObject } from "./object.ts";
import { fieldsOf, stringOf, stringsOf, type Fields } from "./read-fields.ts";

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
    const accepted = checkMeshConfigLayer(layer, problems);
    values = merge(values, accepted);
  }
  return { meshConfig: meshConfigFrom(values), problems };
}

/** Group and kind of the object that a mesh configuration file is read as. */
export const MESH_CONFIG_FILE = { group: "glassmesh.dev", kind: "MeshConfigFile" } as const;

/** The layers that objects carry: IstioOperator first, the ConfigMap `istio` over it, a file over both. */
export function meshConfigLayers(objects: readonly MeshObject[]): {
  readonly layers: readonly MeshConfigLayer[];
  readonly problems: readonly Problem[];
} {
  const layers: MeshConfigLayer[] = [];
  const problems: Problem[] = [];
  for (const object of objects.filter(isOperator)) {
    const layer = layerOfOperator(object);
    if (layer !== undefined) layers.push(layer);
  }
  for (const object of [...objects.filter(isMeshConfigMap), ...objects.filter(isMeshConfigFile)]) {
    const text = stringOf(fieldsOf(object.raw["data"])["mesh"]);
    if (text === undefined) continue;
    const read = layerOfText(text, object);
    if (read.layer !== undefined) layers.push(read.layer);
    problems.push(...read.problems);
  }
  return { layers, problems };
}

/** MeshConfig as text, without apiVersion and kind; `object` carries it. */
function layerOfText(
  text: string,
  object: MeshObject,
): { readonly layer?: MeshConfigLayer; readonly problems: readonly Problem[] } {
  const lines = new LineCounter();
  const document = parseDocument(text, { merge: true, lineCounter: lines });
  const origin = isMeshConfigFile(object) ? object.source.location.file : objectName(object);
  const begin = isMeshConfigFile(object) ? 0 : object.source.locate("data.mesh").line;
  const problemAt = (path: string): Pick<Problem, "object" | "source"> => {
    const { file } = object.source.location;
    const place = locateInDocument(document, document.contents, path, file, lines);
    // In a ConfigMap the text begins on the line after its key.
    return { object: origin, source: { file, line: begin + place.line, column: place.column } };
  };
  const refuse = (message: string): Problem => ({
    code: "malformed-yaml",
    level: "error",
    path: "",
    message,
    ...problemAt(""),
  });
  const [error] = document.errors;
  if (error !== undefined) {
    return { problems: [refuse(`the mesh configuration can't be read: ${error.message.split("\n")[0] ?? ""}`)] };
  }
  const value: unknown = document.toJS({ maxAliasCount: 100 });
  if (value === null || value === undefined) return { problems: [] };
  if (typeof value !== "object" || Array.isArray(value)) {
    return { problems: [refuse("mesh configuration must be a map, as `enableTracing: true`.")] };
  }
  return { layer: { values: value as Fields, origin, problemAt }, problems: [] };
}

function isOperator(object: MeshObject): boolean {
  return object.kind === "IstioOperator" && object.group === "install.istio.io";
}

export function isMeshConfigFile(object: MeshObject): boolean {
  return object.kind === MESH_CONFIG_FILE.kind && object.group === MESH_CONFIG_FILE.group;
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
