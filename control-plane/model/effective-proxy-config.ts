/** The ProxyConfig that a workload is started with: the mesh's default, ProxyConfig objects, the Pod's annotation. */
import { parse } from "yaml";
import type { MeshIndex } from "./mesh-index.ts";
import { fieldsOf, matchesLabels, stringMapOf, type Fields } from "./read-fields.ts";

/** What the code of Istio sets before anything else is read (`mesh.DefaultProxyConfig`). */
const DEFAULTS: Fields = {
  configPath: "./etc/istio/proxy",
  binaryPath: "/usr/local/bin/envoy",
  serviceCluster: "istio-proxy",
  drainDuration: "45s",
  terminationDrainDuration: "5s",
  proxyAdminPort: 15000,
  controlPlaneAuthPolicy: "MUTUAL_TLS",
  discoveryAddress: "istiod.istio-system.svc:15012",
  statNameLength: 189,
  statusPort: 15020,
};

/** The annotation of a Pod that holds a ProxyConfig as YAML. */
export const PROXY_CONFIG_ANNOTATION = "proxy.istio.io/config";

export interface ProxyConfigTarget {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/**
 * Later ones count: defaults, `meshConfig.defaultConfig`, the root namespace's ProxyConfig, the namespace's, the
 * annotation, the ProxyConfig whose selector matches. Of each level the oldest object counts. An annotation that is no
 * YAML map counts for nothing, as in the injector.
 */
export function effectiveProxyConfig(mesh: MeshIndex, target: ProxyConfigTarget): Fields {
  const { rootNamespace, raw } = mesh.meshConfig;
  const levels = [DEFAULTS, fieldsOf(raw["defaultConfig"]), ofNamespace(mesh, rootNamespace)];
  if (target.namespace !== rootNamespace) levels.push(ofNamespace(mesh, target.namespace));
  levels.push(fromAnnotation(target.annotations[PROXY_CONFIG_ANNOTATION]), ofWorkload(mesh, target));
  return levels.reduce(merged, {});
}

function ofNamespace(mesh: MeshIndex, namespace: string): Fields {
  const found = mesh
    .objects<Fields>("ProxyConfig")
    .find(({ metadata, spec }) => metadata.namespace === namespace && fieldsOf(spec)["selector"] === undefined);
  return found === undefined ? {} : fromObject(fieldsOf(found.spec));
}

function ofWorkload(mesh: MeshIndex, { namespace, labels }: ProxyConfigTarget): Fields {
  const found = mesh.objects<Fields>("ProxyConfig").find(({ metadata, spec }) => {
    const selector = stringMapOf(fieldsOf(fieldsOf(spec)["selector"])["matchLabels"]);
    const isSelected = Object.keys(selector).length > 0 && matchesLabels(selector, labels);
    return metadata.namespace === namespace && isSelected;
  });
  return found === undefined ? {} : fromObject(fieldsOf(found.spec));
}

function fromObject({ concurrency, environmentVariables, image }: Fields): Fields {
  return {
    ...(concurrency === undefined ? {} : { concurrency }),
    ...(environmentVariables === undefined ? {} : { proxyMetadata: environmentVariables }),
    ...(image === undefined ? {} : { image }),
  };
}

function fromAnnotation(text: string | undefined): Fields {
  if (text === undefined) return {};
  try {
    return fieldsOf(parse(text, { maxAliasCount: 100 }));
  } catch {
    return {};
  }
}

/** protobuf's merge: maps field by field, lists one after the other, zero values change nothing; an image is replaced. */
function merged(base: Fields, over: Fields): Fields {
  const result: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const before = result[key];
    if (value === null || value === undefined || (value === 0 && key !== "concurrency") || value === "") continue;
    if (Array.isArray(value) && Array.isArray(before))
      result[key] = [...(before as unknown[]), ...(value as unknown[])];
    else if (isMap(value) && isMap(before) && key !== "image") result[key] = merged(before, value);
    else result[key] = value;
  }
  return result;
}

function isMap(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
