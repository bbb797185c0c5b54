/** Where objects come from. A source tells the whole of what it holds, at the start and after each change. */
import type { Problem } from "#lib/problem.ts";
import type { MeshObject } from "../model/object.ts";

export interface ConfigSource {
  /** Reads everything once, then tells each later state. Rejects with a MeshError when there is nothing to read from. */
  start(onChange: (files: readonly SourceFile[]) => void): Promise<readonly SourceFile[]>;
  close(): void;
}

/** One file, read; unchanged files keep their identity from state to state. */
export interface SourceFile {
  /** As the user would name it. */
  readonly name: string;
  readonly objects: readonly MeshObject[];
  readonly problems: readonly Problem[];
  /** Part of it could not be read, so that objects may be missing. */
  readonly isMalformed: boolean;
}
