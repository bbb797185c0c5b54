/** Path templates of `envoy.path.match.uri_template` and its rewriter: `{name}`, `{name=pattern}`, `*`, `**`. */
import { RE2JS } from "re2js";
import { pathEnd, withoutQuery, type PathMatcher } from "./path-matcher.ts";

// With `*`: a path that has one must not slip past a template.
const pathCharacter = "[a-zA-Z0-9\\-._~%!$&'()*+,;:@=]";
const oneSegment = `${pathCharacter}+`;
const anySegments = `(?:${pathCharacter.slice(0, -1)}/])*`;
const maxVariables = 5;

/** A template that matches paths and captures its variables. */
export interface UriTemplate extends PathMatcher {
  readonly kind: "uri-template";
  readonly variables: ReadonlySet<string>;
  /** Values by name; undefined when the path does not match. */
  capture(path: string): Readonly<Record<string, string>> | undefined;
}

/** Compiles a template, or says what is wrong with it. */
export function compileUriTemplate(template: string): UriTemplate | string {
  const state: Compilation = { variables: new Set(), hasTextGlob: false };
  if (!template.startsWith("/")) return "a path template starts with `/`";
  if (template.length > 1 && template.endsWith("/") && template.endsWith("//")) return "empty path segment";
  const pattern = compileText(template, state);
  if (typeof pattern !== "string") return pattern.problem;
  const regex = RE2JS.compile(`^${pattern}$`);
  const matches = (path: string): boolean => regex.testExact(withoutQuery(path));
  return {
    kind: "uri-template",
    variables: state.variables,
    matches,
    matchedLength: pathEnd,
    capture: (path) => {
      const matcher = regex.matcher(withoutQuery(path));
      if (!matcher.matches()) return undefined;
      const values: Record<string, string> = {};
      for (const name of state.variables) values[name] = matcher.group(name) ?? "";
      return values;
    },
  };
}

/** Writes a path (without query) from captured variables. */
export type TemplateRewriter = (values: Readonly<Record<string, string>>) => string;

/** Compiles `path_template_rewrite` for a template; or says what is wrong with it. */
export function compileTemplateRewrite(rewrite: string, template: UriTemplate): TemplateRewriter | string {
  if (!rewrite.startsWith("/")) return "a path template rewrite starts with `/`";
  const parts = rewrite.split(/(\{[^{}]*\})/);
  for (const part of parts) {
    if (part.startsWith("{") && !template.variables.has(part.slice(1, -1)))
      return `the variable ${part} is not in the path template that it rewrites`;
    if (!part.startsWith("{") && /[{}]/.test(part)) return "unbalanced braces";
  }
  return (values) => parts.map((part) => (part.startsWith("{") ? (values[part.slice(1, -1)] ?? "") : part)).join("");
}

interface Compilation {
  readonly variables: Set<string>;
  hasTextGlob: boolean;
}

interface Refusal {
  readonly problem: string;
}

function compileText(text: string, state: Compilation): string | Refusal {
  let pattern = "";
  for (let at = 0; at < text.length;) {
    const character = text[at] as string;
    if (character === "{") {
      const close = text.indexOf("}", at);
      if (close < 0) return { problem: "unmatched `{`" };
      const variable = compileVariable(text.slice(at + 1, close), state);
      if (typeof variable !== "string") return variable;
      pattern += variable;
      at = close + 1;
    } else if (character === "*") {
      const operator = compileGlob(text, at, state);
      if (typeof operator !== "string") return operator;
      pattern += operator;
      at += text[at + 1] === "*" ? 2 : 1;
    } else {
      if (!/[a-zA-Z0-9\-._~%!$&'()+,;:@=/]/.test(character))
        return { problem: `\`${character}\` is not allowed in it` };
      if (character === "/" && text[at + 1] === "/") return { problem: "empty path segment" };
      pattern += character.replace(/[.$()+*?[\]\\^{|}]/, "\\$&");
      at += 1;
    }
  }
  return pattern;
}

function compileGlob(text: string, at: number, state: Compilation): string | Refusal {
  if (state.hasTextGlob) return { problem: "no operator may follow `**`" };
  if (text[at + 1] !== "*") return oneSegment;
  state.hasTextGlob = true;
  return anySegments;
}

function compileVariable(text: string, state: Compilation): string | Refusal {
  const equals = text.indexOf("=");
  const name = equals < 0 ? text : text.slice(0, equals);
  if (!/^[a-zA-Z][a-zA-Z0-9_]{0,15}$/.test(name))
    return { problem: `\`${name}\` is no name of a variable (a letter, then up to 15 letters, digits or _)` };
  if (state.variables.has(name)) return { problem: `the variable ${name} appears twice` };
  if (state.variables.size === maxVariables) return { problem: `more than ${maxVariables} variables` };
  state.variables.add(name);
  if (equals < 0) {
    if (state.hasTextGlob) return { problem: "no operator may follow `**`" };
    return `(?P<${name}>${oneSegment})`;
  }
  const body = text.slice(equals + 1);
  if (body === "" || body.includes("{")) return { problem: `the pattern of ${name} is empty or nested` };
  const pattern = compileText(body, state);
  return typeof pattern === "string" ? `(?P<${name}>${pattern})` : pattern;
}
