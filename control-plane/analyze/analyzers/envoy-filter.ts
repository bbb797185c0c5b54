/** Patches of EnvoyFilters that depend on what others did before, or do nothing. */
import { fieldsOf, listOf, numberOf, stringOf, type Fields } from "../../model/read-fields.ts";
import type { Analyzer } from "../analyzer.ts";
import type { MessageCode } from "../messages.ts";

export const envoyPatches: Analyzer = {
  name: "envoyfilter.EnvoyPatchAnalyzer",
  description: "The patches of EnvoyFilters have the effect that they name",
  inputs: ["EnvoyFilter"],
  analyze(context) {
    const versioned = new Set<string>();
    for (const item of context.all("EnvoyFilter")) {
      for (const [index, entry] of listOf(item.spec["configPatches"]).map(fieldsOf).entries()) {
        if (entry["patch"] === undefined) break;
        const name = nameOfPatch(entry);
        const code = faultOf(entry, numberOf(item.spec["priority"]) ?? 0, versioned.has(name));
        if (code !== undefined)
          context.report(code, item, sentences[code] ?? "", `spec.configPatches[${index}].patch.value`);
        const version = stringOf(fieldsOf(fieldsOf(entry["match"])["proxy"])["proxyVersion"]) ?? "";
        if (version !== "") versioned.add(name);
      }
    }
  },
};

function faultOf(entry: Fields, priority: number, isVersioned: boolean): MessageCode | undefined {
  const applyTo = stringOf(entry["applyTo"]) ?? "";
  const isRoute = applyTo === "ROUTE_CONFIGURATION" || applyTo === "HTTP_ROUTE";
  const relative = isVersioned ? "IST0155" : "IST0151";
  switch (fieldsOf(entry["patch"])["operation"]) {
    case "ADD":
      return isRoute ? "IST0153" : undefined;
    case "REMOVE":
      if (isRoute) return "IST0154";
      break;
    case "REPLACE":
      if (!["NETWORK_FILTER", "HTTP_FILTER", "VIRTUAL_HOST"].includes(applyTo)) return "IST0152";
      break;
    case "INSERT_BEFORE":
    case "INSERT_AFTER":
      break;
    default:
      return undefined;
  }
  return priority === 0 ? relative : undefined;
}

const sentences: Partial<Record<MessageCode, string>> = {
  IST0151:
    "a patch that is relative to others (INSERT_BEFORE, INSERT_AFTER, REPLACE, REMOVE), and no priority: whether what it refers to is there already is left to chance. Set spec.priority, or use INSERT_FIRST or ADD.",
  IST0152: "REPLACE works on HTTP_FILTER, NETWORK_FILTER and VIRTUAL_HOST only.",
  IST0153: "ADD has no effect on ROUTE_CONFIGURATION and HTTP_ROUTE; use MERGE or INSERT_FIRST.",
  IST0154: "REMOVE has no effect on ROUTE_CONFIGURATION and HTTP_ROUTE.",
  IST0155:
    "a patch that is relative to another of the same name that counts for one proxy version only, and no priority: during an upgrade it may not be applied. Set spec.priority.",
};

function nameOfPatch(entry: Fields): string {
  const value = fieldsOf(fieldsOf(entry["patch"])["value"]);
  if (Object.keys(value).length === 0) return "";
  if (value["name"] !== undefined) return JSON.stringify(value["name"]);
  const listener = fieldsOf(fieldsOf(entry["match"])["listener"]);
  return stringOf(fieldsOf(fieldsOf(listener["filterChain"])["filter"])["name"]) ?? "";
}
