/** YAML as Envoy reads it: yaml-cpp's scalars, which are neither YAML 1.1 nor 1.2. */
import { createRequire } from "node:module";
import type * as Yaml from "yaml";
import type { Document, Node } from "yaml";
import type { Parsed, Problem, SourceLocation } from "#lib/problem.ts";

/** A value out of a file that remembers where its parts stand. */
export interface EnvoyYaml {
  /** Plain JSON. */
  readonly json: unknown;
  /** Where a path like `static_resources.clusters[0].name` stands; the nearest parent where there is no such place. */
  locate(path: string): SourceLocation | undefined;
}

/**
 * Parses one YAML document. Plain scalars become null (`~`, `null`, empty), booleans (`yes`, `on`, `true` … as YAML 1.1),
 * or integers of at most 53 bits; all others, floats among them, stay strings, which proto3 JSON reads as numbers where a
 * field wants one. Text that is JSON is read as JSON, where a number is a number. Duplicate keys in
 * YAML and more than one document are problems.
 */
export function parseEnvoyYaml(text: string, file: string): Parsed<EnvoyYaml> {
  const json = parseJson(text);
  if (json === undefined) return parseYaml(text, file);
  // Places are asked for only when something is wrong: a good JSON file never loads the YAML library.
  let parsed: EnvoyYaml | undefined;
  const locate: EnvoyYaml["locate"] = (path) => {
    parsed ??= parseYaml(text, file).value;
    return parsed?.locate(path);
  };
  return { value: { json, locate }, problems: [] };
}

/** An object in JSON; undefined for anything else. */
function parseJson(text: string): unknown {
  if (!/^\s*\{/.test(text)) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function parseYaml(text: string, file: string): Parsed<EnvoyYaml> {
  const { LineCounter, parseAllDocuments } = yamlLibrary();
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, { schema: "failsafe", lineCounter: lines, merge: false, uniqueKeys: true });
  const [document, second] = Array.isArray(documents) ? documents : [];
  const at = (offset: number): SourceLocation => {
    const { line, col } = lines.linePos(offset);
    return { file, line, column: col };
  };
  const problem = (message: string, offset: number): Problem => ({
    code: "invalid-yaml",
    level: "error",
    path: "",
    message,
    source: at(offset),
  });
  if (document === undefined || document.contents === null) {
    return { problems: [{ code: "invalid-yaml", level: "error", path: "", message: `${file} is empty` }] };
  }
  const errors = document.errors.map((error) => problem(firstLine(error.message), error.pos[0]));
  if (errors.length > 0) return { problems: errors };
  if (second !== undefined) {
    return { problems: [problem("more than one YAML document; only one is read", second.range[0])] };
  }
  const json = valueOf(document.contents, document);
  return { value: { json, locate: (path) => locate(document, path, at) }, problems: [] };
}

const require = createRequire(import.meta.url);

/** Loaded when the first YAML text comes: it costs 10 MB, and the bootstraps of a mesh are JSON. */
function yamlLibrary(): typeof Yaml {
  return require("yaml") as typeof Yaml;
}

function firstLine(message: string): string {
  return message.split("\n", 1)[0] ?? message;
}

function valueOf(node: unknown, document: Document): unknown {
  const { isAlias, isMap, isScalar, isSeq } = yamlLibrary();
  if (isAlias(node)) return valueOf(node.resolve(document), document);
  if (isMap(node)) {
    return Object.fromEntries(node.items.map(({ key, value }) => [keyOf(key, document), valueOf(value, document)]));
  }
  if (isSeq(node)) return node.items.map((item) => valueOf(item, document));
  if (!isScalar(node)) return null;
  const text = textOf(node.value);
  const isPlain = node.type === undefined || node.type === "PLAIN";
  const hasTag = node.tag !== undefined && node.tag !== "!" && node.tag !== "tag:yaml.org,2002:str";
  return isPlain || hasTag ? scalarOf(text) : text;
}

function keyOf(node: unknown, document: Document): string {
  const { isAlias, isScalar } = yamlLibrary();
  if (isAlias(node)) return keyOf(node.resolve(document), document);
  return isScalar(node) ? textOf(node.value) : JSON.stringify(valueOf(node, document));
}

/** The failsafe schema leaves every scalar a string. */
function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

const trueWords = /^(?:y|Y|yes|Yes|YES|true|True|TRUE|on|On|ON)$/;
const falseWords = /^(?:n|N|no|No|NO|false|False|FALSE|off|Off|OFF)$/;

function scalarOf(text: string): unknown {
  if (text === "" || text === "~" || text === "null" || text === "Null" || text === "NULL") return null;
  if (trueWords.test(text)) return true;
  if (falseWords.test(text)) return false;
  return integerOf(text) ?? text;
}

function integerOf(text: string): number | undefined {
  const match = /^([+-]?)(0x[0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)$/.exec(text);
  if (match === null) return undefined;
  const [, sign, digits = ""] = match;
  const magnitude = digits.startsWith("0x")
    ? Number(digits)
    : digits.startsWith("0")
      ? Number(`0o0${digits.slice(1)}`)
      : Number(digits);
  if (!Number.isSafeInteger(magnitude)) return undefined;
  return sign === "-" && magnitude !== 0 ? -magnitude : magnitude;
}

function locate(document: Document, path: string, at: (offset: number) => SourceLocation): SourceLocation | undefined {
  const { isAlias, isMap, isScalar, isSeq } = yamlLibrary();
  let node: unknown = document.contents;
  let found = offsetOf(node);
  for (const segment of segmentsOf(path)) {
    if (isAlias(node)) node = node.resolve(document);
    if (isMap(node)) {
      const pair = node.items.find(
        ({ key }) => isScalar(key) && (key.value === segment || snakeCase(String(key.value)) === segment),
      );
      if (pair === undefined) break;
      found = offsetOf(pair.key) ?? found;
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(segment)];
      if (node === undefined) break;
      found = offsetOf(node) ?? found;
    } else {
      break;
    }
  }
  return found === undefined ? undefined : at(found);
}

function offsetOf(node: unknown): number | undefined {
  return (node as Node | null | undefined)?.range?.[0];
}

/** `a.b[0].c[key.with.dots]` → `a`, `b`, `0`, `c`, `key.with.dots`. */
function segmentsOf(path: string): string[] {
  return [...path.matchAll(/\[([^\]]*)\]|[^.[\]]+/g)].map(([whole, inBrackets]) => inBrackets ?? whole);
}

function snakeCase(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
