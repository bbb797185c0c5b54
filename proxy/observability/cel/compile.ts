/**
 * CEL over a stream's attributes, compiled once. An error while evaluating (a missing key, a wrong type) is `undefined`,
 * which `&&` and `||` swallow where the other side decides, as the language says.
 */
import type { Parsed } from "#lib/problem.ts";
import { compileRegex } from "../../router/regex.ts";
import type { FormatContext } from "../access-log/types.ts";
import { attributes, type Attribute } from "./attributes.ts";
import { parseCel, type BinaryOperator, type CelNode } from "./parse.ts";

/** Yields the value of an expression; undefined: it can't be evaluated for this stream. */
export type CelExpression = (context: FormatContext) => unknown;

/** Compiles an expression. What is not there (macros, unknown attributes and functions) is refused by name. */
export function compileCel(text: string, path = ""): Parsed<CelExpression> {
  try {
    return { value: compile(parseCel(text)), problems: [] };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { problems: [{ code: "invalid-expression", level: "error", path, message: `CEL: ${reason}` }] };
  }
}

function compile(node: CelNode): CelExpression {
  switch (node.kind) {
    case "literal":
      return () => node.value;
    case "list": {
      const items = node.items.map(compile);
      return (context) => items.map((item) => item(context));
    }
    case "name":
      return root(node.name);
    case "select":
      return attribute(node) ?? member(compile(node.of), () => node.field);
    case "index":
      return headerIndex(node) ?? member(compile(node.of), compile(node.key));
    case "unary": {
      const of = compile(node.of);
      return node.operator === "!"
        ? (context) => onType(of(context), "boolean", (value) => !value)
        : (context) => onType(of(context), "number", (value) => -value);
    }
    case "choice": {
      const [condition, yes, no] = [compile(node.condition), compile(node.yes), compile(node.no)];
      return (context) => onType(condition(context), "boolean", (value) => (value ? yes(context) : no(context)));
    }
    case "binary":
      return binary(node.operator, compile(node.left), compile(node.right));
    case "call":
      return call(node);
  }
}

function root(name: string): CelExpression {
  const found = Object.hasOwn(attributes, name) ? attributes[name] : undefined;
  if (typeof found === "function") return found;
  throw new Error(
    found === undefined
      ? `there is no attribute ${name}; known are ${Object.keys(attributes).join(", ")}`
      : `${name} stands for no value by itself; write ${name}.${Object.keys(found)[0]} or the like`,
  );
}

/** `request.path`: one function, without a map in between. */
function attribute(node: Extract<CelNode, { kind: "select" }>): Attribute | undefined {
  if (node.of.kind !== "name") return undefined;
  const group = Object.hasOwn(attributes, node.of.name) ? attributes[node.of.name] : undefined;
  if (group === undefined || typeof group === "function") return undefined;
  const found = group[node.field];
  if (found !== undefined) return found;
  throw new Error(
    `there is no attribute ${node.of.name}.${node.field}; known are ${Object.keys(group)
      .map((name) => `${node.of.kind === "name" ? node.of.name : ""}.${name}`)
      .join(", ")}`,
  );
}

/** `request.headers['x']`: looked up in the header map itself. */
function headerIndex(node: Extract<CelNode, { kind: "index" }>): CelExpression | undefined {
  const { of, key } = node;
  if (of.kind !== "select" || of.of.kind !== "name" || key.kind !== "literal" || typeof key.value !== "string")
    return undefined;
  const name = key.value.toLowerCase();
  switch (`${of.of.name}.${of.field}`) {
    case "request.headers":
      return ({ requestHeaders }) => requestHeaders?.getJoined(name);
    case "response.headers":
      return ({ responseHeaders }) => responseHeaders?.getJoined(name);
    case "response.trailers":
      return ({ responseTrailers }) => responseTrailers?.getJoined(name);
    default:
      return undefined;
  }
}

function member(of: CelExpression, key: CelExpression): CelExpression {
  return (context) => memberOf(of(context), key(context));
}

function memberOf(value: unknown, key: unknown): unknown {
  if (value instanceof Map) return value.get(key);
  if (Array.isArray(value)) return typeof key === "number" ? value[key] : undefined;
  if (typeof value !== "object" || value === null || typeof key !== "string" || !Object.hasOwn(value, key))
    return undefined;
  return (value as Readonly<Record<string, unknown>>)[key];
}

function contains(container: unknown, item: unknown): boolean | undefined {
  if (Array.isArray(container)) return container.includes(item);
  if (container instanceof Map) return container.has(item);
  if (typeof container === "object" && container !== null && typeof item === "string")
    return Object.hasOwn(container, item);
  return undefined;
}

