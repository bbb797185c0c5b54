/** Path matchers over the request target without its query (R-10 … R-15). */
import { lowerAscii } from "./string-matcher.ts";
import type { Regex } from "./regex.ts";

/** What matched, for `prefix_rewrite`: a prefix, the whole path, or neither. */
export interface PathMatcher {
  readonly kind: "prefix" | "path" | "regex" | "path-separated-prefix" | "connect" | "uri-template";
  /** `path` is the target as the request has it, with its query. */
  readonly matches: (path: string) => boolean;
  /** How much of the path (without query) a prefix rewrite replaces; -1: it can't be applied. */
  readonly matchedLength: (path: string) => number;
}

/** Where the path ends and a query or fragment begins. */
export function pathEnd(path: string): number {
  for (let i = 0; i < path.length; i++) {
    const code = path.charCodeAt(i);
    if (code === 63 /* ? */ || code === 35 /* # */) return i;
  }
  return path.length;
}

/** The path without query and fragment. */
export function withoutQuery(path: string): string {
  const end = pathEnd(path);
  return end === path.length ? path : path.slice(0, end);
}

export function prefixMatcher(prefix: string, caseSensitive: boolean): PathMatcher {
  const matchedLength = lengthAtStart(prefix, caseSensitive);
  if (/[?#]/.test(prefix)) return { kind: "prefix", matches: () => false, matchedLength };
  if (prefix === "/") return { kind: "prefix", matches: (path) => path.charCodeAt(0) === 47, matchedLength };
  if (caseSensitive) return { kind: "prefix", matches: (path) => path.startsWith(prefix), matchedLength };
  const lower = lowerAscii(prefix);
  return { kind: "prefix", matches: (path) => lowerAscii(path.slice(0, lower.length)) === lower, matchedLength };
}

export function exactMatcher(wanted: string, caseSensitive: boolean): PathMatcher {
  const equals = caseSensitive
    ? (path: string): boolean => path.startsWith(wanted) && endsAt(path, wanted.length)
    : (path: string): boolean => lowerAscii(withoutQuery(path)) === lowerAscii(wanted);
  return { kind: "path", matches: equals, matchedLength: lengthAtStart(wanted, caseSensitive) };
}

export function regexMatcher(regex: Regex): PathMatcher {
  const matches = (path: string): boolean => regex.fullMatch(withoutQuery(path));
  return { kind: "regex", matches, matchedLength: pathEnd };
}

export function pathSeparatedPrefixMatcher(prefix: string, caseSensitive: boolean): PathMatcher {
  const starts = prefixMatcher(prefix, caseSensitive).matches;
  const matches = (path: string): boolean =>
    starts(path) && (path.charCodeAt(prefix.length) === 47 || endsAt(path, prefix.length));
  return { kind: "path-separated-prefix", matches, matchedLength: lengthAtStart(prefix, caseSensitive) };
}

/** Path parameters that matching ignores may stand within what matched: it is then not found in the path, and stays. */
function lengthAtStart(text: string, caseSensitive: boolean): (path: string) => number {
  const { length } = text;
  if (caseSensitive) return (path) => (path.startsWith(text) ? length : -1);
  const lower = lowerAscii(text);
  return (path) => (lowerAscii(path.slice(0, length)) === lower ? length : -1);
}

/** CONNECT requests; the route looks at the method. */
export const connectMatcher: PathMatcher = {
  kind: "connect",
  matches: () => true,
  matchedLength: pathEnd,
};

function endsAt(path: string, index: number): boolean {
  if (path.length === index) return true;
  const code = path.charCodeAt(index);
  return code === 63 || code === 35;
}
