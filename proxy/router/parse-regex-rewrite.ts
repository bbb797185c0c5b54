/** `envoy.type.matcher.v3.RegexMatchAndSubstitute` → a function over byte strings. */
import type { MessageReader } from "#protos/reader.ts";
import { byteString } from "#lib/xxhash64.ts";
import type { RegexMatchAndSubstitute } from "#protos/gen/envoy/type/matcher/v3/regex_pb.js";
import { substitutionProblem, type RegexCache } from "./regex.ts";
import { parseRegexMatcher } from "./string-matcher.ts";

/** Replaces every match; undefined, with problems on the reader's list, when pattern or substitution are wrong. */
export function parseRegexRewrite(
  reader: MessageReader<RegexMatchAndSubstitute>,
  regexes: RegexCache,
): ((text: string) => string) | undefined {
  const pattern = reader.child("pattern");
  const substitution = reader.get("substitution");
  reader.finish();
  const regex = pattern === undefined ? undefined : parseRegexMatcher(pattern, regexes);
  if (pattern === undefined) reader.invalid("pattern", "the pattern is missing");
  if (regex === undefined) return undefined;
  const problem = substitutionProblem(regex, substitution);
  if (problem !== undefined) {
    reader.invalid("substitution", problem);
    return undefined;
  }
  const replacement = byteString(substitution);
  return (text) => regex.replaceAll(text, replacement);
}
