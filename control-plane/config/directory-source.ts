/** Manifest files and directories, watched: a changed file is read again after a short quiet time. */
import { createHash } from "node:crypto";
import { watch, type FSWatcher } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { MeshError, type Problem } from "#lib/problem.ts";
import type { Runtime, Timer } from "#lib/runtime.ts";
import { parseManifests, type ParsedManifests } from "./parse-manifests.ts";
import { codeOf, scanFiles, type ScannedTree } from "./scan-files.ts";
import type { ConfigSource, SourceFile } from "./source.ts";

export interface DirectorySourceOptions {
  readonly runtime: Pick<Runtime, "clock" | "log">;
  /** Files and directories, in the order in which later ones count. */
  readonly paths: readonly string[];
  /** How a file is read. Default: as manifests. */
  readonly parse?: (text: string, file: string) => ParsedManifests;
  /** Quiet time after the last sign of a change. */
  readonly settleMs?: number;
  /** How often to look where the system can't watch. */
  readonly pollMs?: number;
}

/** Files that editors and programs write beside manifests. */
const passing = /\.(?:log|swp|swx|swo|tmp|pid)$|~$/;

/** A tree in which directories come and go all the time is looked at this often, then taken as it is. */
const MAX_ROUNDS = 5;

/** Changes without a quiet moment are read after this many settle times. */
const MAX_SETTLES = 10;

interface ReadFile {
  readonly hash: string;
  readonly isEmpty: boolean;
  readonly file: SourceFile;
}

/**
 * Survives what editors do: atomic renames, truncate-and-write, delete-and-create. Rejects `start` with a MeshError
 * where a path does not exist or may not be read; the same later on is a problem, and what was read stays.
 */
export function createDirectorySource(options: DirectorySourceOptions): ConfigSource {
  const { runtime, paths, settleMs = 50, pollMs = 2000, parse = parseManifests } = options;
  const log = runtime.log.child("config");
  const named = new Set(paths.map((path) => join(path)));
  const watchers = new Map<string, FSWatcher>();
  let read = new Map<string, ReadFile>();
  let tell: ((files: readonly SourceFile[]) => void) | undefined;
  let settle: Timer | undefined;
  let poll: Timer | undefined;
  let firstTouchMs = 0;
  let isScanning = false;
  let isDirty = false;
  let suspiciouslyEmpty = new Set<string>();

  function touched(delayMs = settleMs): void {
    isDirty = true;
    if (tell === undefined || isScanning) return;
    const now = runtime.clock.monotonic();
    if (settle === undefined) firstTouchMs = now;
    settle?.cancel();
    // Something beside the manifests that is written all the time must not keep them from being read.
    const leftMs = firstTouchMs + settleMs * MAX_SETTLES - now;
    settle = runtime.clock.setTimer(Math.max(0, Math.min(delayMs, leftMs)), () => void rescan());
  }

  async function rescan(): Promise<void> {
    settle = undefined;
    isScanning = true;
    isDirty = false;
    try {
      const changed = await readAll(await watchedTree());
      if (changed) tell?.([...read.values()].map(({ file }) => file));
    } catch (error) {
      log.error("reading manifests failed", { error: String(error) });
    } finally {
      isScanning = false;
    }
    if (isDirty) touched(suspiciouslyEmpty.size > 0 ? settleMs * 4 : settleMs);
  }

  async function readAll(tree: ScannedTree): Promise<boolean> {
    const next = new Map<string, ReadFile>();
    const emptied = new Set<string>();
    for (const name of tree.files) {
      const before = read.get(name);
      const now = await readOne(name, before, parse);
      if (now === undefined) continue;
      if (now.isEmpty && before?.isEmpty === false && !suspiciouslyEmpty.has(name)) {
        // Many editors truncate first and write then: believe an emptied file at the second look.
        emptied.add(name);
        isDirty = true;
        next.set(name, before);
        continue;
      }
      next.set(name, now);
    }
    for (const { path, code } of tree.failures) keepUnreadable(path, code, next);
    const isSame = next.size === read.size && [...next].every(([name, { file }]) => read.get(name)?.file === file);
    suspiciouslyEmpty = emptied;
    read = next;
    return !isSame;
  }

  /** What stood below a path that can't be looked at any more stays in force, with a problem that says so. */
  function keepUnreadable(path: string, code: string, next: Map<string, ReadFile>): void {
    const isRoot = paths.includes(path);
    if (code === "ENOENT" && !isRoot) return;
    const below = [...read].filter(([name]) => name === path || name.startsWith(`${path}/`));
    const problem = unreadable(path, code);
    for (const [name, before] of below) {
      if (!next.has(name)) next.set(name, { ...before, hash: "", file: withProblem(before.file, problem) });
    }
    if (below.length === 0) {
      const known = read.get(path);
      const file: SourceFile = { name: path, objects: [], problems: [problem], isMalformed: true };
      next.set(path, known ?? { hash: "", isEmpty: false, file });
    }
  }

  /** What there is, looked at after everything in it is watched, so that no change falls between. */
  async function watchedTree(): Promise<ScannedTree> {
    let tree = await scanFiles(paths);
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      watchAll(tree);
      // oxlint-disable-next-line no-await-in-loop
      const again = await scanFiles(paths);
      const isStable = again.directories.join("\n") === tree.directories.join("\n");
      tree = again;
      if (isStable) break;
    }
    return tree;
  }

  function watchAll(tree: ScannedTree): void {
    const whole = new Set(tree.directories);
    // Of what stands around a path that was named, only the path itself matters.
    const around = [...paths, ...tree.files].map((path) => dirname(path));
    const wanted = new Set([...whole, ...around]);
    // All anew: a directory that was removed and made again is another one, which its old watcher does not hear.
    const before = [...watchers.values()];
    watchers.clear();
    for (const directory of wanted) watchDirectory(directory, whole.has(directory));
    for (const watcher of before) watcher.close();
  }

  function watchDirectory(directory: string, isWhole: boolean): void {
    const isOurs = (name: string | null): boolean => {
      if (name === null) return true;
      // `..data` is how Kubernetes swaps the files of a volume.
      return isWhole ? !passing.test(name) : named.has(join(directory, name)) || name.startsWith("..");
    };
    try {
      const watcher = watch(directory, (_, name) => {
        if (isOurs(name)) touched();
      });
      watcher.on("error", () => {
        watcher.close();
        touched();
      });
      watchers.set(directory, watcher);
    } catch (error) {
      startPolling(directory, codeOf(error));
    }
  }

  function startPolling(directory: string, code: string): void {
    if (poll !== undefined || code === "ENOENT") return;
    log.warning(`${directory} can't be watched (${code}); looking every ${pollMs / 1000} s instead`);
    const again = (): void => {
      poll = runtime.clock.setTimer(pollMs, () => {
        touched();
        again();
      });
    };
    again();
  }

  return {
    async start(onChange) {
      const tree = await scanFiles(paths);
      const [failure] = tree.failures;
      if (failure !== undefined) throw unreadablePath(failure.path, failure.code);
      tell = onChange;
      await readAll(await watchedTree());
      return [...read.values()].map(({ file }) => file);
    },
    close() {
      tell = undefined;
      settle?.cancel();
      poll?.cancel();
      for (const watcher of watchers.values()) watcher.close();
      watchers.clear();
    },
  };
}

