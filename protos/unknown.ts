/** What is on the wire that our .proto files do not know. */
import type { DescEnum, DescField, DescMessage, Message } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { Problem } from "#lib/problem.ts";
import { openAny } from "./any.ts";
import { descOf } from "./registry.ts";

/**
 * One problem `unknown-field` for each field number that the message does not have, recursively, also through Any; an
 * Any that can't be opened is a problem too. Paths are in snake_case; `path` stands before them.
 */
export function unknownFields(message: Message, path = ""): Problem[] {
  const problems: Problem[] = [];
  visitMessage(descOf(message), message, path, problems);
  return problems;
}

function visitMessage(desc: DescMessage, message: Message, path: string, problems: Problem[]): void {
  for (const { no } of message.$unknown ?? []) {
    problems.push({
      code: "unknown-field",
      level: "error",
      path: path === "" ? `#${no}` : `${path}.#${no}`,
      message: `unknown field: ${desc.typeName} has no field ${no}; it is newer than this build (see protos/README.md)`,
    });
  }
  if (desc.typeName === "google.protobuf.Any") {
    const opened = openAny(message as Any, path);
    problems.push(...opened.problems);
    if (opened.value !== undefined) visitMessage(descOf(opened.value), opened.value, path, problems);
    return;
  }
  for (const field of desc.fields) {
    if (field.message === undefined && field.enum === undefined) continue;
    const value = valueOf(message, field);
    if (value !== undefined) visitField(field, value, path === "" ? field.name : `${path}.${field.name}`, problems);
  }
}

function visitField(field: DescField, value: unknown, path: string, problems: Problem[]): void {
  if (field.fieldKind === "list") {
    for (const [index, item] of (value as readonly unknown[]).entries()) {
      visitValue(field, item, `${path}[${index}]`, problems);
    }
  } else if (field.fieldKind === "map") {
    for (const [key, item] of Object.entries(value as object)) visitValue(field, item, `${path}[${key}]`, problems);
  } else {
    visitValue(field, value, path, problems);
  }
}

function visitValue(field: DescField, value: unknown, path: string, problems: Problem[]): void {
  if (field.enum !== undefined) {
    visitEnum(field.enum, value as number, path, problems);
  } else if (isMessage(value)) {
    visitMessage(descOf(value), value, path, problems);
  }
}

function visitEnum(desc: DescEnum, value: number, path: string, problems: Problem[]): void {
  if (desc.value[value] !== undefined) return;
  const message = `unknown value ${value} of ${desc.typeName}; it is newer than this build (see protos/README.md)`;
  problems.push({ code: "unknown-field", level: "error", path, message });
}

/** Wrappers and Struct are plain values in a message, not messages. */
function isMessage(value: unknown): value is Message {
  return typeof value === "object" && value !== null && typeof Reflect.get(value, "$typeName") === "string";
}

/** The value of a field as it stands in the message; undefined when it is not the one set in its oneof. */
export function valueOf(message: Message, field: DescField): unknown {
  if (field.oneof === undefined) return Reflect.get(message, field.localName);
  const oneof: unknown = Reflect.get(message, field.oneof.localName);
  const { case: set, value } = oneof as { readonly case: string | undefined; readonly value?: unknown };
  return set === field.localName ? value : undefined;
}
