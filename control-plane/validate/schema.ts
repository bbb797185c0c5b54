/** The CRD's schema: types, enums, limits, alternatives, rules, and fields that it does not know. */
import { nameOfType, isRecord } from "../config/object-from-raw.ts";
import { pathOf } from "../config/manifest-place.ts";
import { withoutNulls } from "../config/without-nulls.ts";
import { fieldsOf } from "../model/read-fields.ts";
import { meantOrAllowed } from "../model/near-names.ts";
import type { Crd, CrdSchema, ListSchema, MapSchema, ObjectSchema, ScalarSchema } from "./crds/crd-schema.ts";
import { crdRules } from "./crds/rules.ts";
import type { Findings } from "./findings.ts";

/** Past this many findings an object is broken enough. */
const MAX_FINDINGS = 100;

/**
 * Checks an object against its CRD, as the API server does at `kubectl apply`. Refused: unknown fields, wrong types,
 * values outside an enum or a limit, broken rules. A null block is taken as absent, with a note: istiod takes it so.
 */
export function checkSchema(crd: Crd, findings: Findings): void {
  const { raw } = findings.object;
  const nulls: string[] = [];
  const plain = fieldsOf(withoutNulls(raw, "", nulls));
  for (const path of nulls.filter((item) => item.startsWith("spec")).slice(0, MAX_FINDINGS)) {
    if (!isNullable(crd.spec, path)) {
      findings.note(path, "null counts as absent; an API server refuses it. Remove the key.", "null-field");
    }
  }
  const check = createCheck(findings);
  for (const key of Object.keys(plain)) {
    if (!["apiVersion", "kind", "metadata", "spec", "status"].includes(key)) {
      check.unknown(key, key, ["metadata", "spec"]);
    }
  }
  if (plain["spec"] !== undefined) check.value(crd.spec, plain["spec"], "spec");
  else if (crd.isSpecRequired) findings.refuse("", "spec is missing; it is required.", "missing-field");
}

interface Check {
  value(schema: CrdSchema, value: unknown, path: string): void;
  unknown(name: string, path: string, known: Iterable<string>): void;
}

function createCheck(findings: Findings): Check {
  const already = findings.problems.length;
  function refuse(path: string, message: string, code?: string): void {
    const count = findings.problems.length - already;
    if (count < MAX_FINDINGS) findings.refuse(path, message, code);
    else if (count === MAX_FINDINGS) findings.refuse("", `more than ${MAX_FINDINGS} faults; the rest is not listed.`);
  }

  function value(written: CrdSchema, item: unknown, path: string): void {
    const schema = typeof written === "string" ? ({ type: written } as const) : written;
    if (schema.type === "any") return;
    if (!hasType(schema.type, item)) {
      refuse(path, `must be ${typeWords[schema.type]}, found ${nameOfType(item)}.`, "wrong-type");
      return;
    }
    if (schema.type === "object") checkFields(schema, fieldsOf(item), path);
    else if (schema.type === "map") checkMap(schema, fieldsOf(item), path);
    else if (schema.type === "list") checkList(schema, item as readonly unknown[], path);
    else {
      for (const fault of scalarFaults(schema, item)) {
        const code = fault.startsWith("must be one of") ? "not-in-enum" : undefined;
        refuse(path, `${fault}, found ${nameOfType(item)}.`, code);
      }
    }
    for (const rule of schema.rules ?? []) {
      const known = crdRules[rule];
      if (known?.holds(item) === false) refuse(path, known.message, "broken-rule");
    }
  }

  function checkFields(schema: ObjectSchema, fields: Readonly<Record<string, unknown>>, path: string): void {
    for (const [name, item] of Object.entries(fields)) {
      const below = pathOf(path, name);
      const field = Object.hasOwn(schema.fields, name) ? schema.fields[name] : undefined;
      if (field === undefined) unknown(name, below, Object.keys(schema.fields));
      else value(field, item, below);
    }
    for (const name of schema.required ?? []) {
      if (!(name in fields)) refuse(path, `${name} is missing; it is required.`, "missing-field");
    }
    for (const names of schema.atMostOne ?? []) {
      const set = names.filter((name) => name in fields);
      if (set.length > 1) refuse(path, `set only one of ${set.join(", ")}.`, "several-of-one");
    }
  }

  function checkMap(schema: MapSchema, fields: Readonly<Record<string, unknown>>, path: string): void {
    const count = Object.keys(fields).length;
    if (count < (schema.minFields ?? 0)) refuse(path, `must have at least ${schema.minFields ?? 0} entries.`);
    if (count > (schema.maxFields ?? Infinity)) {
      refuse(path, `must have at most ${schema.maxFields ?? 0} entries, found ${count}.`);
      return;
    }
    for (const [name, item] of Object.entries(fields)) value(schema.values, item, pathOf(path, name));
  }

  function checkList(schema: ListSchema, items: readonly unknown[], path: string): void {
    if (items.length < (schema.minItems ?? 0)) {
      refuse(path, `must have at least ${schema.minItems ?? 0} ${schema.minItems === 1 ? "item" : "items"}.`);
    }
    if (items.length > (schema.maxItems ?? Infinity)) {
      refuse(path, `must have at most ${schema.maxItems ?? 0} items, found ${items.length}.`);
      return;
    }
    const seen = new Set<string>();
    for (const [index, item] of items.entries()) {
      const below = pathOf(path, index);
      value(schema.items, item, below);
      if (schema.keys === undefined) continue;
      const key = JSON.stringify(schema.keys.map((name) => fieldsOf(item)[name]));
      if (seen.has(key)) refuse(below, `no two items may have the same ${schema.keys.join(" and ")}.`);
      seen.add(key);
    }
  }

  function unknown(name: string, path: string, known: Iterable<string>): void {
    refuse(path, `unknown field ${name.slice(0, 100)}; ${meantOrAllowed(name, known)}`, "unknown-field");
  }

  return { value, unknown };
}

