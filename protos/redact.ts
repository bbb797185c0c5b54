/** Hiding what must not be shown: fields that Envoy's .proto files mark as sensitive. */
import { getOption, hasOption, type DescField, type DescMessage, type JsonValue } from "@bufbuild/protobuf";
import { typeNameOf } from "./type-url.ts";
import { fieldOf } from "./json-keys.ts";
import { registry } from "./registry.ts";

const MASK = "[redacted]";
const MASK_BASE64 = Buffer.from(MASK).toString("base64");

type JsonObject = { [key: string]: JsonValue };

/**
 * Replaces, in the proto3 JSON of a message, every sensitive string by `[redacted]`, sensitive bytes by its base64 form, and
 * leaves out other sensitive values; also inside Any and TypedStruct. Certificates are not sensitive, private keys are.
 */
export function redactJson(desc: DescMessage, json: JsonValue): JsonValue {
  return redactMessage(desc, json, false);
}

function redactMessage(desc: DescMessage, json: JsonValue, isSensitive: boolean): JsonValue {
  if (!isObject(json)) return isSensitive ? redactPlain(json) : json;
  switch (desc.typeName) {
    case "google.protobuf.Any":
      return redactAny(json, isSensitive);
    case "udpa.type.v1.TypedStruct":
    case "xds.type.v3.TypedStruct":
      return redactTypedStruct(json, isSensitive);
    case "google.protobuf.Struct":
      return isSensitive ? redactPlain(json) : json;
  }
  const redacted: JsonObject = {};
  for (const [key, value] of Object.entries(json)) {
    const field = fieldOf(desc, key);
    const shown = field === undefined ? value : redactField(field, value, isSensitive || isMarked(field));
    if (shown !== undefined) redacted[key] = shown;
  }
  return redacted;
}

function redactAny(json: JsonObject, isSensitive: boolean): JsonValue {
  const { "@type": typeUrl, ...rest } = json;
  const desc = typeof typeUrl === "string" ? registry().getMessage(typeNameOf(typeUrl)) : undefined;
  if (desc === undefined || typeUrl === undefined) return json;
  const redacted = redactMessage(desc, rest, isSensitive);
  return isObject(redacted) ? { "@type": typeUrl, ...redacted } : redacted;
}

function redactTypedStruct(json: JsonObject, isSensitive: boolean): JsonValue {
  const typeUrl = json["type_url"] ?? json["typeUrl"];
  const desc = typeof typeUrl === "string" ? registry().getMessage(typeNameOf(typeUrl)) : undefined;
  if (json["value"] === undefined) return json;
  const value =
    desc === undefined
      ? isSensitive
        ? redactPlain(json["value"])
        : json["value"]
      : redactMessage(desc, json["value"], isSensitive);
  return { ...json, value };
}

/** Undefined: the value is left out. */
function redactField(field: DescField, value: JsonValue, isSensitive: boolean): JsonValue | undefined {
  if (field.fieldKind === "list" && Array.isArray(value)) {
    return value.map((item) => redactItem(field, item, isSensitive)).filter((item) => item !== undefined);
  }
  if (field.fieldKind === "map" && isObject(value)) {
    const entries = Object.entries(value).map(([key, item]) => [key, redactItem(field, item, isSensitive)] as const);
    return Object.fromEntries(entries.filter((entry): entry is [string, JsonValue] => entry[1] !== undefined));
  }
  return redactItem(field, value, isSensitive);
}

function redactItem(field: DescField, value: JsonValue, isSensitive: boolean): JsonValue | undefined {
  if (field.message !== undefined) return redactMessage(field.message, value, isSensitive);
  if (!isSensitive) return value;
  if (field.scalar === undefined || typeof value !== "string") return undefined;
  return BYTES === field.scalar ? MASK_BASE64 : STRING === field.scalar ? MASK : undefined;
}

/** `ScalarType.STRING` and `ScalarType.BYTES`. */
const STRING = 9;
const BYTES = 12;

/** A value without a descriptor (Struct, wrapper): every string in it is masked. */
function redactPlain(json: JsonValue): JsonValue {
  if (typeof json === "string") return MASK;
  if (Array.isArray(json)) return json.map(redactPlain);
  if (isObject(json)) return Object.fromEntries(Object.entries(json).map(([key, value]) => [key, redactPlain(value)]));
  return json;
}

function isMarked(field: DescField): boolean {
  return ["udpa.annotations.sensitive", "xds.annotations.v3.sensitive"].some((name) => {
    const extension = registry().getExtension(name);
    return extension !== undefined && hasOption(field, extension) && getOption(field, extension) === true;
  });
}

function isObject(json: JsonValue): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}
