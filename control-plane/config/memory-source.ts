/** Objects that live in this process: made by a program, or written in a test. */
import type { Problem } from "#lib/problem.ts";
import type { MeshObject } from "../model/object.ts";
import { objectFromRaw } from "./object-from-raw.ts";
import { parseManifests } from "./parse-manifests.ts";
import type { ConfigSource, SourceFile } from "./source.ts";

export interface MemorySource extends ConfigSource {
  /** Sets what a file holds: text as in a manifest, or plain objects; `undefined` removes it. Tells at once. */
  set(name: string, content: string | readonly unknown[] | undefined): void;
}

export function createMemorySource(initial: Readonly<Record<string, string | readonly unknown[]>> = {}): MemorySource {
  const files = new Map<string, SourceFile>();
  for (const [name, content] of Object.entries(initial)) files.set(name, read(name, content));
  let tell: ((files: readonly SourceFile[]) => void) | undefined;
  return {
    start(onChange) {
      tell = onChange;
      return Promise.resolve([...files.values()]);
    },
    close() {
      tell = undefined;
    },
    set(name, content) {
      if (content === undefined) files.delete(name);
      else files.set(name, read(name, content));
      tell?.([...files.values()]);
    },
  };
}

function read(name: string, content: string | readonly unknown[]): SourceFile {
  if (typeof content === "string") return { name, ...parseManifests(content, name) };
  const objects: MeshObject[] = [];
  const problems: Problem[] = [];
  for (const [index, raw] of content.entries()) {
    const location = { file: name, line: index + 1, column: 1 };
    const result = objectFromRaw(raw, { location, locate: () => location });
    objects.push(...result.objects);
    problems.push(...result.problems);
  }
  return { name, objects, problems, isMalformed: problems.some(({ level }) => level === "error") };
}
