/** Where the fields of a YAML document stand, by JSON path. */
import type { SourceLocation } from "#lib/problem.ts";
import { isAlias, isMap, isScalar, isSeq, type Document, type LineCounter, type Node, type Pair } from "yaml";

/** Steps of a JSON path: `spec.http[0].match["a.b"]` → ["spec", "http", 0, "match", "a.b"]. */
export function stepsOfPath(path: string): readonly (string | number)[] {
  const steps: (string | number)[] = [];
  for (const match of path.matchAll(/\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]|([^.[\]]+)/g)) {
    const [, index, quoted, plain] = match;
    if (index !== undefined) steps.push(Number(index));
    else if (quoted !== undefined) steps.push(quoted.replace(/\\(.)/g, "$1"));
    else if (plain !== undefined) steps.push(plain);
  }
  return steps;
}

/** Appends a key to a JSON path; keys that are no plain words are quoted. */
export function pathOf(parent: string, key: string | number): string {
  if (typeof key === "number") return `${parent}[${key}]`;
  if (!/^[A-Za-z_$][\w$/-]*$/.test(key)) return `${parent}[${JSON.stringify(key)}]`;
  return parent === "" ? key : `${parent}.${key}`;
}

/**
 * The place of `path` below `root`: of the key in a map, of the item in a list. A field that is not there is placed at
 * the nearest parent that is.
 */
export function locateInDocument(
  document: Document,
  root: Node | null,
  path: string,
  file: string,
  lines: LineCounter,
): SourceLocation {
  let node: unknown = root;
  let offset = startOf(root) ?? document.range?.[0] ?? 0;
  const steps = stepsOfPath(path);
  for (let at = 0; at < steps.length;) {
    const value: unknown = isAlias(node) ? node.resolve(document) : node;
    const step = steps[at];
    if (isSeq(value) && typeof step === "number") {
      const item: unknown = value.items[step];
      if (item === undefined) break;
      node = item;
      offset = startOf(item) ?? offset;
      at += 1;
      continue;
    }
    if (!isMap(value)) break;
    const found = findPair(value.items, steps, at);
    if (found === undefined) break;
    node = found.pair.value;
    offset = startOf(found.pair.key) ?? startOf(node) ?? offset;
    at += found.taken;
  }
  const { line, col } = lines.linePos(offset);
  return { file, line, column: col };
}

/** Keys may hold dots (`app.kubernetes.io/name`): the longest run of steps that is a key wins. */
function findPair(
  pairs: readonly Pair[],
  steps: readonly (string | number)[],
  at: number,
): { readonly pair: Pair; readonly taken: number } | undefined {
  for (let taken = steps.length - at; taken >= 1; taken -= 1) {
    const key = steps.slice(at, at + taken).join(".");
    const pair = pairs.find((candidate) => String(keyOf(candidate)) === key);
    if (pair !== undefined) return { pair, taken };
  }
  return undefined;
}

function keyOf(pair: Pair): unknown {
  return isScalar(pair.key) ? pair.key.value : pair.key;
}

function startOf(node: unknown): number | undefined {
  const range = (node as { range?: readonly number[] | null } | null | undefined)?.range;
  return range?.[0];
}
