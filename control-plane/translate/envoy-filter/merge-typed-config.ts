/** Merging things that carry their configuration in an Any: filters and transport sockets. */
import type { JsonObject } from "../json.ts";
import { objectOf } from "./edit-list.ts";
import { mergedAny } from "./merge-message.ts";

/** A socket of the patch's name; what else the patch says does not count. */
export function mergedSocket(own: JsonObject, patch: JsonObject): JsonObject {
  const [base, over] = [own["typedConfig"], patch["typedConfig"]];
  if (base === undefined || over === undefined) return own;
  return { ...own, typedConfig: mergedAny(objectOf(base), objectOf(over)) ?? base };
}

/** Name and configuration; a filter without configuration stays as it is. */
export function mergedFilter(filter: JsonObject, patch: JsonObject, renames: boolean): JsonObject {
  const [own, over] = [filter["typedConfig"], patch["typedConfig"]];
  if (own === undefined) return filter;
  const typedConfig = over === undefined ? own : (mergedAny(objectOf(own), objectOf(over)) ?? own);
  const name = renames && (patch["name"] ?? "") !== "" ? patch["name"] : filter["name"];
  return { ...filter, name, typedConfig };
}
