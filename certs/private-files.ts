/** Shell: files that hold keys. They appear whole or not at all, and only their owner may read them. */
import {
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { MeshError } from "#lib/problem.ts";

/** The text of a file. Throws `ca-file-missing`, `ca-file-unreadable` with the file's name and the way out. */
export function readTextFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw fileError(error, path);
  }
}

/** Throws `ca-file-unreadable` when the answer cannot be had. */
export function fileExists(path: string): boolean {
  try {
    statSync(path);
    return true;
  } catch (error) {
    if (systemCode(error) === "ENOENT") return false;
    throw fileError(error, path);
  }
}

/** What the system said about a file or directory, for people. */
export function fileError(error: unknown, path: string): MeshError {
  const code = systemCode(error);
  if (code === "ENOENT" || code === "ENOTDIR") {
    return new MeshError("ca-file-missing", `${path} does not exist. Put it there, or give the right directory.`);
  }
  if (code === "EACCES" || code === "EPERM") {
    return new MeshError(
      "ca-file-unreadable",
      `${path} may not be read by this user (${code}). Run as its owner, or let this user read it: chown, or chmod u+r (u+rx for a directory).`,
    );
  }
  return new MeshError("ca-file-unreadable", `${path} cannot be read (${code}).`);
}

function systemCode(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}

/** Makes a directory (0700) and its parents where they are not there. Throws `ca-directory-unusable`. */
export function makePrivateDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw unusable(directory, error);
  }
}

/** Puts a file in the place of what is there, whole or not at all. Throws `ca-directory-unusable`. */
export function replaceFile(path: string, content: string, mode: number): void {
  const partial = `${path}.${process.pid}.new`;
  try {
    writePartial(partial, content, mode);
    renameSync(partial, path);
  } catch (error) {
    throw unusable(path, error);
  }
}

/**
 * Writes a file that must not be there yet, whole or not at all. Returns false when another process was first.
 * Throws `ca-directory-unusable` when it cannot be written.
 */
export function writeNewFile(path: string, content: string, mode: number): boolean {
  const partial = `${path}.${process.pid}.new`;
  try {
    writePartial(partial, content, mode);
    // A link fails where a rename would overwrite.
    linkSync(partial, path);
    return true;
  } catch (error) {
    const code = systemCode(error);
    if (code === "EEXIST") return false;
    // Some file systems have no links (exFAT, some mounts of containers).
    if (["EPERM", "ENOSYS", "ENOTSUP", "EOPNOTSUPP"].includes(code)) return writeUnlessThere(path, content, mode);
    throw unusable(path, error);
  } finally {
    try {
      unlinkSync(partial);
    } catch {
      // It was never made.
    }
  }
}

function writeUnlessThere(path: string, content: string, mode: number): boolean {
  try {
    writePartial(path, content, mode);
    return true;
  } catch (error) {
    if (systemCode(error) === "EEXIST") return false;
    throw unusable(path, error);
  }
}

function writePartial(partial: string, content: string, mode: number): void {
  const descriptor = openSync(partial, "wx", mode);
  try {
    writeSync(descriptor, content);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function unusable(path: string, error: unknown): MeshError {
  return new MeshError(
    "ca-directory-unusable",
    `${path} cannot be written (${systemCode(error)}). Give a directory that this user may write to.`,
  );
}
