/** protobuf's merge on proto3 JSON, guided by the descriptor, as istiod merges patches into what it made. */
import type { DescField, DescMessage } from "@bufbuild/protobuf";
import { registry } from "#protos/registry.ts";
import type { JsonObject } from "../json.ts";

/**
 * `over` into `base`, both canonical JSON of `typeName` (camelCase, no zero values). Messages are merged field by
 * field, lists are put one after the other, maps key by key; an Any, a duration and a set oneof are replaced; a wrapped
 * zero changes nothing that is there (protobuf merges the zero inside).
 */
export function mergedMessage(typeName: string, base: JsonObject, over: JsonObject): JsonObject {
  const desc = registry().getMessage(typeName);
  return desc === undefined ? { ...base, ...over } : merged(desc, base, over);
}

/** Two Any: of one type they are merged inside, of two types nothing can be merged. */
export function mergedAny(base: JsonObject, over: JsonObject): JsonObject | undefined {
  const type = base["@type"];
  if (typeof type !== "string" || type !== over["@type"]) return undefined;
  return { "@type": type, ...mergedMessage(type.slice(type.lastIndexOf("/") + 1), base, over) };
}

function merged(desc: DescMessage, base: JsonObject, over: JsonObject): JsonObject {
  const result: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(over)) {
    if (key === "@type") continue;
    const field = desc.fields.find(({ jsonName }) => jsonName === key);
    if (field === undefined) {
      result[key] = value;
      continue;
    }
    if (field.oneof !== undefined) {
      for (const other of field.oneof.fields) if (other !== field) delete result[other.jsonName];
    }
    result[key] = result[key] === undefined ? value : mergedField(field, result[key], value);
  }
  return result;
}

function mergedField(field: DescField, base: unknown, over: unknown): unknown {
  if (field.fieldKind === "list") return [...(base as readonly unknown[]), ...(over as readonly unknown[])];
  if (field.fieldKind === "map") return { ...(base as JsonObject), ...(over as JsonObject) };
  if (field.fieldKind !== "message") return over;
  const { typeName } = field.message;
  if (typeName === "google.protobuf.Any") return over;
  if (typeName === "google.protobuf.Struct") return { ...(base as JsonObject), ...(over as JsonObject) };
  if (/^google\.protobuf\.\w+Value$/.test(typeName)) return isZero(over) ? base : over;
  // Durations and other well-known types are text.
  if (typeof over !== "object" || over === null || typeof base !== "object" || base === null) return over;
  return merged(field.message, base as JsonObject, over as JsonObject);
}

function isZero(value: unknown): boolean {
  return value === 0 || value === false || value === "" || value === "0";
}
