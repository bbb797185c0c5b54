/** `envoy.type.matcher.v3.StringMatcher` → a test over byte strings. */
import type { MessageReader } from "#protos/reader.ts";
import { MessageReader as Reader } from "#protos/reader.ts";
import { byteString } from "#lib/xxhash64.ts";
import type { RegexMatcher } from "#protos/gen/envoy/type/matcher/v3/regex_pb.js";
import type { StringMatcher as StringMatcherMessage } from "#protos/gen/envoy/type/matcher/v3/string_pb.js";
import type { Regex, RegexCache } from "./regex.ts";

/** Tests one value. Values are byte strings, as header fields are. */
export type StringMatcher = (value: string) => boolean;

/** Reads a matcher; undefined when it has problems, which are on the reader's list. `ignore_case` spares regular expressions. */
export function parseStringMatcher(
  reader: MessageReader<StringMatcherMessage>,
  regexes: RegexCache,
): StringMatcher | undefined {
  const pattern = reader.get("matchPattern");
  const ignoreCase = reader.get("ignoreCase");
  reader.finish();
  switch (pattern.case) {
    case "exact":
      return exact(byteString(pattern.value), ignoreCase);
    case "prefix":
      return prefix(byteString(pattern.value), ignoreCase);
    case "suffix":
      return suffix(byteString(pattern.value), ignoreCase);
    case "contains":
      return contains(byteString(pattern.value), ignoreCase);
    case "safeRegex":
      return parseRegexMatcher(new Reader(pattern.value, reader.at("matchPattern"), reader.problems), regexes)
        ?.fullMatch;
    case "custom":
      reader.unsupported("matchPattern");
      return undefined;
    case undefined:
      reader.problems.push({
        code: "invalid-value",
        level: "error",
        path: reader.path,
        message: "one of exact, prefix, suffix, contains or safe_regex must be set",
      });
      return undefined;
  }
}

/** A compiled `safe_regex`; undefined, with a problem on the reader's list, when RE2 refuses it. */
export function parseRegexMatcher(reader: MessageReader<RegexMatcher>, regexes: RegexCache): Regex | undefined {
  reader.ignore("engineType", "RE2 is the only engine; max_program_size is not enforced by Envoy either");
  const pattern = reader.get("regex");
  reader.finish();
  try {
    return regexes.compile(pattern);
  } catch (error) {
    reader.invalid("regex", `${error instanceof Error ? error.message : String(error)} (RE2 syntax)`);
    return undefined;
  }
}

/** Lower case for the letters A to Z only: other bytes are not letters here. */
export function lowerAscii(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

function exact(wanted: string, ignoreCase: boolean): StringMatcher {
  if (!ignoreCase) return (value) => value === wanted;
  const lower = lowerAscii(wanted);
  return (value) => value.length === lower.length && lowerAscii(value) === lower;
}

function prefix(wanted: string, ignoreCase: boolean): StringMatcher {
  if (!ignoreCase) return (value) => value.startsWith(wanted);
  const lower = lowerAscii(wanted);
  return (value) => lowerAscii(value.slice(0, lower.length)) === lower;
}

function suffix(wanted: string, ignoreCase: boolean): StringMatcher {
  if (!ignoreCase) return (value) => value.endsWith(wanted);
  const lower = lowerAscii(wanted);
  return (value) => value.length >= lower.length && lowerAscii(value.slice(value.length - lower.length)) === lower;
}

function contains(wanted: string, ignoreCase: boolean): StringMatcher {
  if (!ignoreCase) return (value) => value.includes(wanted);
  const lower = lowerAscii(wanted);
  return (value) => lowerAscii(value).includes(lower);
}
