/** Predicates of a matcher list: one question about an input, or several joined. */
import type { Message } from "@bufbuild/protobuf";
import { MessageReader } from "#protos/reader.ts";
import type { Ip } from "#protos/gen/envoy/extensions/matching/input_matchers/ip/v3/ip_pb.js";
import type {
  Matcher_MatcherList_Predicate,
  Matcher_MatcherList_Predicate_PredicateList,
  Matcher_MatcherList_Predicate_SinglePredicate,
} from "#protos/gen/xds/type/matcher/v3/matcher_pb.js";
import type { StringMatcher as StringMatcherMessage } from "#protos/gen/xds/type/matcher/v3/string_pb.js";
import type { StringMatcher as EnvoyStringMatcher } from "#protos/gen/envoy/type/matcher/v3/string_pb.js";
import type { RegexMatcher as XdsRegexMatcher } from "#protos/gen/xds/type/matcher/v3/regex_pb.js";
import type { RegexMatcher } from "#protos/gen/envoy/type/matcher/v3/regex_pb.js";
import { createMessage } from "#protos/registry.ts";
import { isInRanges, parseCidrRanges } from "../http/cidr.ts";
import { parseStringMatcher } from "../router/string-matcher.ts";
import { openExtension, type MatcherKit } from "./kit.ts";

export type Predicate<Context> = (context: Context) => boolean;

const never = (): boolean => false;

/** Problems go to the reader's list; what has some never holds. */
export function parsePredicate<Context>(
  reader: MessageReader<Matcher_MatcherList_Predicate>,
  kit: MatcherKit<Context, unknown>,
): Predicate<Context> {
  const type = reader.get("matchType");
  const at = reader.at("matchType");
  reader.finish();
  switch (type.case) {
    case "singlePredicate":
      return parseSingle(new MessageReader(type.value, at, reader.problems), kit);
    case "orMatcher": {
      const parts = parseAll(new MessageReader(type.value, at, reader.problems), kit);
      return (context) => parts.some((holds) => holds(context));
    }
    case "andMatcher": {
      const parts = parseAll(new MessageReader(type.value, at, reader.problems), kit);
      return (context) => parts.every((holds) => holds(context));
    }
    case "notMatcher": {
      const inner = parsePredicate(new MessageReader(type.value, at, reader.problems), kit);
      return (context) => !inner(context);
    }
    case undefined:
      reader.invalid("matchType", "one of single_predicate, or_matcher, and_matcher, not_matcher must be set");
      return never;
  }
}

function parseAll<Context>(
  reader: MessageReader<Matcher_MatcherList_Predicate_PredicateList>,
  kit: MatcherKit<Context, unknown>,
): readonly Predicate<Context>[] {
  const parts = reader.children("predicate").map((part) => parsePredicate(part, kit));
  reader.finish();
  return parts;
}

function parseSingle<Context>(
  reader: MessageReader<Matcher_MatcherList_Predicate_SinglePredicate>,
  kit: MatcherKit<Context, unknown>,
): Predicate<Context> {
  const source = reader.child("input");
  const matcher = reader.get("matcher");
  const at = reader.at("matcher");
  reader.finish();
  if (source === undefined) reader.invalid("input", "input must be set");
  const input = source === undefined ? undefined : openExtension(source, (message, inner) => kit.input(message, inner));
  let test: ((value: string) => boolean) | undefined;
  if (matcher.case === "valueMatch") test = parseText(new MessageReader(matcher.value, at, reader.problems), kit);
  else if (matcher.case === "customMatch")
    test = openExtension(new MessageReader(matcher.value, at, reader.problems), parseCustom);
  else reader.invalid("matcher", "one of value_match, custom_match must be set");
  if (input === undefined || test === undefined) return never;
  const holds = test;
  return (context) => {
    const value = input(context);
    return value !== undefined && holds(value);
  };
}

/** The xDS message has the fields of Envoy's. */
function parseText(
  reader: MessageReader<StringMatcherMessage>,
  kit: MatcherKit<never, unknown>,
): ((value: string) => boolean) | undefined {
  const pattern = reader.get("matchPattern");
  const ignoreCase = reader.get("ignoreCase");
  reader.finish();
  const own: EnvoyStringMatcher["matchPattern"] =
    pattern.case === "safeRegex"
      ? {
          case: "safeRegex",
          value: createMessage<RegexMatcher>("envoy.type.matcher.v3.RegexMatcher", {
            regex: regexOf(reader.oneof("matchPattern", pattern.value)),
          }),
        }
      : pattern.case === "custom"
        ? { case: undefined }
        : pattern;
  const message = createMessage<EnvoyStringMatcher>("envoy.type.matcher.v3.StringMatcher", {
    ignoreCase,
    matchPattern: own,
  });
  return parseStringMatcher(new MessageReader(message, reader.path, reader.problems), kit.regexes);
}

function regexOf(reader: MessageReader<XdsRegexMatcher>): string {
  reader.ignore("engineType", "RE2 is the only engine");
  const regex = reader.get("regex");
  reader.finish();
  return regex;
}

/** Input matchers; `envoy.matching.matchers.ip` is the one that there is. */
function parseCustom(message: Message, reader: MessageReader<Message>): ((value: string) => boolean) | undefined {
  if (message.$typeName !== "envoy.extensions.matching.input_matchers.ip.v3.Ip") return undefined;
  const ip = reader as MessageReader<Ip>;
  const ranges = parseCidrRanges(ip.children("cidrRanges"));
  ip.ignore("statPrefix", "counts addresses that can't be parsed, which inputs here never give");
  ip.finish();
  return (value) => isInRanges(value, ranges);
}
