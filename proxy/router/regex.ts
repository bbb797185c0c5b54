/** RE2 patterns. Those that are plainly a prefix, a list of words and the like become the cheap test that they mean. */
import { RE2JS } from "re2js";

/** A compiled pattern. Subjects are byte strings (latin1); patterns with other characters match their UTF-8. */
export interface Regex {
  readonly pattern: string;
  /** True when the whole of `text` matches. */
  readonly fullMatch: (text: string) => boolean;
  /** `text` with every match replaced; `substitution` may hold `\0` … `\9` and `\\`. */
  readonly replaceAll: (text: string, substitution: string) => string;
}

/** Compiles patterns once each: one cache a configuration resource. */
export class RegexCache {
  readonly #compiled = new Map<string, Regex>();

  /** The message of an error is RE2's. Throws `RegexSyntaxError`. */
  compile(pattern: string): Regex {
    let regex = this.#compiled.get(pattern);
    if (regex === undefined) {
      regex = compileRegex(pattern);
      this.#compiled.set(pattern, regex);
    }
    return regex;
  }
}

export class RegexSyntaxError extends Error {
  override readonly name = "RegexSyntaxError";
}

/** Compiles one pattern in RE2's syntax. Throws `RegexSyntaxError`. */
export function compileRegex(pattern: string): Regex {
  let compiled: RE2JS;
  try {
    compiled = RE2JS.compile(pattern);
  } catch (error) {
    throw new RegexSyntaxError(error instanceof Error ? error.message : String(error));
  }
  const general = (text: string): boolean => compiled.testExact(decoded(text));
  return {
    pattern,
    fullMatch: cheapTest(pattern) ?? general,
    replaceAll: (text, substitution) => encoded(replaced(compiled, decoded(text), decoded(substitution))),
  };
}

/** Groups that a substitution of RE2 names must exist; undefined when it is fine. */
export function substitutionProblem(regex: Regex, substitution: string): string | undefined {
  const groups = RE2JS.compile(regex.pattern).groupCount();
  for (let i = 0; i < substitution.length; i++) {
    if (substitution[i] !== "\\") continue;
    const next = substitution[++i];
    if (next === "\\") continue;
    if (next === undefined || next < "0" || next > "9")
      return "a `\\` in a substitution needs a digit or a second `\\`";
    if (Number(next) > groups) return `the substitution names group \\${next}, the pattern has ${groups}`;
  }
  return undefined;
}

function replaced(compiled: RE2JS, text: string, substitution: string): string {
  const matcher = compiled.matcher(text);
  let result = "";
  let from = 0;
  let lastEnd = -1;
  while (matcher.find()) {
    // As RE2: nothing right behind a match is no match of its own.
    if (matcher.end() === lastEnd && matcher.start() === lastEnd) continue;
    lastEnd = matcher.end();
    result += text.slice(from, matcher.start());
    result += expand(substitution, (group) => matcher.group(group) ?? "");
    from = matcher.end();
  }
  return result + text.slice(from);
}

function expand(substitution: string, group: (index: number) => string): string {
  if (!substitution.includes("\\")) return substitution;
  return substitution.replace(/\\(\d|\\)/g, (_whole, what: string) => (what === "\\" ? "\\" : group(Number(what))));
}

/** RE2 reads UTF-8: bytes above 127 become the characters that they stand for. */
function decoded(text: string): string {
  return isAscii(text) ? text : Buffer.from(text, "latin1").toString("utf8");
}

function encoded(text: string): string {
  return isAscii(text) ? text : Buffer.from(text, "utf8").toString("latin1");
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 127) return false;
  return true;
}

const literal = /^(?:[A-Za-z0-9_\-/:=,;@~ "'<>%&!#]|\\[.\-/+*?()[\]{}|^$\\])*$/;

/**
 * The test that a pattern of literals, one or two `.*` or `.+` at the ends, or alternatives of literals amounts to.
 * `.` matches anything but a line feed, so a subject with one is no match.
 */
function cheapTest(pattern: string): ((text: string) => boolean) | undefined {
  if (literal.test(pattern)) {
    const wanted = unescaped(pattern);
    return (text) => text === wanted;
  }
  const around = /^(\.\*|\.\+|)(.*?)(\.\*|\.\+|)$/s.exec(pattern);
  const [, before, middle, after] = around ?? [];
  if (before !== undefined && middle !== undefined && after !== undefined && literal.test(middle)) {
    return wildcardTest(before, unescaped(middle), after);
  }
  const words = /^\(?([^()]*)\)?$/.exec(pattern);
  if (words?.[1] !== undefined && pattern.startsWith("(") === pattern.endsWith(")")) {
    const alternatives = words[1].split(/(?<!\\)\|/);
    if (alternatives.every((word) => literal.test(word))) {
      const set = new Set(alternatives.map(unescaped));
      return (text) => set.has(text);
    }
  }
  return undefined;
}

function wildcardTest(before: string, middle: string, after: string): ((text: string) => boolean) | undefined {
  const minBefore = before === ".+" ? 1 : 0;
  const minAfter = after === ".+" ? 1 : 0;
  const minLength = minBefore + middle.length + minAfter;
  const hasNoLineFeed = (text: string): boolean => !text.includes("\n");
  if (before === "" && after === "") return undefined;
  if (middle === "") return (text) => text.length >= minLength && hasNoLineFeed(text);
  if (before === "") return (text) => text.length >= minLength && text.startsWith(middle) && hasNoLineFeed(text);
  if (after === "") return (text) => text.length >= minLength && text.endsWith(middle) && hasNoLineFeed(text);
  return (text) => {
    const at = text.indexOf(middle, minBefore);
    return at >= 0 && at + middle.length + minAfter <= text.length && hasNoLineFeed(text);
  };
}

function unescaped(pattern: string): string {
  return pattern.replace(/\\(.)/g, "$1");
}
