/** Manifests as istioctl's analysis reads them: an object begins where its document does, comments and all. */
import type { Problem } from "#lib/problem.ts";
import { parseManifests } from "../config/parse-manifests.ts";
import type { MeshObject } from "../model/object.ts";
import { createFindings } from "../validate/findings.ts";
import { crdOf } from "../validate/crds/crds.ts";
import { checkSchema } from "../validate/schema.ts";

export interface ReadManifests {
  readonly objects: readonly MeshObject[];
  /** What could not be read: documents that are malformed, objects whose fields have wrong types. */
  readonly problems: readonly Problem[];
}

/** Nothing is thrown: a document that can't be read is a problem, and the others count. */
export function readManifests(text: string, file: string): ReadManifests {
  const parsed = parseManifests(text, file);
  const starts = documentStarts(text);
  const problems = parsed.problems.filter(({ level, code }) => level === "error" || code === "not-an-object");
  const objects: MeshObject[] = [];
  for (const object of parsed.objects) {
    const faults = typeFaults(object);
    if (faults.length > 0) problems.push(...faults);
    else objects.push(atDocumentStart(object, starts));
  }
  return { objects, problems };
}

/** An object that does not fit the types of its kind can't be analyzed: it would be read as something else. */
function typeFaults(object: MeshObject): readonly Problem[] {
  const crd = crdOf(object.kind, object.group, object.version);
  if (crd === undefined) return [];
  const findings = createFindings(object);
  checkSchema(crd, findings);
  return findings.problems.filter(({ code }) => unreadable.has(code));
}

const unreadable: ReadonlySet<string> = new Set(["wrong-type", "not-in-enum", "several-of-one"]);

/** Items of a List stand deeper and keep their own line. */
function atDocumentStart(object: MeshObject, starts: readonly number[]): MeshObject {
  const { location } = object.source;
  const line = starts.findLast((start) => start <= location.line);
  if (location.column !== 1 || line === undefined) return object;
  return { ...object, source: { ...object.source, location: { ...location, line } } };
}

/** The first line of each document that is not blank, from 1. */
function documentStarts(text: string): readonly number[] {
  const starts: number[] = [];
  let isOpen = false;
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (/^---\s*$/.test(line)) isOpen = false;
    else if (!isOpen && line.trim() !== "") {
      starts.push(index + 1);
      isOpen = true;
    }
  }
  return starts;
}
