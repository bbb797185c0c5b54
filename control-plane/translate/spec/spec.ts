/** Reads the spec of an object: null blocks count as absent, as for istiod. */
import type { MeshObject } from "../../model/object.ts";
import { memoized } from "../memo.ts";

const withoutNulls = memoized((object: MeshObject): unknown => strip(object.spec));

/** The spec as `T`; validation has checked its shape before the object came into the index. */
export function specOf<T>(object: MeshObject): T {
  return (withoutNulls(object) ?? {}) as T;
}

export function strip(value: unknown): unknown {
  if (value === null) return undefined;
  if (Array.isArray(value)) return value.filter((item) => item !== null).map(strip);
  if (typeof value !== "object") return value;
  const result: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    if (item !== null && item !== undefined) result[key] = strip(item);
  }
  return result;
}
