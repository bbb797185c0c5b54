/** Files of manifests that a command line names. */
import { readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { text as readText } from "node:stream/consumers";
import { MeshError } from "#lib/problem.ts";
import type { CommandIo } from "./command.ts";

const extensions = /\.(?:json|ya?ml)$/;

/** The standard input. */
const STDIN = "-";

/**
 * The files that the paths name, with everything below directories, by name; as they were written, relative to `cwd`.
 * Files of other kinds are said and left out. Throws `MeshError` for a path that is not there.
 */
export function gatherFiles(paths: readonly string[], io: CommandIo): readonly string[] {
  const files: string[] = [];
  const seen = new Set<string>();
  const walk = (path: string): void => {
    const absolute = resolve(io.cwd, path);
    if (statSync(absolute).isDirectory()) {
      const real = realpathSync(absolute);
      if (seen.has(real)) return;
      seen.add(real);
      for (const entry of readdirSync(absolute).sort()) {
        if (entry !== "node_modules" && entry !== ".git") walk(join(path, entry));
      }
    } else if (extensions.test(path)) files.push(path);
    else io.err(`Skipping file ${path}, recognized file extensions are: .json, .yaml, .yml\n`);
  };
  for (const path of paths) {
    if (path === STDIN) files.push(STDIN);
    else {
      try {
        walk(path);
      } catch (error) {
        throw new MeshError("missing-path", `${path} can't be read: ${reasonOf(error)}`);
      }
    }
  }
  return [...new Set(files)];
}

/** Throws `MeshError` where the file can't be read. */
export async function readManifestFile(file: string, io: CommandIo): Promise<string> {
  if (file === STDIN) return readText(process.stdin);
  try {
    return readFileSync(resolve(io.cwd, file), "utf8");
  } catch (error) {
    throw new MeshError("missing-path", `${file} can't be read: ${reasonOf(error)}`);
  }
}

function reasonOf(error: unknown): string {
  if (typeof error !== "object" || error === null || !("code" in error)) return String(error);
  const words: Readonly<Record<string, string>> = {
    ENOENT: "it does not exist",
    EACCES: "permission is missing",
    ELOOP: "its links go in a circle",
  };
  return words[String(error.code)] ?? String(error.code);
}
