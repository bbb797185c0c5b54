/** proto3 JSON, both ways. */
import { fromJson, toJson, type JsonValue, type Message } from "@bufbuild/protobuf";
import type { Parsed, Problem } from "#lib/problem.ts";
import { unknownKeys } from "./json-keys.ts";
import { descOf, registry } from "./registry.ts";

/**
 * Reads proto3 JSON with keys in snake_case or camelCase. `path` stands before the paths of the problems. Every unknown
 * key is a problem `unknown-field` that names the message and the key; the first value that does not fit is an `invalid-value`.
 */
export function messageFromJson(typeName: string, json: unknown, path = ""): Parsed<Message> {
  const desc = registry().getMessage(typeName);
  if (desc === undefined) {
    return { problems: [{ code: "unknown-type", level: "error", path, message: `unknown type ${typeName}` }] };
  }
  const problems: Problem[] = [];
  unknownKeys(desc, json, path, problems);
  if (problems.length > 0) return { problems };
  try {
    return { value: fromJson(desc, json as JsonValue, { registry: registry() }), problems };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { problems: [{ code: "invalid-value", level: "error", path, message }] };
  }
}

export interface ToJsonOptions {
  /** Keys as in the .proto files, as `/config_dump` writes them. Default: camelCase. */
  readonly snakeCase?: boolean;
}

/** Writes proto3 JSON: defaults left out, enums by name, Any expanded. */
export function messageToJson(message: Message, options: ToJsonOptions = {}): JsonValue {
  return toJson(descOf(message), message, { registry: registry(), useProtoFieldName: options.snakeCase === true });
}
