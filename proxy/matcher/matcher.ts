/**
 * `xds.type.matcher.v3.Matcher`, the generic matching API: a tree of questions about something (a connection, a request)
 * with actions at its leaves. What can be asked and done is given by the user of it (`MatcherKit`).
 */
import { MessageReader } from "#protos/reader.ts";
import type {
  Matcher as MatcherMessage,
  Matcher_MatcherList,
  Matcher_MatcherTree,
  Matcher_OnMatch,
} from "#protos/gen/xds/type/matcher/v3/matcher_pb.js";
import { parseCustomTree } from "./custom-tree.ts";
import { openExtension, type Matcher, type MatcherKit, type MatchInput } from "./kit.ts";
import { parsePredicate } from "./predicate.ts";

const never = (): undefined => undefined;

/** Problems go to the reader's list; what has some matches nothing. */
export function parseMatcher<Context, Action>(
  reader: MessageReader<MatcherMessage>,
  kit: MatcherKit<Context, Action>,
): Matcher<Context, Action> {
  const type = reader.get("matcherType");
  const at = reader.at("matcherType");
  const last = reader.child("onNoMatch");
  const otherwise = last === undefined ? never : parseOnMatch(last, kit);
  reader.finish();
  const parts =
    type.case === "matcherList"
      ? [parseList(new MessageReader(type.value, at, reader.problems), kit)]
      : type.case === "matcherTree"
        ? [parseTree(new MessageReader(type.value, at, reader.problems), kit)]
        : [];
  const [first = never] = parts;
  return (context) => first(context) ?? otherwise(context);
}

/** What follows from a match: an action, or more questions. */
function parseOnMatch<Context, Action>(
  reader: MessageReader<Matcher_OnMatch>,
  kit: MatcherKit<Context, Action>,
): Matcher<Context, Action> {
  const onMatch = reader.get("onMatch");
  const at = reader.at("onMatch");
  if (reader.get("keepMatching"))
    reader.unsupported(
      "keepMatching",
      "keep_matching is not supported in this context: the first match ends the search",
    );
  reader.finish();
  switch (onMatch.case) {
    case "matcher":
      return parseMatcher(new MessageReader(onMatch.value, at, reader.problems), kit);
    case "action": {
      const action = openExtension(new MessageReader(onMatch.value, at, reader.problems), (message, inner) =>
        kit.action(message, inner),
      );
      return () => action;
    }
    case undefined:
      reader.invalid("onMatch", "one of matcher, action must be set");
      return never;
  }
}

/** The first one that matches and leads to an action. */
function parseList<Context, Action>(
  reader: MessageReader<Matcher_MatcherList>,
  kit: MatcherKit<Context, Action>,
): Matcher<Context, Action> {
  const matchers = reader.children("matchers").map((entry) => {
    const predicate = entry.child("predicate");
    const onMatch = entry.child("onMatch");
    entry.finish();
    if (predicate === undefined) entry.invalid("predicate", "predicate must be set");
    if (onMatch === undefined) entry.invalid("onMatch", "on_match must be set");
    return {
      holds: predicate === undefined ? (): boolean => false : parsePredicate(predicate, kit),
      next: onMatch === undefined ? never : parseOnMatch(onMatch, kit),
    };
  });
  reader.finish();
  return (context) => {
    for (const { holds, next } of matchers) {
      if (!holds(context)) continue;
      const action = next(context);
      if (action !== undefined) return action;
    }
    return undefined;
  };
}

function parseTree<Context, Action>(
  reader: MessageReader<Matcher_MatcherTree>,
  kit: MatcherKit<Context, Action>,
): Matcher<Context, Action> {
  const source = reader.child("input");
  const tree = reader.get("treeType");
  const at = reader.at("treeType");
  reader.finish();
  if (source === undefined) reader.invalid("input", "input must be set");
  const input = source === undefined ? undefined : openExtension(source, (message, inner) => kit.input(message, inner));
  switch (tree.case) {
    case "exactMatchMap":
    case "prefixMatchMap": {
      const entries = new Map<string, Matcher<Context, Action>>();
      const textOf = kit.textOf ?? ((text: string) => text);
      for (const [key, onMatch] of Object.entries(tree.value.map))
        entries.set(textOf(key), parseOnMatch(new MessageReader(onMatch, `${at}.map["${key}"]`, reader.problems), kit));
      if (entries.size === 0) reader.invalid("treeType", "the map has no entries");
      if (input === undefined) return never;
      return tree.case === "exactMatchMap" ? exactTree(input, entries) : prefixTree(input, entries);
    }
    case "customMatch": {
      const custom = openExtension(new MessageReader(tree.value, at, reader.problems), (message, inner) =>
        parseCustomTree(message, inner, (onMatch) => parseOnMatch(onMatch, kit)),
      );
      if (input === undefined || custom === undefined) return never;
      return (context) => {
        const value = input(context);
        return value === undefined ? undefined : custom(value, context);
      };
    }
    case undefined:
      reader.invalid("treeType", "one of exact_match_map, prefix_match_map or custom_match must be set");
      return never;
  }
}

function exactTree<Context, Action>(
  input: MatchInput<Context>,
  entries: ReadonlyMap<string, Matcher<Context, Action>>,
): Matcher<Context, Action> {
  return (context) => {
    const value = input(context);
    return value === undefined ? undefined : entries.get(value)?.(context);
  };
}

/** The longest prefix that leads to an action. */
function prefixTree<Context, Action>(
  input: MatchInput<Context>,
  entries: ReadonlyMap<string, Matcher<Context, Action>>,
): Matcher<Context, Action> {
  const sorted = [...entries].toSorted(([a], [b]) => b.length - a.length);
  return (context) => {
    const value = input(context);
    if (value === undefined) return undefined;
    for (const [prefix, next] of sorted) {
      const action = value.startsWith(prefix) ? next(context) : undefined;
      if (action !== undefined) return action;
    }
    return undefined;
  };
}
