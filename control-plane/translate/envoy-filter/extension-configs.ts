/** Extension configurations (ECDS) that EnvoyFilters add, of those that the listeners ask for. */
import { byText, type JsonObject } from "../json.ts";
import type { View } from "../view.ts";
import { patchesOf } from "./patches.ts";

/** Sorted by name; of two with one name the later counts. */
export function addedExtensionConfigs(view: View, names: readonly string[]): readonly JsonObject[] {
  const found = new Map<string, JsonObject>();
  for (const { operation, value } of patchesOf(view)?.get("EXTENSION_CONFIG") ?? []) {
    const name = typeof value["name"] === "string" ? value["name"] : "";
    if (operation === "ADD" && names.includes(name)) found.set(name, value);
  }
  return [...found].toSorted(([a], [b]) => byText(a, b)).map(([, value]) => value);
}
