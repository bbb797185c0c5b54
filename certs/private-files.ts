/** Shell: files that hold keys. They appear whole or not at all, and only their owner may read them. */
import { accessSync, closeSync, constants, fsyncSync, linkSync, openSync, unlinkSync, writeSync } from "node:fs";
import { MeshError } from "#lib/problem.ts";

/** Why a file or directory of the CA cannot be read, and the way out; undefined when it can. */
export function fileProblem(path: string): { readonly code: string; readonly message: string } | undefined {
  try {
    accessSync(path, constants.R_OK);
    return undefined;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    if (code === "ENOENT" || code === "ENOTDIR") {
      return { code: "ca-file-missing", message: `${path} does not exist. Put it there, or give the right directory.` };
    }
    if (code === "EACCES" || code === "EPERM") {
      return {
        code: "ca-file-unreadable",
        message: `${path} may not be read by this user. Run as its owner, or give this user the permission: chown or chmod u+r (and u+x for a directory).`,
      };
    }
    return { code: "ca-file-unreadable", message: `${path} cannot be read (${code}).` };
  }
}

/**
 * Writes a file that must not be there yet, whole or not at all. Returns false when another process was first.
 * Throws `ca-directory-unusable` when it cannot be written.
 */
export function writeNewFile(path: string, content: string, mode: number): boolean {
  const partial = `${path}.${process.pid}.new`;
  try {
    const descriptor = openSync(partial, "wx", mode);
    try {
      writeSync(descriptor, content);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    // A link fails where a rename would overwrite.
    linkSync(partial, path);
    return true;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    if (code === "EEXIST") return false;
    throw new MeshError(
      "ca-directory-unusable",
      `${path} cannot be written (${code}). Give a directory that this user may write to.`,
    );
  } finally {
    try {
      unlinkSync(partial);
    } catch {
      // It was never made.
    }
  }
}
