/** Reading of Envoy's `/config_dump` and `/clusters?format=json` for tables: plain JSON in snake_case, taken apart safely. */
import { MeshError } from "#lib/problem.ts";

export type Json = Readonly<Record<string, unknown>>;

export interface ConfigDump {
  section(type: string): Json;
}

/** `type` is the last part of the section's message: `ClustersConfigDump`. Throws when the text is no dump. */
export function readConfigDump(value: unknown): ConfigDump {
  const configs = list(object(value)["configs"]);
  if (configs.length === 0)
    throw new MeshError("not-a-config-dump", "that is no Envoy config_dump: it has no `configs`");
  return {
    section: (type) => configs.map(object).find((config) => text(config["@type"]).endsWith(`.${type}`)) ?? {},
  };
}

export function object(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function text(value: unknown): string {
  return typeof value === "string" ? value : typeof value === "number" ? String(value) : "";
}

/** `a.b.c` inside nested objects. */
export function at(value: unknown, path: string): unknown {
  let current = value;
  for (const key of path.split(".")) current = object(current)[key];
  return current;
}

/** `/apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews` → `reviews.default`. */
export function istioConfigName(metadata: unknown): string {
  const path = text(at(metadata, "filter_metadata.istio.config")).split("/");
  const [namespace, name] = [path[5], path[7]];
  return namespace === undefined || name === undefined ? "" : `${name}.${namespace}`;
}
