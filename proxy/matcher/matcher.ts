/**
 * `xds.type.matcher.v3.Matcher`, the generic matching API: a tree of questions about something (a connection, a request)
 * with actions at its leaves. What can be asked and done is given by the user of it (`MatcherKit`).
 */
import type { Message } from "@bufbuild/protobuf";
import { unpackAny } from "#protos/any.ts";
import { MessageReader } from "#protos/reader.ts";
import type { TypedExtensionConfig } from "#protos/gen/xds/core/v3/extension_pb.js";
import type {
  Matcher as MatcherMessage,
  Matcher_MatcherList,
  Matcher_MatcherTree,
  Matcher_OnMatch,
} from "#protos/gen/xds/type/matcher/v3/matcher_pb.js";
import type { RegexCache } from "../router/regex.ts";
import { parseCustomTree } from "./custom-tree.ts";
import { parsePredicate } from "./predicate.ts";

/** Finds the action for a context; undefined: nothing matched. */
export type Matcher<Context, Action> = (context: Context) => Action | undefined;

/** One thing that is known of a context; undefined: it is not. */
export type MatchInput<Context> = (context: Context) => string | undefined;

export interface MatcherKit<Context, Action> {
  /** Reads an input; undefined when there is none of this type, or when it has problems, which are on the list. */
  input(message: Message, reader: MessageReader<Message>): MatchInput<Context> | undefined;
  /** Reads an action, as `input`. */
  action(message: Message, reader: MessageReader<Message>): Action | undefined;
  readonly regexes: RegexCache;
}

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
  if (type.case === undefined && last === undefined)
    reader.invalid("matcherType", "one of matcher_list, matcher_tree or on_no_match must be set");
  const [first = never] = parts;
  return (context) => first(context) ?? otherwise(context);
}

/** What follows from a match: an action, or more questions. */
export function parseOnMatch<Context, Action>(
  reader: MessageReader<Matcher_OnMatch>,
  kit: MatcherKit<Context, Action>,
): Matcher<Context, Action> {
  const onMatch = reader.get("onMatch");
  const at = reader.at("onMatch");
  if (reader.get("keepMatching"))
    reader.unsupported("keepMatching", "the first match ends the search here; leave keep_matching out");
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

/** Opens an extension's Any and hands it to `read`; a type that `read` does not know is refused by name. */
export function openExtension<T>(
  reader: MessageReader<TypedExtensionConfig>,
  read: (message: Message, reader: MessageReader<Message>) => T | undefined,
): T | undefined {
  reader.ignore("name", "the type says what it is");
  const any = reader.get("typedConfig");
  const at = reader.at("typedConfig");
  reader.finish();
  if (any === undefined) {
    reader.invalid("typedConfig", "typed_config must be set");
    return undefined;
  }
  const opened = unpackAny(any, at);
  reader.problems.push(...opened.problems);
  if (opened.value === undefined) return undefined;
  const before = reader.problems.length;
  const found = read(opened.value, new MessageReader(opened.value, at, reader.problems));
  if (found === undefined && reader.problems.length === before)
    reader.unsupported("typedConfig", `${opened.value.$typeName} is not supported here`);
  return found;
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
      for (const [key, onMatch] of Object.entries(tree.value.map))
        entries.set(key, parseOnMatch(new MessageReader(onMatch, `${at}.map["${key}"]`, reader.problems), kit));
      if (entries.size === 0) reader.invalid("treeType", "the map has no entries");
      if (input === undefined) return never;
      return tree.case === "exactMatchMap" ? exactTree(input, entries) : prefixTree(input, entries);
    }
    case "customMatch": {
      const custom = openExtension(new MessageReader(tree.value, at, reader.problems), (message, inner) =>
        parseCustomTree(message, inner, kit),
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
