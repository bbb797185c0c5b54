/** The CRD's schema: types, enums, limits, and fields that it does not know. */
import { fieldsOf } from "../model/read-fields.ts";
import { withoutNulls } from "../config/without-nulls.ts";
import { nameOfType } from "../config/object-from-raw.ts";
import { pathOf } from "../config/manifest-place.ts";
import type { Findings } from "./findings.ts";
import type { KnownKind } from "./kinds.ts";
import { meantOrAllowed } from "../model/near-names.ts";
import { recordReads, type RecordedValue } from "./record-reads.ts";

/** As ajv writes them. */
interface SchemaError {
  readonly instancePath: string;
  readonly keyword: string;
  readonly message?: string;
  readonly params: Readonly<Record<string, unknown>>;
}

/**
 * Checks an object against its CRD, as the API server does at `kubectl apply`. Refused: unknown fields, wrong types,
 * values outside an enum. A null block is taken as absent, with a note: istiod takes it so.
 */
export function checkSchema(kind: KnownKind, findings: Findings): void {
  const { raw } = findings.object;
  const nulls: string[] = [];
  const plain = {
    ...fieldsOf(withoutNulls(raw, "", nulls)),
    apiVersion: kind.model.apiVersion,
    metadata: { name: "checked" },
  };
  const recorded = recordReads(plain);
  const errors = runValidator(kind, recorded);
  for (const path of nulls.filter((item) => item.startsWith("spec"))) {
    findings.note(path, "null counts as absent; an API server refuses it. Remove the key.", "null-field");
  }
  for (const error of withoutConsequences(errors)) reportError(error, plain, findings);
  reportUnknown(plain, "", recorded, { findings, added: new Set(kind.added) });
}

function runValidator(kind: KnownKind, recorded: RecordedValue): readonly SchemaError[] {
  try {
    kind.model.prototype.validate.call(recorded.value);
    return [];
  } catch (error) {
    const { errors } = fieldsOf(error);
    if (!Array.isArray(errors)) throw error;
    return errors as readonly SchemaError[];
  }
}

/** `oneOf` says only that something failed; the errors of its branches about missing fields say nothing that helps. */
function withoutConsequences(errors: readonly SchemaError[]): readonly SchemaError[] {
  const oneOfPaths = new Set(
    errors.filter(({ keyword }) => keyword === "oneOf").map(({ instancePath }) => instancePath),
  );
  const kept = errors.filter(({ keyword, instancePath }) => {
    const isBranch = keyword === "required" || keyword === "not" || keyword === "anyOf";
    return !(isBranch && oneOfPaths.has(instancePath));
  });
  return [...new Map(kept.map((error) => [`${error.instancePath} ${error.keyword}`, error])).values()];
}

function reportError(error: SchemaError, plain: unknown, findings: Findings): void {
  const keys = error.instancePath.split("/").slice(1).map(unescapePointer);
  let value: unknown = plain;
  let path = "";
  for (const key of keys) {
    path = pathOf(path, Array.isArray(value) ? Number(key) : key);
    value = (value as Readonly<Record<string, unknown>> | undefined)?.[key];
  }
  const { params } = error;
  const found = nameOfType(value);
  switch (error.keyword) {
    case "type":
      findings.refuse(path, `must be ${article(String(params["type"]))}, found ${found}.`, "wrong-type");
      break;
    case "enum": {
      const allowed = (params["allowedValues"] as readonly unknown[]).map(String);
      findings.refuse(path, `must be one of ${allowed.join(", ")}, found ${found}.`);
      break;
    }
    case "required":
      findings.refuse(path, `${String(params["missingProperty"])} is missing; it is required.`, "missing-field");
      break;
    case "oneOf": {
      const set = Object.keys(fieldsOf(value));
      const which = set.length > 1 ? `set only one of ${set.join(", ")}` : "one of its alternatives must be set";
      findings.refuse(path, `${which}.`);
      break;
    }
    case "minimum":
    case "maximum":
    case "format":
    case "minItems":
    case "maxItems":
    case "minLength":
    case "maxLength":
    case "maxProperties":
    case "pattern":
      findings.refuse(path, `${error.message ?? `breaks ${error.keyword}`}, found ${found}.`);
      break;
    default:
      findings.refuse(path, `${error.message ?? `breaks ${error.keyword}`}.`);
  }
}

interface UnknownReport {
  readonly findings: Findings;
  readonly added: ReadonlySet<string>;
}

function reportUnknown(value: unknown, path: string, recorded: RecordedValue, report: UnknownReport): void {
  if (typeof value !== "object" || value === null) return;
  const known = recorded.readsOf(value);
  if (known === undefined) return;
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) reportUnknown(item, pathOf(path, index), recorded, report);
    return;
  }
  for (const [key, item] of Object.entries(value)) {
    const below = pathOf(path, key);
    if (known.has(key)) {
      if (below !== "metadata" && below !== "status") reportUnknown(item, below, recorded, report);
      continue;
    }
    if (report.added.has(below.replace(/\[\d+\]/g, "[]"))) continue;
    report.findings.refuse(below, `unknown field ${key}; ${meantOrAllowed(key, known)}`, "unknown-field");
  }
}

function article(type: string): string {
  const words: Readonly<Record<string, string>> = { object: "a map", array: "a list", integer: "a whole number" };
  return words[type] ?? `a ${type}`;
}

function unescapePointer(key: string): string {
  return key.replaceAll("~1", "/").replaceAll("~0", "~");
}
