/** Values of an AuthorizationPolicy → Envoy's matchers: `*` at an end, regular expressions, addresses, claims. */
import { parseCidr } from "../model/ip.ts";
import type { JsonObject } from "./json.ts";

/** `*` is anything but nothing, `*x` a suffix, `x*` a prefix. */
export function textMatcher(value: string): JsonObject {
  if (value === "*") return regex(".+");
  if (value.startsWith("*")) return { suffix: value.slice(1) };
  if (value.endsWith("*")) return { prefix: value.slice(0, -1) };
  return { exact: value };
}

export function regex(pattern: string): JsonObject {
  return { safeRegex: { regex: pattern } };
}

/** `text` as a pattern that matches itself: a `.` in a name is a dot. */
export function quoted(text: string): string {
  return text.replace(/[\\.+*?()|[\]{}^$]/g, "\\$&");
}

/** As `quoted`, with each `*` as `wildcard`. */
export function quotedWith(text: string, wildcard: string): string {
  return text.split("*").map(quoted).join(wildcard);
}

/** `*` asks for presence. Names stay as they are written: Envoy reads them without case. */
export function headerMatcher(name: string, value: string, ignoreCase = false): JsonObject {
  if (value === "*") return { name, presentMatch: true };
  return { name, stringMatch: { ...textMatcher(value), ...(ignoreCase && { ignoreCase: true }) } };
}

/** One value among those of a header that are parted by commas. */
export function inlineHeaderMatcher(name: string, value: string): JsonObject {
  if (value === "*") return { name, presentMatch: true };
  const one = quotedWith(value, "[^,]*");
  return { name, stringMatch: regex(`(.*,[ \\t]*)?${one}([ \\t]*,.*)?`) };
}

/** Undefined for what is no address. */
export function cidrRange(value: string): JsonObject | undefined {
  const cidr = parseCidr(value);
  return cidr === undefined ? undefined : { addressPrefix: cidr.address, prefixLen: cidr.bits };
}

export function anyValueOf(matchers: readonly JsonObject[]): JsonObject {
  return matchers.length === 1 && matchers[0] !== undefined ? matchers[0] : { orMatch: { valueMatchers: matchers } };
}

/** A claim is text, or a list of which one item matches (rule 80). */
export function claimMatcher(path: readonly string[], values: readonly string[]): JsonObject {
  const value = anyValueOf(values.map((item) => ({ stringMatch: textMatcher(item) })));
  return jwtMetadata(path, { orMatch: { valueMatchers: [{ listMatch: { oneOf: value } }, value] } });
}

/** What jwt_authn leaves of a token that it has checked. */
export function jwtMetadata(path: readonly string[], value: JsonObject): JsonObject {
  return {
    metadata: {
      filter: "envoy.filters.http.jwt_authn",
      path: ["payload", ...path].map((key) => ({ key })),
      value,
    },
  };
}

/** `a[b][c]` → b, c. */
export function namesInBrackets(key: string): readonly string[] {
  const open = key.indexOf("[");
  return open < 0 ? [] : key.slice(open + 1, -1).split("][");
}
