/** The leaves of a CRD: every scalar, and every list or map of them. */
import type { Crd, CrdSchema } from "#control-plane/validate/crds/crd-schema.ts";

export interface Leaf {
  readonly kind: string;
  /** `spec.http[].match[].uri.exact`; `[]` is any item, `{}` any key. */
  readonly path: string;
  readonly schema: CrdSchema;
}

export function leavesOf(crd: Crd): readonly Leaf[] {
  const leaves: Leaf[] = [];
  const visit = (schema: CrdSchema, path: string): void => {
    const type = typeof schema === "string" ? schema : schema.type;
    if (typeof schema === "object" && schema.type === "object" && Object.keys(schema.fields).length > 0) {
      for (const [name, field] of Object.entries(schema.fields)) visit(field, `${path}.${name}`);
    } else if (typeof schema === "object" && schema.type === "list") visit(schema.items, `${path}[]`);
    else if (typeof schema === "object" && schema.type === "map") visit(schema.values, `${path}{}`);
    else leaves.push({ kind: crd.kind, path, schema: type === undefined ? "string" : schema });
  };
  visit(crd.spec, "spec");
  return leaves;
}

/** One place of a value where a leaf may stand. */
export interface Occurrence {
  readonly pattern: string;
  /** Keys and indexes from the spec down. */
  readonly steps: readonly (string | number)[];
}

/** Every scalar of a spec (and every empty map or list), with the pattern of the leaf that it is. */
export function occurrencesOf(spec: unknown, schema: CrdSchema): readonly Occurrence[] {
  const found: Occurrence[] = [];
  const visit = (value: unknown, at: CrdSchema, pattern: string, steps: readonly (string | number)[]): void => {
    if (typeof at === "object" && at.type === "object" && Object.keys(at.fields).length > 0 && isMap(value)) {
      for (const [name, item] of Object.entries(value)) {
        const field = at.fields[name];
        if (field !== undefined) visit(item, field, `${pattern}.${name}`, [...steps, name]);
      }
    } else if (typeof at === "object" && at.type === "list" && Array.isArray(value)) {
      for (const [index, item] of value.entries()) visit(item, at.items, `${pattern}[]`, [...steps, index]);
    } else if (typeof at === "object" && at.type === "map" && isMap(value)) {
      for (const [name, item] of Object.entries(value)) visit(item, at.values, `${pattern}{}`, [...steps, name]);
    } else found.push({ pattern, steps });
  };
  visit(spec, schema, "spec", []);
  return found;
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value without what stands at `steps`; items of lists close up. */
export function without(value: unknown, steps: readonly (string | number)[]): unknown {
  const [step, ...rest] = steps;
  if (step === undefined) return undefined;
  if (Array.isArray(value)) {
    return rest.length === 0
      ? value.filter((_, index) => index !== step)
      : value.map((item: unknown, index) => (index === step ? without(item, rest) : item));
  }
  if (!isMap(value)) return value;
  if (rest.length === 0) return Object.fromEntries(Object.entries(value).filter(([name]) => name !== step));
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [name, name === step ? without(item, rest) : item]),
  );
}

/** The value with another scalar at `steps` (`text` for a string): for fields that must be there. */
export function altered(value: unknown, steps: readonly (string | number)[], text: string): unknown {
  const [step, ...rest] = steps;
  if (step === undefined) {
    if (typeof value === "string") return text;
    if (typeof value === "number") return value + 1;
    return typeof value === "boolean" ? !value : {};
  }
  if (Array.isArray(value))
    return value.map((item: unknown, index) => (index === step ? altered(item, rest, text) : item));
  if (!isMap(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [name, name === step ? altered(item, rest, text) : item]),
  );
}
