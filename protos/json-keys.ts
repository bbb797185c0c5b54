/** Finds keys of a proto3 JSON value that its message does not have, with their paths. */
import type { DescField, DescMessage } from "@bufbuild/protobuf";
import type { Problem } from "#lib/problem.ts";
import { registry } from "./registry.ts";
import { typeNameOf } from "./type-url.ts";

/** Adds one problem `unknown-field` for each unknown key below `json`. Values of the wrong shape are left to `fromJson`. */
export function unknownKeys(desc: DescMessage, json: unknown, path: string, problems: Problem[]): void {
  if (!isObject(json) || hasOwnJson(desc)) return;
  if (desc.typeName === "google.protobuf.Any") return unknownKeysOfAny(json, path, problems);
  for (const [key, value] of Object.entries(json)) {
    const field = fieldOf(desc, key);
    const at = path === "" ? key : `${path}.${key}`;
    if (field === undefined) {
      const message = `unknown field ${key}: ${desc.typeName} has no field of this name`;
      problems.push({ code: "unknown-field", level: "error", path: at, message });
    } else {
      unknownKeysOfField(field, value, at, problems);
    }
  }
}

function unknownKeysOfField(field: DescField, value: unknown, path: string, problems: Problem[]): void {
  if (field.fieldKind === "message") unknownKeys(field.message, value, path, problems);
  const { message } = field;
  if (message === undefined) return;
  if (field.fieldKind === "list" && Array.isArray(value)) {
    for (const [index, item] of value.entries()) unknownKeys(message, item, `${path}[${index}]`, problems);
  } else if (field.fieldKind === "map" && isObject(value)) {
    for (const [key, item] of Object.entries(value)) unknownKeys(message, item, `${path}[${key}]`, problems);
  }
}

function unknownKeysOfAny(json: Readonly<Record<string, unknown>>, path: string, problems: Problem[]): void {
  const { "@type": typeUrl, ...rest } = json;
  if (typeof typeUrl !== "string") {
    if (Object.keys(json).length === 0) return;
    const message = 'an Any needs its type: add "@type": type.googleapis.com/<full name>';
    problems.push({ code: "invalid-value", level: "error", path, message });
    return;
  }
  const desc = registry().getMessage(typeNameOf(typeUrl));
  if (desc === undefined) {
    problems.push({ code: "unknown-type", level: "error", path, message: `unknown type ${typeUrl}` });
  } else {
    unknownKeys(desc, rest, path, problems);
  }
}

/** A piece of a JSON value that can be read on its own. */
export interface JsonPart {
  readonly path: string;
  /** Reads `alone`, which has nothing but this piece. */
  readonly desc: DescMessage;
  readonly alone: unknown;
  /** Where the piece is a message again. */
  readonly inner: { readonly desc: DescMessage; readonly json: unknown } | undefined;
}

/** The fields of a message, the items of its lists and maps, each on its own. */
export function* jsonParts(desc: DescMessage, json: unknown, path: string): Generator<JsonPart> {
  if (!isObject(json) || hasOwnJson(desc)) return;
  if (desc.typeName === "google.protobuf.Any") {
    const { "@type": typeUrl, ...rest } = json;
    const inside = typeof typeUrl === "string" ? registry().getMessage(typeNameOf(typeUrl)) : undefined;
    if (inside !== undefined) yield* jsonParts(inside, rest, path);
    return;
  }
  for (const [key, value] of Object.entries(json)) {
    const field = fieldOf(desc, key);
    if (field === undefined) continue;
    const at = path === "" ? key : `${path}.${key}`;
    const { message } = field;
    const innerOf = (item: unknown): JsonPart["inner"] =>
      message === undefined ? undefined : { desc: message, json: item };
    if (field.fieldKind === "list" && Array.isArray(value)) {
      for (const [index, item] of value.entries()) {
        yield { path: `${at}[${index}]`, desc, alone: { [key]: [item] }, inner: innerOf(item) };
      }
    } else if (field.fieldKind === "map" && isObject(value)) {
      for (const [name, item] of Object.entries(value)) {
        yield { path: `${at}[${name}]`, desc, alone: { [key]: { [name]: item } }, inner: innerOf(item) };
      }
    } else {
      yield { path: at, desc, alone: { [key]: value }, inner: innerOf(value) };
    }
  }
}

/** The field of a key, in snake_case or camelCase. */
export function fieldOf(desc: DescMessage, key: string): DescField | undefined {
  return desc.fields.find((candidate) => candidate.name === key || candidate.jsonName === key);
}

/** Types whose JSON form is not an object of their fields. */
function hasOwnJson(desc: DescMessage): boolean {
  if (!desc.typeName.startsWith("google.protobuf.")) return false;
  return /^google\.protobuf\.(Struct|Value|ListValue|Duration|Timestamp|FieldMask|\w+Value)$/.test(desc.typeName);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
