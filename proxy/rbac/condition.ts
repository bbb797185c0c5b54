/** What policies of role-based access control are made of: tests over a request and its connection. */
import type { CidrRange } from "#protos/gen/envoy/config/core/v3/address_pb.js";
import type { SourcedMetadata } from "#protos/gen/envoy/additions/rbac_pb.js";
import type { MetadataMatcher } from "#protos/gen/envoy/type/matcher/v3/metadata_pb.js";
import type { PathMatcher } from "#protos/gen/envoy/type/matcher/v3/path_pb.js";
import type { MessageReader } from "#protos/reader.ts";
import { isInRanges, parseCidrRanges } from "../http/cidr.ts";
import type { HeaderMap } from "../http/header-map.ts";
import { parseMetadataMatcher } from "../router/metadata-matcher.ts";
import { withoutQuery } from "../router/path-matcher.ts";
import type { RegexCache } from "../router/regex.ts";
import { parseStringMatcher } from "../router/string-matcher.ts";
import type { StreamInfo } from "../stream-info.ts";

/** Tests one request. On a TCP connection `headers` is empty. */
export type Condition = (headers: HeaderMap, info: StreamInfo) => boolean;

export const always: Condition = () => true;

export function allOf(conditions: readonly Condition[]): Condition {
  const [only] = conditions;
  if (conditions.length === 1 && only !== undefined) return only;
  return (headers, info) => {
    for (const holds of conditions) if (!holds(headers, info)) return false;
    return true;
  };
}

export function anyOf(conditions: readonly Condition[]): Condition {
  const [only] = conditions;
  if (conditions.length === 1 && only !== undefined) return only;
  return (headers, info) => {
    for (const holds of conditions) if (holds(headers, info)) return true;
    return false;
  };
}

export function negated(condition: Condition | undefined): Condition | undefined {
  return condition === undefined ? undefined : (headers, info) => !condition(headers, info);
}

/** All of a list, or undefined when one has problems: a list that shrinks would mean something else. */
export function complete(conditions: readonly (Condition | undefined)[]): readonly Condition[] | undefined {
  const read = conditions.filter((condition) => condition !== undefined);
  return read.length === conditions.length ? read : undefined;
}

/** `address` gives the text of an IP address; undefined never matches. Remembers its last answer: peers come again. */
export function parseIpCondition(
  reader: MessageReader<CidrRange>,
  address: (info: StreamInfo) => string | undefined,
): Condition | undefined {
  const ranges = parseCidrRanges([reader]);
  const [range] = ranges;
  if (range === undefined) return undefined;
  if (range.prefixLength > (range.family === 4 ? 32 : 128)) {
    reader.invalid("prefixLen", `${range.prefixLength} is longer than an address of the family`);
    return undefined;
  }
  let lastText = "";
  let lastAnswer = false;
  return (_headers, info) => {
    const text = address(info);
    if (text === undefined) return false;
    if (text !== lastText) {
      lastText = text;
      lastAnswer = isInRanges(text, ranges);
    }
    return lastAnswer;
  };
}

/** The path without query and fragment; a request without a path never matches. */
export function parsePathCondition(reader: MessageReader<PathMatcher>, regexes: RegexCache): Condition | undefined {
  const rule = reader.get("rule");
  reader.finish();
  if (rule.case === undefined) {
    reader.invalid("rule", "a path matcher needs `path`");
    return undefined;
  }
  const test = parseStringMatcher(reader.oneof("rule", rule.value), regexes);
  if (test === undefined) return undefined;
  return ({ path }) => path !== "" && test(withoutQuery(path));
}

/** Dynamic metadata, which filters before this one have written. */
export function parseMetadataCondition(
  reader: MessageReader<MetadataMatcher>,
  regexes: RegexCache,
): Condition | undefined {
  const test = parseMetadataMatcher(reader, regexes);
  if (test === undefined) return undefined;
  return (_headers, { dynamicMetadata }) => test((namespace) => dynamicMetadata?.get(namespace));
}

/** Metadata of a route is refused by name. */
export function parseSourcedMetadata(
  reader: MessageReader<SourcedMetadata>,
  regexes: RegexCache,
): Condition | undefined {
  const matcher = reader.child("metadataMatcher");
  if (reader.get("metadataSource") !== 0) {
    reader.unsupported("metadataSource", "only the metadata_source DYNAMIC is supported by this proxy");
    return undefined;
  }
  reader.finish();
  if (matcher !== undefined) return parseMetadataCondition(matcher, regexes);
  reader.invalid("metadataMatcher", "must be set");
  return undefined;
}
