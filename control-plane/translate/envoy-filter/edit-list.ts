/** Adding to, inserting into and removing from an ordered list, as EnvoyFilter's operations do it. */
import type { JsonObject } from "../json.ts";
import type { Patch } from "./patches.ts";

/**
 * One operation on a list; MERGE is not among them. `isMatched` undefined: the patch names no element, so that it goes
 * to the front or the end, and removes and replaces nothing. The first element that matches counts, for REMOVE all.
 */
export function editedList(
  list: readonly JsonObject[],
  { operation, value }: Pick<Patch, "operation" | "value">,
  isMatched: ((item: JsonObject) => boolean) | undefined,
): readonly JsonObject[] {
  const at = isMatched === undefined ? -1 : list.findIndex(isMatched);
  switch (operation) {
    case "ADD":
      return [...list, value];
    case "INSERT_FIRST":
      return [value, ...list];
    case "INSERT_AFTER":
      if (isMatched === undefined) return [...list, value];
      return at < 0 ? list : list.toSpliced(at + 1, 0, value);
    case "INSERT_BEFORE":
      if (isMatched === undefined) return [value, ...list];
      return at < 0 ? list : list.toSpliced(at, 0, value);
    case "REPLACE":
      return at < 0 ? list : list.with(at, value);
    case "REMOVE":
      return isMatched === undefined ? list : list.filter((item) => !isMatched(item));
    case "MERGE":
      return list;
  }
}

export function listOf(value: unknown): readonly JsonObject[] {
  return Array.isArray(value) ? (value as readonly JsonObject[]) : [];
}

export function objectOf(value: unknown): JsonObject {
  return typeof value === "object" && value !== null ? (value as JsonObject) : {};
}
