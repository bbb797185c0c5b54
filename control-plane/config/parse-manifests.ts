/** Text of a manifest file → objects with the place of every field. Pure; what is wrong comes back as problems. */
import type { Problem, SourceLocation } from "#lib/problem.ts";
import { isMap, isSeq, LineCounter, parseAllDocuments, type Document, type Node, type ScalarTag } from "yaml";
import type { MeshObject, ObjectSource } from "../model/object.ts";
import { locateInDocument } from "./manifest-place.ts";
import { objectFromRaw } from "./object-from-raw.ts";

export interface ParsedManifests {
  readonly objects: readonly MeshObject[];
  readonly problems: readonly Problem[];
  /** True when a document could not be read at all, so that objects may be missing. */
  readonly isMalformed: boolean;
}

/** Aliases may repeat content, but not more than this many times the size of what is written. */
const MAX_ALIAS_COUNT = 100;

/**
 * Reads YAML or JSON with any number of documents. A document that is malformed becomes a problem with its place, and
 * the others still count. `List` kinds are taken apart.
 */
export function parseManifests(text: string, file: string): ParsedManifests {
  const lines = new LineCounter();
  const objects: MeshObject[] = [];
  const problems: Problem[] = [];
  let isMalformed = false;
  const documents = documentsOf(text, lines);
  if (documents === undefined) return parsePieces(text, file);
  for (const document of documents) {
    const errors = document.errors.map((error): Problem => {
      const { line, col } = error.linePos?.[0] ?? lines.linePos(error.pos[0]);
      return malformed(`${sentence(error.message)} ${hintFor(error.code)}`.trim(), { file, line, column: col });
    });
    const start = locateInDocument(document, document.contents, "", file, lines);
    const raw =
      errors.length > 0 ? undefined : plainValue(document, (message) => errors.push(malformed(message, start)));
    if (errors.length > 0) {
      problems.push(...errors);
      isMalformed = true;
      continue;
    }
    for (const warning of document.warnings) {
      const { line, col } = warning.linePos?.[0] ?? lines.linePos(warning.pos[0]);
      problems.push({ ...malformed(sentence(warning.message), { file, line, column: col }), level: "warning" });
    }
    if (raw === null || raw === undefined) continue;
    const source = sourceOf(document, document.contents, file, lines);
    const read = objectsFromValue(raw, document, document.contents, source, file, lines);
    objects.push(...read.objects);
    problems.push(...read.problems);
    isMalformed ||= read.problems.some(({ level }) => level === "error");
  }
  return { objects, problems, isMalformed };
}

/** Kubernetes reads YAML 1.1's words for booleans; everything else is YAML 1.2. */
const kubernetesBoolean: ScalarTag = {
  tag: "tag:yaml.org,2002:bool",
  default: true,
  test: /^(?:yes|Yes|YES|on|On|ON|no|No|NO|off|Off|OFF)$/,
  resolve: (text) => /^(?:y|on$)/i.test(text),
};

/** Undefined where one of them is nested so deeply that the parser gives up on all. */
function documentsOf(text: string, lines: LineCounter): readonly Document[] | undefined {
  try {
    const documents = parseAllDocuments(text, {
      lineCounter: lines,
      uniqueKeys: true,
      merge: true,
      prettyErrors: true,
      customTags: (tags) => [kubernetesBoolean, ...tags],
    });
    return Array.isArray(documents) ? documents : [];
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** Each document by itself, on its own lines: the one that is nested too deeply takes no other along. */
function parsePieces(text: string, file: string): ParsedManifests {
  const pieces: { readonly line: number; readonly lines: string[] }[] = [{ line: 0, lines: [] }];
  for (const [index, line] of text.split("\n").entries()) {
    if (/^---\s*$/.test(line)) pieces.push({ line: index + 1, lines: [] });
    else pieces.at(-1)?.lines.push(line);
  }
  if (pieces.length === 1) {
    const problem = malformed("nested too deeply to be read.", { file, line: 1, column: 1 });
    return { objects: [], problems: [problem], isMalformed: true };
  }
  const parsed = pieces.map((piece) => parseManifests("\n".repeat(piece.line) + piece.lines.join("\n"), file));
  return {
    objects: parsed.flatMap(({ objects }) => objects),
    problems: parsed.flatMap(({ problems }) => problems),
    isMalformed: parsed.some(({ isMalformed }) => isMalformed),
  };
}

function plainValue(document: Document, refuse: (message: string) => void): unknown {
  try {
    const value: unknown = document.toJS({ maxAliasCount: MAX_ALIAS_COUNT });
    if (hasCycle(value, new Set())) {
      refuse("an anchor holds an alias to itself; write the value out instead.");
      return undefined;
    }
    return value;
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    if (/alias count/i.test(text)) {
      refuse(`aliases repeat their content more than ${MAX_ALIAS_COUNT} times; write the values out instead.`);
    } else if (error instanceof RangeError) {
      refuse("nested too deeply to be read.");
    } else {
      refuse(sentence(text));
    }
    return undefined;
  }
}

function hasCycle(value: unknown, above: Set<object>): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (above.has(value)) return true;
  above.add(value);
  const found = Object.values(value).some((item) => hasCycle(item, above));
  above.delete(value);
  return found;
}

function objectsFromValue(
  raw: unknown,
  document: Document,
  node: Node | null,
  source: ObjectSource,
  file: string,
  lines: LineCounter,
): { readonly objects: readonly MeshObject[]; readonly problems: readonly Problem[] } {
  if (!isListKind(raw)) return objectFromRaw(raw, source);
  const itemsNode = isMap(node) ? node.get("items", true) : undefined;
  const objects: MeshObject[] = [];
  const problems: Problem[] = [];
  for (const [index, item] of raw.items.entries()) {
    const itemNode = (isSeq(itemsNode) ? itemsNode.items[index] : undefined) as Node | undefined;
    const read = objectsFromValue(
      item,
      document,
      itemNode ?? node,
      sourceOf(document, itemNode ?? node, file, lines),
      file,
      lines,
    );
    objects.push(...read.objects);
    problems.push(...read.problems);
  }
  return { objects, problems };
}

function isListKind(raw: unknown): raw is { readonly items: readonly unknown[] } {
  if (typeof raw !== "object" || raw === null) return false;
  const { kind, items } = raw as { kind?: unknown; items?: unknown };
  return typeof kind === "string" && kind.endsWith("List") && Array.isArray(items);
}

function sourceOf(document: Document, node: Node | null, file: string, lines: LineCounter): ObjectSource {
  return {
    location: locateInDocument(document, node, "", file, lines),
    locate: (path) => locateInDocument(document, node, path, file, lines),
  };
}

function malformed(message: string, source: SourceLocation): Problem {
  return { code: "malformed-yaml", level: "error", path: "", message, source };
}

/** The first line of yaml's message, without the place (we say it ourselves). */
function sentence(message: string): string {
  const [first = message] = message.split("\n");
  return `${first.replace(/ at line \d+, column \d+:?$/, "").replace(/[.:]$/, "")}.`;
}

function hintFor(code: string): string {
  switch (code) {
    case "DUPLICATE_KEY":
      return "Keep one of the two.";
    case "TAB_AS_INDENT":
      return "Indent with spaces.";
    case "BLOCK_AS_IMPLICIT_KEY":
      return "Put text that holds `: ` in quotes, or begin the nested map on its own line.";
    case "BAD_INDENT":
      return "Check the indentation and the closing brackets above.";
    default:
      return "";
  }
}
