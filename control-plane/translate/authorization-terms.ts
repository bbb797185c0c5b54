/** One field of a rule, or one condition: values of which one must match, and values of which none may. */
import type { JsonObject } from "./json.ts";

/** How values become matchers. */
export interface TermKind {
  /** Only requests have it: on a TCP connection it can't be asked. */
  readonly isHttp: boolean;
  /** Replaces values by all that they stand for. */
  readonly expand?: (values: readonly string[]) => readonly string[];
  /** One matcher a value; undefined for a value that makes none. */
  readonly each?: (value: string) => JsonObject | undefined;
  /** One matcher for all values. */
  readonly together?: (values: readonly string[]) => JsonObject;
}

export interface Term {
  readonly kind: TermKind;
  readonly values: readonly string[];
  readonly notValues: readonly string[];
}

type Options = Partial<Pick<TermKind, "isHttp" | "expand">>;

export function eachOf(each: (value: string) => JsonObject | undefined, options: Options = {}): TermKind {
  return { isHttp: false, ...options, each };
}

export function togetherOf(together: (values: readonly string[]) => JsonObject, options: Options = {}): TermKind {
  return { isHttp: false, ...options, together };
}

/** Undefined where nothing is asked. */
export function term(
  kind: TermKind,
  values: readonly string[] | undefined,
  notValues: readonly string[] | undefined,
): Term | undefined {
  if ((values ?? []).length === 0 && (notValues ?? []).length === 0) return undefined;
  return { kind, values: values ?? [], notValues: notValues ?? [] };
}

/** The names that permissions and principals have for the same things. */
export interface Grammar {
  readonly all: (parts: readonly JsonObject[]) => JsonObject;
  readonly any: (parts: readonly JsonObject[]) => JsonObject;
  readonly not: (part: JsonObject) => JsonObject;
}

export const PERMISSIONS: Grammar = {
  all: (rules) => ({ andRules: { rules } }),
  any: (rules) => ({ orRules: { rules } }),
  not: (notRule) => ({ notRule }),
};

export const PRINCIPALS: Grammar = {
  all: (ids) => ({ andIds: { ids } }),
  any: (ids) => ({ orIds: { ids } }),
  not: (notId) => ({ notId }),
};

export interface TermsInput {
  readonly grammar: Grammar;
  readonly isTcp: boolean;
  /** Of ALLOW: a rule of which a part can't be asked is no rule. Of others: it is asked without that part (rule 67). */
  readonly isAllow: boolean;
}

/** All terms together; undefined: the rule can't match here. */
export function allTerms(terms: readonly Term[], input: TermsInput): JsonObject | undefined {
  const { grammar } = input;
  const parts: JsonObject[] = [];
  for (const { kind, values, notValues } of terms) {
    const positive = matcher(kind, values, input);
    const negative = matcher(kind, notValues, input);
    if (positive === "impossible" || negative === "impossible") return undefined;
    if (positive !== undefined) parts.push(positive);
    if (negative !== undefined) parts.push(grammar.not(negative));
  }
  return grammar.all(parts.length === 0 ? [{ any: true }] : parts);
}

function matcher(kind: TermKind, written: readonly string[], input: TermsInput): JsonObject | undefined | "impossible" {
  if (written.length === 0) return undefined;
  const isAskable = !(kind.isHttp && input.isTcp);
  const values = kind.expand?.(written) ?? written;
  if (!isAskable) return input.isAllow ? "impossible" : undefined;
  if (kind.together !== undefined) return kind.together(values);
  const made = values.map((value) => kind.each?.(value)).filter((one) => one !== undefined);
  if (made.length < values.length && input.isAllow) return "impossible";
  return made.length === 0 ? undefined : input.grammar.any(made);
}
