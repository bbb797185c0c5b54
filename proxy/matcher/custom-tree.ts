/** Trees with a shape of their own: by IP range and by server name. */
import type { Message } from "@bufbuild/protobuf";
import type { MessageReader } from "#protos/reader.ts";
import type { ServerNameMatcher } from "#protos/gen/xds/type/matcher/v3/domain_pb.js";
import type { IPMatcher } from "#protos/gen/xds/type/matcher/v3/ip_pb.js";
import { isInRanges, parseIp, type CidrRange } from "../http/cidr.ts";
import type { Matcher_OnMatch } from "#protos/gen/xds/type/matcher/v3/matcher_pb.js";
import type { Matcher } from "./kit.ts";

/** Finds the action for the value of the tree's input. */
export type CustomTree<Context, Action> = (value: string, context: Context) => Action | undefined;

const none = (): undefined => undefined;

type ParseOnMatch<Context, Action> = (reader: MessageReader<Matcher_OnMatch>) => Matcher<Context, Action>;

/** Undefined: there is no such tree. */
export function parseCustomTree<Context, Action>(
  message: Message,
  reader: MessageReader<Message>,
  parseOnMatch: ParseOnMatch<Context, Action>,
): CustomTree<Context, Action> | undefined {
  switch (message.$typeName) {
    case "xds.type.matcher.v3.IPMatcher":
      return parseIpTree(reader as MessageReader<IPMatcher>, parseOnMatch);
    case "xds.type.matcher.v3.ServerNameMatcher":
      return parseNameTree(reader as MessageReader<ServerNameMatcher>, parseOnMatch);
    default:
      return undefined;
  }
}

/** The longest range first; a range that leads nowhere gives way to a longer one's, unless it is `exclusive`. */
function parseIpTree<Context, Action>(
  reader: MessageReader<IPMatcher>,
  parseOnMatch: ParseOnMatch<Context, Action>,
): CustomTree<Context, Action> {
  const entries: {
    readonly ranges: readonly CidrRange[];
    readonly next: Matcher<Context, Action>;
    readonly isExclusive: boolean;
  }[] = [];
  for (const matcher of reader.children("rangeMatchers")) {
    const isExclusive = matcher.get("exclusive");
    const onMatch = matcher.child("onMatch");
    const next = onMatch === undefined ? none : parseOnMatch(onMatch);
    for (const range of matcher.children("ranges")) {
      const text = range.get("addressPrefix");
      const prefixLength = range.get("prefixLen") ?? 0;
      range.finish();
      const address = parseIp(text);
      if (address === undefined) range.invalid("addressPrefix", `${text} is not an IP address`);
      else entries.push({ ranges: [{ ...address, prefixLength }], next, isExclusive });
    }
    matcher.finish();
  }
  reader.finish();
  entries.sort((a, b) => (b.ranges[0]?.prefixLength ?? 0) - (a.ranges[0]?.prefixLength ?? 0));
  return (value, context) => {
    for (const { ranges, next, isExclusive } of entries) {
      if (!isInRanges(value, ranges)) continue;
      const action = next(context);
      if (action !== undefined || isExclusive) return action;
    }
    return undefined;
  };
}

/** The name itself, then `*.` suffixes from the longest on, then `*`. */
function parseNameTree<Context, Action>(
  reader: MessageReader<ServerNameMatcher>,
  parseOnMatch: ParseOnMatch<Context, Action>,
): CustomTree<Context, Action> {
  const names = new Map<string, Matcher<Context, Action>>();
  for (const matcher of reader.children("domainMatchers")) {
    const onMatch = matcher.child("onMatch");
    const next = onMatch === undefined ? none : parseOnMatch(onMatch);
    for (const domain of matcher.get("domains")) {
      if (domain.lastIndexOf("*") > 0 || (domain.startsWith("*") && domain !== "*" && !domain.startsWith("*.")))
        matcher.invalid("domains", `partial wildcards are not supported: ${domain}`);
      else if (names.has(domain)) matcher.invalid("domains", `duplicate domain in ServerNameMatcher: ${domain}`);
      else names.set(domain, next);
    }
    matcher.finish();
  }
  reader.finish();
  return (value, context) => {
    for (const key of keysOf(value)) {
      const action = names.get(key)?.(context);
      if (action !== undefined) return action;
    }
    return undefined;
  };
}

function keysOf(name: string): readonly string[] {
  const keys = [name];
  for (let dot = name.indexOf("."); dot >= 0; dot = name.indexOf(".", dot + 1)) keys.push(`*${name.slice(dot)}`);
  keys.push("*");
  return keys;
}
