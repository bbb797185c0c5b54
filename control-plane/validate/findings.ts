/** Gathers what is wrong with one object, each finding with its place in the file. */
import type { Problem } from "#lib/problem.ts";
import { objectName, type MeshObject } from "../model/object.ts";

export interface Findings {
  readonly object: MeshObject;
  /** The object is refused: what was in force before stays. */
  refuse(path: string, message: string, code?: string): void;
  /** The object is taken; somebody should know this. */
  warn(path: string, message: string, code?: string): void;
  note(path: string, message: string, code?: string): void;
  /** Takes over what another check of the same object has found. */
  add(problems: readonly Problem[]): void;
  readonly problems: readonly Problem[];
}

export function createFindings(object: MeshObject): Findings {
  const problems: Problem[] = [];
  const put = (level: Problem["level"], code: string, path: string, message: string): void => {
    problems.push({ code, level, path, message, object: objectName(object), source: object.source.locate(path) });
  };
  return {
    object,
    problems,
    add: (found) => void problems.push(...found),
    refuse: (path, message, code = "invalid-value") => put("error", code, path, message),
    warn: (path, message, code = "questionable-value") => put("warning", code, path, message),
    note: (path, message, code = "note") => put("info", code, path, message),
  };
}
