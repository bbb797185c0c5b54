/** Null in a manifest means absent (`fault: null`), as istiod reads it. */
import { pathOf } from "./manifest-place.ts";

/** The value without map entries that are null, whose paths are gathered; the same value where there are none. */
export function withoutNulls(value: unknown, path = "", nulls: string[] = []): unknown {
  if (typeof value !== "object" || value === null) return value;
  let isSame = true;
  if (Array.isArray(value)) {
    const items = value.map((item: unknown, index): unknown => {
      const kept = withoutNulls(item, pathOf(path, index), nulls);
      isSame &&= kept === item;
      return kept;
    });
    return isSame ? value : items;
  }
  const kept: [string, unknown][] = [];
  for (const [key, item] of Object.entries(value)) {
    const below = pathOf(path, key);
    if (item === null) {
      nulls.push(below);
      isSame = false;
      continue;
    }
    const inner = withoutNulls(item, below, nulls);
    isSame &&= inner === item;
    kept.push([key, inner]);
  }
  return isSame ? value : Object.fromEntries(kept);
}
