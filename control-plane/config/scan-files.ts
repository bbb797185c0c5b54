/** Which manifest files there are below the paths that were given. */
import { readdir, realpath, stat } from "node:fs/promises";
import { join } from "node:path";

export interface ScannedTree {
  /** In the order of the paths, each directory's sorted by name. */
  readonly files: readonly string[];
  /** Every directory below, so that it can be watched. */
  readonly directories: readonly string[];
  /** What could not be looked at, and why. */
  readonly failures: readonly { readonly path: string; readonly code: string }[];
}

const extensions = /\.(?:ya?ml|json)$/i;

/** Files of other tools that stand among manifests and are none. */
const foreign: ReadonlySet<string> = new Set([
  "kustomization.yaml",
  "kustomization.yml",
  "package.json",
  "package-lock.json",
  "tsconfig.json",
]);

/** Walks directories recursively; hidden entries and `node_modules` are left out, links are followed once. */
export async function scanFiles(paths: readonly string[]): Promise<ScannedTree> {
  const files: string[] = [];
  const directories: string[] = [];
  const failures: { path: string; code: string }[] = [];
  const seen = new Set<string>();
  const walk = async (path: string, isNamed: boolean): Promise<void> => {
    try {
      const found = await stat(path);
      if (found.isFile()) {
        if (isNamed || isManifestName(path)) files.push(path);
        return;
      }
      if (!found.isDirectory()) return;
      const real = await realpath(path);
      if (seen.has(real)) return;
      seen.add(real);
      directories.push(path);
      const entries = await readdir(path);
      for (const entry of entries.sort()) {
        if (!entry.startsWith(".") && entry !== "node_modules") await walk(join(path, entry), false);
      }
    } catch (error) {
      failures.push({ path, code: codeOf(error) });
    }
  };
  for (const path of paths) await walk(path, true);
  return { files: [...new Set(files)], directories, failures };
}

/** The system's code of an error: `ENOENT`, `EACCES`. */
export function codeOf(error: unknown): string {
  return typeof error === "object" && error !== null && "code" in error ? String(error.code) : "unknown";
}

function isManifestName(path: string): boolean {
  const name = path.slice(path.lastIndexOf("/") + 1);
  return extensions.test(name) && !foreign.has(name);
}
