/**
 * Envoy's substitution formats: text with command operators, compiled once into a flat list of literals and functions.
 * Access logs, header mutations and local replies share it. Results hold one byte a character (latin1), as headers do.
 */
import { hostname } from "node:os";
import type { Parsed } from "#lib/problem.ts";
import type { HeaderFormatContext } from "../../router/types.ts";
import { asBytes, type FormatEnvironment, type OperatorTable, type Value, type ValueOf } from "./operator.ts";
import { connectionOperators } from "./operators-connection.ts";
import { headerOperators } from "./operators-headers.ts";
import { metadataOperators } from "./operators-metadata.ts";
import { streamOperators } from "./operators-stream.ts";
import type { Format, FormatContext } from "./types.ts";

const OPERATORS: OperatorTable = {
  ...headerOperators,
  ...streamOperators,
  ...connectionOperators,
  ...metadataOperators,
};

/** `%NAME%`, `%NAME(args)%`, `%NAME(args):N%`. */
const TOKEN = /%((?:[A-Z]|[0-9]|_)+)(?:\((.*?)\))?(?::([0-9]+))?%/y;

/** Operators of Envoy that nothing here measures: refused rather than printed as an eternal `-`. */
const UNKNOWN_HERE = new Set([
  "UPSTREAM_WIRE_BYTES_SENT",
  "UPSTREAM_WIRE_BYTES_RECEIVED",
  "UPSTREAM_HEADER_BYTES_SENT",
  "UPSTREAM_HEADER_BYTES_RECEIVED",
  "UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT",
  "UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED",
  "DOWNSTREAM_WIRE_BYTES_SENT",
  "DOWNSTREAM_WIRE_BYTES_RECEIVED",
  "DOWNSTREAM_HEADER_BYTES_SENT",
  "DOWNSTREAM_HEADER_BYTES_RECEIVED",
  "DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT",
  "DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED",
  "DOWNSTREAM_HANDSHAKE_DURATION",
  "UPSTREAM_CONNECTION_POOL_READY_DURATION",
  "VIRTUAL_CLUSTER_NAME",
  "UPSTREAM_FILTER_STATE",
  "DOWNSTREAM_PEER_OTHERNAME_SAN",
  "DOWNSTREAM_LOCAL_OTHERNAME_SAN",
  "DOWNSTREAM_TLS_SESSION_ID",
  "UPSTREAM_TLS_SESSION_ID",
  "DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256",
  "DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1",
  "DOWNSTREAM_PEER_CHAIN_SERIALS",
  "TLS_JA3_FINGERPRINT",
  "TLS_JA4_FINGERPRINT",
  "CEL",
]);

/** What formats know of the machine; `runtime` is for `%UNIQUE_ID%` and `%EMIT_TIME%`. */
export function formatEnvironment(runtime?: FormatEnvironment["runtime"]): FormatEnvironment {
  return { runtime, hostname: hostname(), variables: process.env };
}

/** Clock and chance do not matter to whether a format is right. */
export const CHECKING: FormatEnvironment = {
  runtime: {
    clock: { now: () => 0 } as Exclude<FormatEnvironment["runtime"], undefined>["clock"],
    random: { uuid: () => "" } as Exclude<FormatEnvironment["runtime"], undefined>["random"],
  },
  hostname: "",
  variables: {},
};

export interface FormatOptions {
  /** Names the place in problems. */
  readonly path?: string;
  readonly environment?: FormatEnvironment | undefined;
  /** Print nothing in place of `-`; leave a JSON key out. */
  readonly omitEmptyValues?: boolean;
}

/** A text format; missing values print `-`. */
export function compileFormat(text: string, options: FormatOptions = {}): Parsed<Format> {
  const parsed = tokens(text, options);
  if (parsed.value === undefined) return { problems: parsed.problems };
  return { value: textWriter(parsed.value, options.omitEmptyValues === true ? "" : "-"), problems: [] };
}

/** The value of a header that a configuration adds; missing values print nothing but `-`, as in Envoy. */
export function compileHeaderFormat(
  text: string,
  options: FormatOptions = {},
): Parsed<(context: HeaderFormatContext) => string> {
  return compileFormat(text, options);
}

/** One part of a template: text, or an operator's function. */
export type Token = string | ValueOf;

/** Splits a template; `%%` is a percent sign. */
export function tokens(text: string, options: FormatOptions = {}): Parsed<readonly Token[]> {
  const { path = "", environment = formatEnvironment() } = options;
  const found: Token[] = [];
  let literal = "";
  for (let at = 0; at < text.length;) {
    if (text[at] !== "%") {
      const next = text.indexOf("%", at);
      const end = next < 0 ? text.length : next;
      literal += text.slice(at, end);
      at = end;
      continue;
    }
    if (text[at + 1] === "%") {
      literal += "%";
      at += 2;
      continue;
    }
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    if (match === null)
      return refused(
        path,
        `Incorrect configuration: ${text}. Couldn't find valid command at position ${at}: write %OPERATOR%, %OPERATOR(…)% or %OPERATOR(…):N%, and %% for a percent sign`,
      );
    const compiled = compileOperator(match[1] as string, match[2], match[3], environment);
    if (typeof compiled === "string") return refused(path, compiled);
    if (literal !== "") found.push(asBytes(literal));
    literal = "";
    found.push(compiled);
    at = TOKEN.lastIndex;
  }
  if (literal !== "") found.push(asBytes(literal));
  return { value: found, problems: [] };
}

function compileOperator(
  name: string,
  args: string | undefined,
  length: string | undefined,
  environment: FormatEnvironment,
): ValueOf | string {
  const operator = Object.hasOwn(OPERATORS, name) ? OPERATORS[name] : undefined;
  if (operator === undefined)
    return UNKNOWN_HERE.has(name)
      ? `the command operator %${name}% is not implemented: leave it out of the format`
      : `Not supported field in StreamInfo: ${name}: there is no such command operator`;
  if (args !== undefined && operator.parameters === "none") return `%${name}% takes no parameters: write %${name}%`;
  if (args === undefined && operator.parameters === "required") return `%${name}% needs parameters: write %${name}(…)%`;
  if (length !== undefined && !operator.length) return `%${name}% takes no length: leave out :${length}`;
  const compiled = operator.compile(args ?? "", length === undefined ? undefined : Number(length), environment);
  return typeof compiled === "string" ? `%${name}${args === undefined ? "" : `(${args})`}% ${compiled}` : compiled;
}

function refused(path: string, message: string): Parsed<never> {
  return { problems: [{ code: "invalid-format", level: "error", path, message }] };
}

/** Literals and values alternate; a literal may be empty. */
function textWriter(found: readonly Token[], missing: string): Format {
  const literals: string[] = [];
  const values: ValueOf[] = [];
  let literal = "";
  for (const token of found) {
    if (typeof token === "string") {
      literal += token;
    } else {
      literals.push(literal);
      values.push(token);
      literal = "";
    }
  }
  const last = literal;
  return (context) => {
    let out = "";
    for (let i = 0; i < values.length; i++) {
      out += literals[i] as string;
      out += printed((values[i] as ValueOf)(context), missing);
    }
    return out + last;
  };
}

function printed(value: Value, missing: string): string | number | boolean {
  if (typeof value === "string" || typeof value === "number") return value;
  if (value === undefined || value === null) return missing;
  return typeof value === "object" ? asBytes(JSON.stringify(value)) : value;
}

/** The text of several tokens, as a JSON string holds it. */
export function textOfTokens(found: readonly Token[], missing: string): (context: FormatContext) => string {
  return textWriter(found, missing);
}
