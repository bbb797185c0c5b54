/** Rules of a VirtualService that no request reaches, as istiod finds them (`IST0130`, `IST0131`). */
import { fieldsOf, listOf, stringOf, type Fields } from "../model/read-fields.ts";
import type { Findings } from "./findings.ts";

const UNREACHABLE = "IST0130";
const INEFFECTIVE = "IST0131";

export function noteUnreachableRules(findings: Findings, spec: Fields): void {
  for (const protocol of ["http", "tcp", "tls"]) {
    const rules = listOf(spec[protocol]).map(fieldsOf);
    noteRepeated(findings, protocol, rules);
    if (protocol === "http") noteOverlapping(findings, rules);
  }
}

const nameOf = (item: Fields, index: number): string => {
  const name = stringOf(item["name"]) ?? "";
  return name === "" ? `#${index}` : JSON.stringify(name);
};

/** Only the last rule may match everything (rule 16), and a match that stood before never decides again. */
function noteRepeated(findings: Findings, protocol: string, rules: readonly Fields[]): void {
  const seen = new Map<string, number>();
  let catchAll = -1;
  for (const [index, rule] of rules.entries()) {
    const path = `spec.${protocol}[${index}]`;
    const matches = listOf(rule["match"]).map(fieldsOf);
    const unreached = (): void =>
      findings.warn(
        path,
        `the rule ${nameOf(rule, index)} is never used: the rule ${nameOf(rules[catchAll] ?? {}, catchAll)} before it matches everything. Move that one to the end.`,
        UNREACHABLE,
      );
    if (matches.length === 0) {
      if (catchAll >= 0) unreached();
      catchAll = index;
      continue;
    }
    if (catchAll >= 0) {
      unreached();
      continue;
    }
    let repeated = 0;
    for (const [at, match] of matches.entries()) {
      const key = canonical({ ...match, name: undefined });
      const before = seen.get(key);
      if (before === undefined) {
        seen.set(key, index);
        continue;
      }
      repeated += 1;
      const other = nameOf(rules[before] ?? {}, before);
      findings.note(
        `${path}.match[${at}]`,
        `the match ${nameOf(match, at)} stands in the rule ${other} already.`,
        INEFFECTIVE,
      );
    }
    if (repeated === matches.length) {
      findings.warn(
        path,
        `the rule ${nameOf(rule, index)} is never used: rules before it have all of its matches.`,
        UNREACHABLE,
      );
    }
  }
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) =>
    typeof item === "object" && item !== null && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([one], [other]) => (one < other ? -1 : 1)))
      : item,
  );
}

interface PrefixMatch {
  readonly path: string;
  readonly rule: string;
  readonly match: string;
  readonly prefix: string;
  readonly port: unknown;
  readonly method: string;
  readonly authority: string;
  readonly maps: readonly Readonly<Record<string, string>>[];
}

/** Past this many matches by prefix the comparison of each with each is left. */
const MAX_COMPARED = 2000;

function noteOverlapping(findings: Findings, rules: readonly Fields[]): void {
  const matches = rules.flatMap((rule, index) => prefixMatches(rule, index)).slice(0, MAX_COMPARED);
  for (const [at, first] of matches.entries()) {
    for (const later of matches.slice(at + 1)) {
      if (later.prefix === first.prefix || !isCovered(later, first)) continue;
      findings.note(
        later.path,
        `the match ${later.match} of the rule ${later.rule} (prefix ${later.prefix}) is never used: ${first.match} of ${first.rule} (prefix ${first.prefix}) comes before it and takes all of it.`,
        INEFFECTIVE,
      );
    }
  }
}

function prefixMatches(rule: Fields, index: number): readonly PrefixMatch[] {
  if (catchesAll(rule)) return [];
  return listOf(rule["match"])
    .map(fieldsOf)
    .flatMap((match, at) => {
      const prefix = stringOf(fieldsOf(match["uri"])["prefix"]) ?? "";
      if (prefix === "") return [];
      return [
        {
          path: `spec.http[${index}].match[${at}]`,
          rule: nameOf(rule, index),
          match: nameOf(match, at),
          prefix,
          port: match["port"] ?? 0,
          method: exactOrPrefix(match["method"]) || "exact GET",
          authority: exactOrPrefix(match["authority"]),
          maps: ["headers", "queryParams", "withoutHeaders"].map((name) =>
            Object.fromEntries(
              Object.entries(fieldsOf(match[name])).map(([key, value]) => [key, exactOrPrefix(value)]),
            ),
          ),
        },
      ];
    });
}

const catchesAll = (rule: Fields): boolean => listOf(rule["match"]).length === 0;

function exactOrPrefix(value: unknown): string {
  const { exact, prefix } = fieldsOf(value);
  if (typeof exact === "string" && exact !== "") return `exact ${exact}`;
  return typeof prefix === "string" && prefix !== "" ? `prefix ${prefix}` : "";
}

/** istiod's own comparison, which looks at exact values and prefixes only. */
function isCovered(later: PrefixMatch, first: PrefixMatch): boolean {
  return (
    later.prefix.startsWith(first.prefix) &&
    later.port === first.port &&
    first.method.startsWith(later.method) &&
    first.authority.startsWith(later.authority) &&
    first.maps.every((map, index) => {
      const other = later.maps[index] ?? {};
      const keys = Object.keys(map);
      return (
        keys.length === Object.keys(other).length &&
        keys.every((key) => Object.hasOwn(other, key) && (map[key] ?? "").startsWith(other[key] ?? ""))
      );
    })
  );
}
