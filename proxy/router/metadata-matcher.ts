/** `envoy.type.matcher.v3.MetadataMatcher` and `ValueMatcher` → tests over JSON values. */
import { MessageReader } from "#protos/reader.ts";
import type { DoubleMatcher } from "#protos/gen/envoy/type/matcher/v3/number_pb.js";
import type { MetadataMatcher } from "#protos/gen/envoy/type/matcher/v3/metadata_pb.js";
import type { ValueMatcher } from "#protos/gen/envoy/type/matcher/v3/value_pb.js";
import { byteString } from "#lib/xxhash64.ts";
import type { RegexCache } from "./regex.ts";
import { parseStringMatcher } from "./string-matcher.ts";

/** Namespace → struct; absent namespaces are undefined. */
export type MetadataLookup = (namespace: string) => unknown;
export type MetadataPredicate = (lookup: MetadataLookup) => boolean;
type ValuePredicate = (value: unknown) => boolean;

/** Reads one matcher; undefined when it has problems, which are on the reader's list. */
export function parseMetadataMatcher(
  reader: MessageReader<MetadataMatcher>,
  regexes: RegexCache,
): MetadataPredicate | undefined {
  const filter = reader.get("filter");
  const keys: string[] = [];
  for (const segment of reader.children("path")) {
    const key = segment.get("segment");
    segment.finish();
    if (key.case === "key") keys.push(key.value);
    else segment.invalid("segment", "a segment of the path needs a key");
  }
  const value = reader.child("value");
  const invert = reader.get("invert");
  reader.finish();
  const test = value === undefined ? undefined : parseValueMatcher(value, regexes);
  if (test === undefined) return undefined;
  return (lookup) => test(at(lookup(filter), keys)) !== invert;
}

function at(value: unknown, keys: readonly string[]): unknown {
  let found = value;
  for (const key of keys) {
    if (typeof found !== "object" || found === null) return undefined;
    found = (found as Record<string, unknown>)[key];
  }
  return found;
}

/** Reads a value matcher. A value that is not there is `undefined` and matches nothing but `present_match: false`. */
export function parseValueMatcher(
  reader: MessageReader<ValueMatcher>,
  regexes: RegexCache,
): ValuePredicate | undefined {
  const pattern = reader.get("matchPattern");
  const path = reader.at("matchPattern");
  reader.finish();
  switch (pattern.case) {
    case "nullMatch":
      return (value) => value === null;
    case "boolMatch":
      return (value) => value === pattern.value;
    case "presentMatch":
      return (value) => (value !== undefined && value !== null) === pattern.value;
    case "doubleMatch":
      return doubleTest(pattern.value);
    case "stringMatch": {
      const test = parseStringMatcher(new MessageReader(pattern.value, path, reader.problems), regexes);
      return test === undefined ? undefined : (value) => typeof value === "string" && test(byteString(value));
    }
    case "listMatch": {
      const list = new MessageReader(pattern.value, path, reader.problems);
      const inner = list.get("matchPattern");
      list.finish();
      if (inner.case === undefined) return undefined;
      const oneOf = new MessageReader(inner.value, list.at("matchPattern"), reader.problems);
      const test = parseValueMatcher(oneOf, regexes);
      return test === undefined ? undefined : (value) => Array.isArray(value) && value.some(test);
    }
    case "orMatch": {
      const any = new MessageReader(pattern.value, path, reader.problems);
      const tests = any.children("valueMatchers").map((child) => parseValueMatcher(child, regexes));
      any.finish();
      return (value) => tests.some((test) => test?.(value) === true);
    }
    case undefined:
      reader.problems.push({
        code: "invalid-value",
        level: "error",
        path: reader.path,
        message: "no match pattern is set",
      });
      return undefined;
  }
}

function doubleTest(matcher: DoubleMatcher): ValuePredicate {
  const pattern = matcher.matchPattern;
  if (pattern.case === "exact") {
    const { value: wanted } = pattern;
    return (value) => value === wanted;
  }
  if (pattern.case !== "range") return () => false;
  const { start, end } = pattern.value;
  return (value) => typeof value === "number" && value >= start && value < end;
}
