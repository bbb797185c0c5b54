/** `stats_matcher`: which statistics are kept at all. */
import { MessageReader } from "#protos/reader.ts";
import type { StatsMatcher } from "#protos/gen/envoy/config/metrics/v3/stats_pb.js";
import type { ListStringMatcher } from "#protos/gen/envoy/type/matcher/v3/string_pb.js";
import type { StringMatcher as StringMatcherMessage } from "#protos/gen/envoy/type/matcher/v3/string_pb.js";
import { RegexCache } from "../router/regex.ts";
import { parseStringMatcher, type StringMatcher } from "../router/string-matcher.ts";
import { literalPrefix } from "./stats-tags.ts";

/** Reads a matcher; undefined: everything is kept. Problems go to the reader's list. */
export function parseStatsMatcher(reader: MessageReader<StatsMatcher>): ((name: string) => boolean) | undefined {
  const matcher = reader.get("statsMatcher");
  const path = reader.at("statsMatcher");
  reader.finish();
  switch (matcher.case) {
    case undefined:
      return undefined;
    case "rejectAll":
      return matcher.value ? () => false : undefined;
    case "exclusionList":
    case "inclusionList": {
      const tests = parseList(new MessageReader(matcher.value, path, reader.problems));
      const keeps = matcher.case === "inclusionList";
      return (name) => tests.some((test) => test(name)) === keeps;
    }
  }
}

function parseList(reader: MessageReader<ListStringMatcher>): readonly StringMatcher[] {
  const regexes = new RegexCache();
  const tests = reader
    .children("patterns")
    .map((pattern) => withPrefix(pattern.message, parseStringMatcher(pattern, regexes)));
  reader.finish();
  return tests.filter((test) => test !== undefined);
}

/** A regular expression has to match the whole name: its literal beginning spares most names the rest. */
function withPrefix(
  { matchPattern }: StringMatcherMessage,
  test: StringMatcher | undefined,
): StringMatcher | undefined {
  if (test === undefined || matchPattern.case !== "safeRegex") return test;
  const { regex } = matchPattern.value;
  const prefix = literalPrefix(regex.startsWith("^") ? regex : `^${regex}`);
  return prefix === "" ? test : (name) => name.startsWith(prefix) && test(name);
}
