/** Istio's StringMatch → Envoy's StringMatcher. */
import type { JsonObject } from "./json.ts";
import type { StringMatch } from "./spec/virtual-service.ts";

/** An empty match, or the regex `*`, asks for presence only (rules 21, 22). */
export function isPresence(match: StringMatch): boolean {
  if (match.regex === "*") return true;
  return match.exact === undefined && match.prefix === undefined && match.regex === undefined;
}

export function stringMatcher(match: StringMatch): JsonObject {
  if (match.exact !== undefined) return { exact: match.exact };
  if (match.prefix !== undefined) return { prefix: match.prefix };
  return { safeRegex: { regex: match.regex ?? "" } };
}