function binary(operator: BinaryOperator, left: CelExpression, right: CelExpression): CelExpression {
  switch (operator) {
    case "&&":
      return (context) => {
        const first = left(context);
        if (first === false) return false;
        const second = right(context);
        return second === false ? false : first === true && second === true ? true : undefined;
      };
    case "||":
      return (context) => {
        const first = left(context);
        if (first === true) return true;
        const second = right(context);
        return second === true ? true : first === false && second === false ? false : undefined;
      };
    case "==":
    case "!=":
      return (context) => {
        const [first, second] = [left(context), right(context)];
        if (first === undefined || second === undefined) return undefined;
        return (first === second) === (operator === "==");
      };
    case "in":
      return (context) => contains(right(context), left(context));
    default:
      return (context) => arithmetic(operator, left(context), right(context));
  }
}

function arithmetic(
  operator: Exclude<BinaryOperator, "&&" | "||" | "==" | "!=" | "in">,
  a: unknown,
  b: unknown,
): unknown {
  if (typeof a === "string" && typeof b === "string") return operator === "+" ? a + b : compared(operator, a, b);
  if (typeof a !== "number" || typeof b !== "number") return undefined;
  switch (operator) {
    case "+":
      return a + b;
    case "-":
      return a - b;
    case "*":
      return a * b;
    case "/":
      return b === 0 ? undefined : Number.isInteger(a) && Number.isInteger(b) ? Math.trunc(a / b) : a / b;
    case "%":
      return b === 0 ? undefined : a % b;
    default:
      return compared(operator, a, b);
  }
}

function compared<T extends string | number>(operator: string, a: T, b: T): boolean | undefined {
  switch (operator) {
    case "<":
      return a < b;
    case "<=":
      return a <= b;
    case ">":
      return a > b;
    case ">=":
      return a >= b;
    default:
      return undefined;
  }
}

function call({ target, name, args }: Extract<CelNode, { kind: "call" }>): CelExpression {
  if (name === "has" && target === undefined) {
    const [what] = args;
    if (what?.kind !== "select" && what?.kind !== "index") throw new Error("has() takes one a.b or a['b']");
    const value = compile(what);
    return (context) => value(context) !== undefined;
  }
  if (name === "matches") return matches(target, args);
  const operands = (target === undefined ? args : [target, ...args]).map(compile);
  const [first, second] = operands;
  if (first !== undefined && second !== undefined && operands.length === 2) {
    const test = STRING_TESTS[name];
    if (test !== undefined)
      return (context) =>
        onType(first(context), "string", (text) => onType(second(context), "string", (part) => test(text, part)));
  }
  const convert = operands.length === 1 ? CONVERSIONS[name] : undefined;
  if (convert === undefined || first === undefined)
    throw new Error(`there is no function ${name}() with ${args.length} arguments`);
  return (context) => convert(first(context));
}

const STRING_TESTS: Readonly<Record<string, (text: string, part: string) => boolean>> = {
  startsWith: (text, part) => text.startsWith(part),
  endsWith: (text, part) => text.endsWith(part),
  contains: (text, part) => text.includes(part),
};

const CONVERSIONS: Readonly<Record<string, (value: unknown) => unknown>> = {
  string: (value) =>
    typeof value === "string" || typeof value === "number" || typeof value === "boolean" ? String(value) : undefined,
  int: (value) => wholeNumber(value),
  uint: (value) => wholeNumber(value),
  double: (value) => (typeof value === "number" || typeof value === "string" ? finite(Number(value)) : undefined),
  size: (value) =>
    typeof value === "string" || Array.isArray(value) ? value.length : value instanceof Map ? value.size : undefined,
  duration: (value) => (typeof value === "string" ? durationMs(value) : undefined),
};

function matches(target: CelNode | undefined, args: readonly CelNode[]): CelExpression {
  const [subject, pattern] = target === undefined ? args : [target, ...args];
  if (subject === undefined || pattern?.kind !== "literal" || typeof pattern.value !== "string")
    throw new Error("matches() takes a text and a pattern written out");
  // CEL's matches() looks anywhere in the text.
  const regex = compileRegex(`(?s:.*)(?:${pattern.value})(?s:.*)`);
  const value = compile(subject);
  return (context) => onType(value(context), "string", (text) => regex.fullMatch(text));
}

function onType<K extends "string" | "number" | "boolean", R>(
  value: unknown,
  type: K,
  then: (value: { string: string; number: number; boolean: boolean }[K]) => R,
): R | undefined {
  return typeof value === type ? then(value as { string: string; number: number; boolean: boolean }[K]) : undefined;
}

function wholeNumber(value: unknown): number | undefined {
  return typeof value === "number" || typeof value === "string" ? finite(Math.trunc(Number(value))) : undefined;
}

function finite(value: number): number | undefined {
  return Number.isFinite(value) ? value : undefined;
}

const UNITS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1, us: 0.001, ns: 0.000_001 };

function durationMs(text: string): number | undefined {
  if (!/^(?:\d+(?:\.\d+)?(?:h|ms|m|s|us|ns))+$/.test(text)) return undefined;
  let sum = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(h|ms|m|s|us|ns)/g))
    sum += Number(amount) * (UNITS[unit ?? ""] ?? 0);
  return sum;
}
