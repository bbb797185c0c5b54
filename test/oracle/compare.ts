/** What differs between what istiod sent and what we make of the same objects. */
import { createTranslator } from "#control-plane/translate/translator.ts";
import type { Answer, OracleCase, Resource } from "./load-case.ts";
import { normalized } from "./normalize.ts";

export interface CaseResult {
  readonly name: string;
  readonly total: number;
  readonly same: number;
  /** One line a difference. */
  readonly differences: readonly string[];
}

const TYPES = ["clusters", "endpoints", "listeners", "routes", "extensionConfigs", "nameTables"] as const;

export function runCase({ name, mesh, answers }: OracleCase): CaseResult {
  const results = answers.map((answer) => compareAnswer(answer, translate(mesh, answer)));
  return {
    name,
    total: results.reduce((sum, result) => sum + result.total, 0),
    same: results.reduce((sum, result) => sum + result.same, 0),
    differences: results.flatMap((result) => result.differences),
  };
}

type Made = Pick<Answer, (typeof TYPES)[number]>;

function translate(mesh: OracleCase["mesh"], answer: Answer): Made {
  const { nameTable, extensionConfigs = [], ...lists } = createTranslator().snapshot(mesh, answer.proxy);
  return {
    ...lists,
    extensionConfigs,
    nameTables: nameTable === undefined ? [] : [{ name: "nameTable", ...nameTable }],
  };
}

function compareAnswer(answer: Answer, made: Made): CaseResult {
  const differences: string[] = [];
  let total = 0;
  let same = 0;
  for (const type of TYPES) {
    const wanted = byName(answer[type]);
    const own = byName(made[type]);
    for (const resource of [...new Set([...wanted.keys(), ...own.keys()])].toSorted()) {
      total += 1;
      const lines = differencesBetween(normalized(wanted.get(resource)), normalized(own.get(resource)));
      if (lines.length === 0) same += 1;
      differences.push(...lines.map((line) => `${answer.proxyName} ${type} ${resource}${line}`));
    }
  }
  return { name: answer.proxyName, total, same, differences };
}

function byName(resources: readonly Resource[]): ReadonlyMap<string, Resource> {
  return new Map(resources.map((resource) => [String(resource["name"] ?? resource["clusterName"]), resource]));
}

/** `.path: istiod … ours …` */
export function differencesBetween(wanted: unknown, own: unknown, path = ""): readonly string[] {
  if (JSON.stringify(wanted) === JSON.stringify(own)) return [];
  if (Array.isArray(wanted) && Array.isArray(own)) {
    const length = Math.max(wanted.length, own.length);
    return Array.from({ length }, (_, index) => index).flatMap((index) =>
      differencesBetween(wanted[index], own[index], `${path}[${index}]`),
    );
  }
  if (isFields(wanted) && isFields(own)) {
    const keys = [...new Set([...Object.keys(wanted), ...Object.keys(own)])];
    return keys.flatMap((key) => differencesBetween(wanted[key], own[key], `${path}.${key}`));
  }
  return [`${path}: istiod ${short(wanted)} ours ${short(own)}`];
}

function isFields(value: unknown): value is Resource {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function short(value: unknown): string {
  const text = value === undefined ? "—" : JSON.stringify(value);
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
