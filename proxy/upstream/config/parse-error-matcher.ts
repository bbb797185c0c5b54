/** `HttpProtocolOptions.outlier_detection.error_matcher`: which responses count as errors (L-43). */
import { MessageReader } from "#protos/reader.ts";
import type { MatchPredicate, MatchPredicate_MatchSet } from "#protos/gen/envoy/config/common/matcher/v3/matcher_pb.js";
import type { HeaderMap } from "../../http/header-map.ts";
import { parseHeaderMatchers } from "../../router/header-matcher.ts";
import { RegexCache } from "../../router/regex.ts";

/** Tests the headers of a response. */
export type ResponsePredicate = (headers: HeaderMap) => boolean;

/** Reads a predicate over responses; undefined with problems, which are on the reader's list. */
export function parseErrorMatcher(
  reader: MessageReader<MatchPredicate>,
  regexes: RegexCache = new RegexCache(),
): ResponsePredicate | undefined {
  const rule = reader.get("rule");
  const at = reader.at("rule");
  reader.finish();
  const set = (value: MatchPredicate_MatchSet): (ResponsePredicate | undefined)[] => {
    const inner = new MessageReader(value, at, reader.problems);
    const rules = inner.children("rules").map((child) => parseErrorMatcher(child, regexes));
    inner.finish();
    return rules;
  };
  switch (rule.case) {
    case "anyMatch":
      return () => rule.value;
    case "orMatch": {
      const rules = set(rule.value);
      return (headers) => rules.some((matches) => matches?.(headers) === true);
    }
    case "andMatch": {
      const rules = set(rule.value);
      return (headers) => rules.every((matches) => matches?.(headers) === true);
    }
    case "notMatch": {
      const inner = parseErrorMatcher(new MessageReader(rule.value, at, reader.problems), regexes);
      return inner && ((headers) => !inner(headers));
    }
    case "httpResponseHeadersMatch": {
      const match = new MessageReader(rule.value, at, reader.problems);
      const matchers = parseHeaderMatchers(match.children("headers"), regexes);
      match.finish();
      return (headers) => matchers.every((matches) => matches(headers));
    }
    default:
      reader.unsupported("rule", "an error_matcher can look at the headers of responses only");
      return undefined;
  }
}