type TypeWord = ScalarSchema["type"] | "object" | "map" | "list";

const typeWords: Readonly<Record<TypeWord, string>> = {
  string: "a string",
  integer: "a whole number",
  number: "a number",
  boolean: "a boolean",
  object: "a map",
  map: "a map",
  list: "a list",
};

function hasType(type: TypeWord, value: unknown): boolean {
  switch (type) {
    case "object":
    case "map":
      return isRecord(value);
    case "list":
      return Array.isArray(value);
    case "integer":
      return Number.isInteger(value);
    case "number":
      return typeof value === "number" && Number.isFinite(value);
    case "string":
    case "boolean":
      return typeof value === type;
  }
}

const patterns = new Map<string, RegExp>();

function scalarFaults(schema: ScalarSchema, value: unknown): readonly string[] {
  const faults: string[] = [];
  if (schema.enum !== undefined && !schema.enum.includes(String(value))) {
    faults.push(`must be one of ${schema.enum.filter((name) => name !== "").join(", ")}`);
  }
  if (typeof value === "number") {
    const { minimum = -Infinity, maximum = Infinity } = schema;
    if (value < minimum) faults.push(`must be at least ${minimum}`);
    if (value > maximum) faults.push(`must be at most ${maximum}`);
    if (schema.format === "int32" && Math.abs(value) > 2147483648) faults.push("must be a number of 32 bits");
  }
  if (typeof value === "string") {
    const { minLength = 0, maxLength = Infinity, pattern } = schema;
    // In characters, as the API server counts.
    const length = value.length > maxLength ? Array.from(value).length : value.length;
    if (length < minLength)
      faults.push(minLength === 1 ? "must not be empty" : `must have at least ${minLength} characters`);
    if (length > maxLength) return [`must have at most ${maxLength} characters`];
    if (pattern !== undefined && !patternOf(pattern).test(value)) faults.push(`must match ${pattern}`);
    if (schema.format === "byte" && !/^[A-Za-z0-9+/]*={0,2}$/.test(value)) faults.push("must be base64");
  }
  return faults;
}

function patternOf(pattern: string): RegExp {
  const known = patterns.get(pattern);
  if (known !== undefined) return known;
  const made = new RegExp(pattern, "u");
  patterns.set(pattern, made);
  return made;
}

/** Whether the CRD takes null at a path. */
function isNullable(root: CrdSchema, path: string): boolean {
  let schema: CrdSchema | undefined = root;
  for (const match of path
    .slice("spec".length)
    .matchAll(/\[\d+\]|\["(?<quoted>(?:[^"\\]|\\.)*)"\]|\.(?<plain>[^.[\]]+)/g)) {
    if (schema === undefined || typeof schema === "string") return false;
    const name = match.groups?.["quoted"] ?? match.groups?.["plain"] ?? "";
    if (schema.type === "any") return true;
    if (schema.type === "object") schema = Object.hasOwn(schema.fields, name) ? schema.fields[name] : undefined;
    else if (schema.type === "map") schema = schema.values;
    else if (schema.type === "list") schema = schema.items;
    else return false;
  }
  return typeof schema === "object" && (schema.type === "any" || schema.nullable === true);
}
