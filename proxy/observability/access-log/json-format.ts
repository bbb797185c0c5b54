/**
 * JSON access logs: a template whose strings hold command operators. Keys are sorted at every level; a string that is
 * one operator keeps the type of its value and is `null` when it is missing.
 */
import type { Parsed, Problem } from "#lib/problem.ts";
import { asBytes, type Value, type ValueOf } from "./operator.ts";
import { formatEnvironment, textOfTokens, tokens, type FormatOptions } from "./format.ts";
import type { Format, FormatContext } from "./types.ts";

/** A `google.protobuf.Struct` as plain JSON. */
export type JsonTemplate = Readonly<Record<string, unknown>>;

/** A part of the line: text as it is, or a value to be written as JSON. */
type Piece = string | ValueOf;

/** One line with a line break at its end. */
export function compileJsonFormat(template: JsonTemplate, options: FormatOptions = {}): Parsed<Format> {
  const settings = { ...options, environment: options.environment ?? formatEnvironment() };
  const problems: Problem[] = [];
  if (settings.omitEmptyValues === true) {
    const build = builderOf(template, settings, problems);
    return problems.length > 0
      ? { problems }
      : { value: (context) => `${JSON.stringify(build(context) ?? {})}\n`, problems };
  }
  const pieces = merged([...piecesOf(template, settings, problems), "\n"]);
  if (problems.length > 0) return { problems };
  return {
    value(context) {
      let out = "";
      for (const piece of pieces) out += typeof piece === "string" ? piece : jsonValue(piece(context));
      return out;
    },
    problems,
  };
}

function* piecesOf(node: unknown, options: FormatOptions, problems: Problem[]): Generator<Piece> {
  const { path = "" } = options;
  if (typeof node === "string") {
    yield stringPiece(node, options, problems);
  } else if (Array.isArray(node)) {
    yield "[";
    for (const [index, item] of node.entries()) {
      if (index > 0) yield ",";
      yield* piecesOf(item, { ...options, path: `${path}[${index}]` }, problems);
    }
    yield "]";
  } else if (typeof node === "object" && node !== null) {
    yield "{";
    for (const [index, key] of Object.keys(node).sort().entries()) {
      yield `${index > 0 ? "," : ""}${jsonText(key)}:`;
      yield* piecesOf((node as JsonTemplate)[key], { ...options, path: `${path}.${key}` }, problems);
    }
    yield "}";
  } else {
    yield jsonText(node as number | boolean | null);
  }
}

function stringPiece(text: string, options: FormatOptions, problems: Problem[]): Piece {
  const value = stringValue(text, options, problems);
  return typeof value === "string" ? JSON.stringify(value) : value;
}

/** A constant, or what yields a typed value. Constants come back as they were written, decoded of `%%`. */
function stringValue(text: string, options: FormatOptions, problems: Problem[]): Piece {
  const parsed = tokens(text, options);
  problems.push(...parsed.problems);
  const found = parsed.value ?? [];
  const [first] = found;
  if (found.length <= 1) return first ?? "";
  return textOfTokens(found, options.omitEmptyValues === true ? "" : "-");
}

/** With `omit_empty_values` the keys that appear depend on the stream. */
function builderOf(node: unknown, options: FormatOptions, problems: Problem[]): (context: FormatContext) => unknown {
  if (typeof node === "string") {
    const value = stringValue(node, options, problems);
    return typeof value === "string" ? () => value : (context) => value(context) ?? undefined;
  }
  if (Array.isArray(node)) {
    const items = node.map((item) => builderOf(item, options, problems));
    return (context) => items.map((item) => item(context)).filter((item) => item !== undefined);
  }
  if (typeof node === "object" && node !== null) {
    const fields = Object.keys(node)
      .sort()
      .map((key) => [asBytes(key), builderOf((node as JsonTemplate)[key], options, problems)] as const);
    return (context) => {
      const out: Record<string, unknown> = {};
      for (const [key, value] of fields) {
        const found = value(context);
        if (found !== undefined && !isEmpty(found)) out[key] = found;
      }
      return out;
    };
  }
  return () => node;
}

function isEmpty(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}

function merged(pieces: Iterable<Piece>): Piece[] {
  const out: Piece[] = [];
  for (const piece of pieces) {
    const last = out.at(-1);
    if (typeof piece === "string" && typeof last === "string") out[out.length - 1] = last + piece;
    else out.push(piece);
  }
  return out;
}

const PLAIN = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;

function jsonValue(value: Value): string {
  if (value === undefined || value === null) return "null";
  if (typeof value === "string") return PLAIN.test(value) ? `"${value}"` : JSON.stringify(value);
  return jsonText(value);
}

function jsonText(value: unknown): string {
  return asBytes(JSON.stringify(value));
}
