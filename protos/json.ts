/** proto3 JSON, both ways. */
import { fromJson, toJson, type DescMessage, type JsonValue, type Message } from "@bufbuild/protobuf";
import type { Parsed, Problem } from "#lib/problem.ts";
import { jsonParts, unknownKeys } from "./json-keys.ts";
import { redactJson } from "./redact.ts";
import { descOf, registry } from "./registry.ts";

/**
 * Reads proto3 JSON with keys in snake_case or camelCase. `path` stands before the paths of the problems. Every unknown
 * key is a problem `unknown-field` that names the message and the key; the first value that does not fit is an
 * `invalid-value` at its path.
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
    return { problems: [invalidValue(desc, json, path, error)] };
  }
}

/** Looks for the value that does not fit, so that the problem names its place. Only errors pay for it. */
function invalidValue(desc: DescMessage, json: unknown, path: string, error: unknown): Problem {
  for (const part of jsonParts(desc, json, path)) {
    try {
      fromJson(part.desc, part.alone as JsonValue, { registry: registry() });
    } catch (partError) {
      if (part.inner === undefined) return problemAt(part.path, partError);
      return invalidValue(part.inner.desc, part.inner.json, part.path, partError);
    }
  }
  return problemAt(path, error);
}

function problemAt(path: string, error: unknown): Problem {
  const message = error instanceof Error ? error.message : String(error);
  return { code: "invalid-value", level: "error", path, message };
}

export interface ToJsonOptions {
  /** Keys as in the .proto files, as `/config_dump` writes them. Default: camelCase. */
  readonly snakeCase?: boolean;
  /** Private keys, passwords and the like become `[redacted]`. */
  readonly redact?: boolean;
}

/** Writes proto3 JSON: defaults left out, enums by name, Any expanded. */
export function messageToJson(message: Message, options: ToJsonOptions = {}): JsonValue {
  const desc = descOf(message);
  const json = toJson(desc, message, { registry: registry(), useProtoFieldName: options.snakeCase === true });
  return options.redact === true ? redactJson(desc, json) : json;
}