/** The file as it is now; the same value as before when its content is the same; undefined when it is gone. */
async function readOne(
  name: string,
  before: ReadFile | undefined,
  parse: (text: string, file: string) => ParsedManifests,
): Promise<ReadFile | undefined> {
  let text: string;
  try {
    text = await readFile(name, "utf8");
  } catch (error) {
    const code = codeOf(error);
    if (code === "ENOENT") return undefined;
    const problem = unreadable(name, code);
    const file = before?.file ?? { name, objects: [], problems: [], isMalformed: true };
    return { hash: "", isEmpty: false, file: withProblem(file, problem) };
  }
  const hash = createHash("sha256").update(text).digest("base64");
  if (before?.hash === hash) return before;
  return { hash, isEmpty: text.trim() === "", file: { name, ...parse(text, name) } };
}

function withProblem(file: SourceFile, problem: Problem): SourceFile {
  if (file.problems.some(({ message }) => message === problem.message)) return file;
  return { ...file, problems: [...file.problems, problem] };
}

function unreadable(path: string, code: string): Problem {
  const source = { file: path, line: 1, column: 1 };
  return {
    code: "unreadable-file",
    level: "error",
    path: "",
    message: `${reason(path, code)} What was read before stays in force.`,
    source,
  };
}

function unreadablePath(path: string, code: string): MeshError {
  const known = code === "ENOENT" ? "missing-path" : "unreadable-path";
  return new MeshError(known, reason(path, code));
}

function reason(path: string, code: string): string {
  switch (code) {
    case "ENOENT":
      return `${path} does not exist; name a file or a directory that holds *.yaml, *.yml or *.json.`;
    case "EACCES":
    case "EPERM":
      return `${path} may not be read by this user; give it read permission (chmod u+r), for a directory also x.`;
    case "ELOOP":
      return `${path} is a link that leads back to itself.`;
    default:
      return `${path} can't be read (${code}).`;
  }
}
