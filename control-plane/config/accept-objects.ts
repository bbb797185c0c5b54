/** Which objects are in force, given what the sources hold now and what was in force before. Pure. */
import type { Problem } from "#lib/problem.ts";
import { objectKey, objectName, REFUSABLE_POLICIES, refusedKind, type MeshObject } from "../model/object.ts";
import type { SourceFile } from "./source.ts";

export interface AcceptedConfig {
  readonly objects: readonly MeshObject[];
  readonly problems: readonly Problem[];
  /** By file name: its last state that could be read wholly. */
  readonly lastGoodFiles: ReadonlyMap<string, SourceFile>;
}

export const nothingAccepted: AcceptedConfig = { objects: [], problems: [], lastGoodFiles: new Map() };

/**
 * A file that can't be read wholly keeps its last good objects in force (at first: what could be read of it). An object
 * that `validate` refuses keeps its last accepted version in force, and takes no other object down with it. With
 * `keepsRefusedPolicies` a policy that never was accepted stays as one that was refused: without it more would be open than
 * anybody wrote. (Kubernetes would never have stored it; here it stands in a file that counts.) Of two objects with one
 * name the later counts.
 */
export function acceptObjects(
  files: readonly SourceFile[],
  before: AcceptedConfig,
  validate: (object: MeshObject) => readonly Problem[],
  options: { readonly keepsRefusedPolicies?: boolean } = {},
): AcceptedConfig {
  const problems: Problem[] = [];
  const lastGoodFiles = new Map<string, SourceFile>();
  const latest = new Map<string, MeshObject>();
  for (const file of files) {
    problems.push(...file.problems);
    const lastGood = before.lastGoodFiles.get(file.name);
    const inForce = file.isMalformed && lastGood !== undefined ? lastGood : file;
    if (!file.isMalformed) lastGoodFiles.set(file.name, file);
    else if (lastGood !== undefined) lastGoodFiles.set(file.name, lastGood);
    for (const object of inForce.objects) {
      const key = objectKey(object);
      const earlier = latest.get(key);
      if (earlier !== undefined) problems.push(duplicate(earlier, object));
      // Re-inserted, so that the order is that of the objects that count.
      latest.delete(key);
      latest.set(key, object);
    }
  }
  const acceptedBefore = new Map(before.objects.map((object) => [objectKey(object), object]));
  const objects: MeshObject[] = [];
  for (const [key, object] of latest) {
    const findings = validate(object);
    problems.push(...findings);
    if (!findings.some(({ level }) => level === "error")) {
      objects.push(object);
      continue;
    }
    const last = acceptedBefore.get(key);
    if (last !== undefined) objects.push(last);
    else if (options.keepsRefusedPolicies === true && isClosing(object)) objects.push(asRefused(object));
  }
  return { objects, problems, lastGoodFiles };
}

const SECURITY_GROUP = "security.istio.io";
const CLOSING_KINDS: ReadonlySet<string> = new Set(REFUSABLE_POLICIES);

function isClosing({ group, kind }: MeshObject): boolean {
  return group === SECURITY_GROUP && CLOSING_KINDS.has(kind);
}

/** Of a kind of its own, so that nobody takes it for a policy. */
function asRefused(object: MeshObject): MeshObject {
  return { ...object, kind: refusedKind(object.kind), origin: object };
}

function duplicate(earlier: MeshObject, later: MeshObject): Problem {
  const { file, line } = earlier.source.location;
  const { file: laterFile, line: laterLine } = later.source.location;
  return {
    code: "duplicate-object",
    level: "warning",
    path: "metadata.name",
    message: `is written twice, at ${file}:${line} and at ${laterFile}:${laterLine}; the latter counts. Rename or remove one.`,
    object: objectName(later),
    source: later.source.locate("metadata.name"),
  };
}
