/** What a command operator is: `%NAME(arguments):N%` compiled into a function of the context. */
import type { Clock, Random } from "#lib/runtime.ts";
import type { FormatContext } from "./types.ts";

/** A value with its JSON type; undefined: `-` in text, `null` in JSON. */
export type Value = string | number | boolean | object | null | undefined;
export type ValueOf = (context: FormatContext) => Value;

/** What some operators take from outside the stream. */
export interface FormatEnvironment {
  readonly runtime?: { readonly clock: Clock; readonly random: Random } | undefined;
  readonly hostname: string;
  readonly variables: Readonly<Record<string, string | undefined>>;
}

export interface Operator {
  /** Whether `(…)` may or must be there. */
  readonly parameters: "none" | "optional" | "required";
  /** Whether `:N` may be there. */
  readonly length: boolean;
  /** The function, or what is wrong with the arguments. */
  compile(args: string, limit: number | undefined, environment: FormatEnvironment): ValueOf | string;
}

export type OperatorTable = Readonly<Record<string, Operator>>;

/** An operator without arguments. */
export function plain(value: ValueOf): Operator {
  return { parameters: "none", length: false, compile: () => value };
}

/** Cuts strings (and what is printed as one) to `limit` characters. */
export function truncated(value: ValueOf, limit: number | undefined): ValueOf {
  if (limit === undefined) return value;
  return (context) => {
    const found = value(context);
    return typeof found === "string" && found.length > limit ? found.slice(0, limit) : found;
  };
}

/** Header values are bytes in latin1; text of another origin becomes the bytes of its UTF-8 form. */
export function asBytes(text: string): string {
  for (let i = 0; i < text.length; i++)
    if (text.charCodeAt(i) > 0x7f) return Buffer.from(text, "utf8").toString("latin1");
  return text;
}

/** Undefined for an empty string. */
export function orMissing(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}
