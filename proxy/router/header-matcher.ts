/** `envoy.config.route.v3.HeaderMatcher` → a test over headers (R-17 … R-22). */
import { MessageReader } from "#protos/reader.ts";
import { byteString } from "#lib/xxhash64.ts";
import type { HeaderMatcher } from "#protos/gen/envoy/config/route/v3/route_components_pb.js";
import type { HeaderMap } from "../http/header-map.ts";
import type { RegexCache } from "./regex.ts";
import { parseRegexMatcher, parseStringMatcher, type StringMatcher } from "./string-matcher.ts";
import type { HeaderPredicate } from "./types.ts";

/**
 * Reads one matcher; undefined when it has problems, which are on the reader's list. Of several fields of one name each is
 * tried for itself (Envoy since 1.39), so that a further value hides none.
 */
export function parseHeaderMatcher(
  reader: MessageReader<HeaderMatcher>,
  regexes: RegexCache,
): HeaderPredicate | undefined {
  const name = headerKey(reader.get("name"));
  const invert = reader.get("invertMatch");
  const missingIsEmpty = reader.get("treatMissingHeaderAsEmpty");
  const specifier = reader.get("headerMatchSpecifier");
  const valued = (name: string, test: StringMatcher | undefined, invert: boolean, missingIsEmpty: boolean) =>
    test === undefined ? undefined : anyValue(name, test, invert, missingIsEmpty);
  reader.finish();
  switch (specifier.case) {
    case undefined:
      return present(name, !invert, missingIsEmpty);
    case "presentMatch":
      return present(name, specifier.value !== invert, missingIsEmpty);
    case "exactMatch": {
      const wanted = byteString(specifier.value);
      // An empty legacy value means presence.
      return valued(name, wanted === "" ? () => true : (value) => value === wanted, invert, missingIsEmpty);
    }
    case "prefixMatch": {
      const wanted = byteString(specifier.value);
      return valued(name, (value) => value.startsWith(wanted), invert, missingIsEmpty);
    }
    case "suffixMatch": {
      const wanted = byteString(specifier.value);
      return valued(name, (value) => value.endsWith(wanted), invert, missingIsEmpty);
    }
    case "containsMatch": {
      const wanted = byteString(specifier.value);
      return valued(name, (value) => value.includes(wanted), invert, missingIsEmpty);
    }
    case "rangeMatch": {
      const { start, end } = specifier.value;
      return valued(name, (value) => isInRange(value, start, end), invert, missingIsEmpty);
    }
    case "safeRegexMatch": {
      const at = new MessageReader(specifier.value, reader.at("headerMatchSpecifier"), reader.problems);
      return valued(name, parseRegexMatcher(at, regexes)?.fullMatch, invert, missingIsEmpty);
    }
    case "stringMatch": {
      const at = new MessageReader(specifier.value, reader.at("headerMatchSpecifier"), reader.problems);
      return valued(name, parseStringMatcher(at, regexes), invert, missingIsEmpty);
    }
  }
}

/** All matchers of a list; problems leave gaps out. */
export function parseHeaderMatchers(
  readers: readonly MessageReader<HeaderMatcher>[],
  regexes: RegexCache,
): readonly HeaderPredicate[] {
  return readers.map((reader) => parseHeaderMatcher(reader, regexes)).filter((predicate) => predicate !== undefined);
}

/** The key under which a field of that name is kept: lower case, and `host` is `:authority`. */
export function headerKey(name: string): string {
  const lower = name.toLowerCase();
  return lower === "host" ? ":authority" : lower;
}

function present(name: string, wanted: boolean, missingIsEmpty: boolean): HeaderPredicate {
  if (missingIsEmpty) return () => wanted;
  return (headers) => headers.has(name) === wanted;
}

/** One of the values matches, or, inverted, none does. A missing header never matches, not even inverted. */
function anyValue(name: string, test: StringMatcher, invert: boolean, missingIsEmpty: boolean): HeaderPredicate {
  if (name.startsWith(":"))
    return (headers) => {
      const value = headers.get(name);
      return value === undefined ? missingIsEmpty && test("") !== invert : test(value) !== invert;
    };
  return ({ names, values }: HeaderMap) => {
    let at = names.indexOf(name);
    if (at < 0) return missingIsEmpty && test("") !== invert;
    for (; at >= 0; at = names.indexOf(name, at + 1)) if (test(values[at] as string)) return !invert;
    return invert;
  };
}

function isInRange(value: string, start: bigint, end: bigint): boolean {
  const trimmed = value.trim();
  if (!/^[+-]?\d+$/.test(trimmed)) return false;
  const number = BigInt(trimmed.startsWith("+") ? trimmed.slice(1) : trimmed);
  return number >= start && number < end && number >= -(2n ** 63n) && number < 2n ** 63n;
}
