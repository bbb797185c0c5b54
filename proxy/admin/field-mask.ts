/** Field masks over proto3 JSON: `a.b,c` keeps those paths. */

export type JsonObject = Readonly<Record<string, unknown>>;

/** What `mask` keeps of `value`, through lists as well; undefined when no path of it exists. */
export function maskJson(value: JsonObject, mask: string): JsonObject | undefined {
  let kept: JsonObject | undefined;
  for (const path of mask.split(",")) {
    const part = pick(value, path.split("."));
    if (part !== undefined) kept = merge(kept ?? {}, part as JsonObject) as JsonObject;
  }
  return kept;
}

function pick(value: unknown, path: readonly string[]): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  if (Array.isArray(value)) {
    const items = value.map((item) => pick(item, path));
    return items.some((item) => item !== undefined) ? items.map((item) => item ?? {}) : undefined;
  }
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
  const inner = pick((value as JsonObject)[key], rest);
  if (inner === undefined) return undefined;
  const type = (value as JsonObject)["@type"];
  return type === undefined ? { [key]: inner } : { "@type": type, [key]: inner };
}

function merge(a: unknown, b: unknown): unknown {
  if (Array.isArray(a) && Array.isArray(b)) return b.map((item, i) => (i in a ? merge(a[i], item) : item));
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return b;
  const out: Record<string, unknown> = { ...a };
  for (const [key, value] of Object.entries(b)) out[key] = key in out ? merge(out[key], value) : value;
  return out;
}
