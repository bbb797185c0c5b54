/** Brings two answers into one form: only what the oracle calls free is taken away. */

import { NO_KEYS } from "#control-plane/model/key-sets.ts";

/** Worth having, but nothing is decided by them. */
const FREE_FIELDS: ReadonlySet<string> = new Set(["statPrefix", "altStatName", "decorator"]);

/** proto3 JSON drops zero values: these are the names of such zeros. */
const DEFAULTS: Readonly<Record<string, unknown>> = {
  lbPolicy: "ROUND_ROBIN",
  healthStatus: "UNKNOWN",
  priority: 0,
  action: "ALLOW",
  denominator: "HUNDRED",
  appendAction: "APPEND_IF_EXISTS_OR_ADD",
};

/** Lists whose order says nothing. */
const UNORDERED: ReadonlySet<string> = new Set([
  "virtualHosts",
  "domains",
  "filterChains",
  "lbEndpoints",
  "queryParameters",
  "dynamicMetadata",
]);

/** A copy with sorted keys and lists, without free fields and written-out defaults. */
export function normalized(value: unknown, key = "", parent = ""): unknown {
  if (Array.isArray(value)) {
    const items: unknown[] = value.map((item) => normalized(item, "", key));
    return isUnordered(key, parent) ? items.toSorted(byJson) : items;
  }
  if (typeof value !== "object" || value === null) return value;
  const result: Record<string, unknown> = {};
  const fields = value as Readonly<Record<string, unknown>>;
  for (const name of Object.keys(fields).toSorted()) {
    if (FREE_FIELDS.has(name)) continue;
    if (name === "name" && (parent === "filterChains" || key === "defaultFilterChain")) continue;
    if (name in DEFAULTS && fields[name] === DEFAULTS[name]) continue;
    result[name] = name === "inlineString" && isStandIn(fields[name]) ? "no keys" : normalized(fields[name], name, key);
  }
  return result;
}

/** What stands for keys that could not be fetched is each one's own. */
function isStandIn(text: unknown): boolean {
  return text === NO_KEYS || String(text).includes('"n": "0xObjM0UvS_oaazjpEYlAbwctEJ4L8pH3');
}

function isUnordered(key: string, parent: string): boolean {
  if (key === "headers") return parent === "match";
  // `endpoints` of an assignment is the list of localities.
  return UNORDERED.has(key) || key === "endpoints";
}

function byJson(a: unknown, b: unknown): number {
  const [left, right] = [JSON.stringify(a), JSON.stringify(b)];
  return left < right ? -1 : left > right ? 1 : 0;
}
