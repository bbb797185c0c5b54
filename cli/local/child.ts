/** A child process of a local mesh: its own process group, output to a file, and an end that always comes. */
import { spawn, type ChildProcess } from "node:child_process";
import { openSync, closeSync, readFileSync } from "node:fs";

export interface ChildOptions {
  readonly name: string;
  readonly command: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** stdout and stderr go here, appended. */
  readonly logFile: string;
}

export interface Child {
  readonly name: string;
  readonly pid: number | undefined;
  readonly logFile: string;
  /** Resolves with what it ended by: `exit code 1`, `signal SIGKILL`, or why it could not be started. */
  readonly ended: Promise<string>;
  readonly hasEnded: boolean;
  signal(signal: NodeJS.Signals): void;
  /** SIGTERM to the whole group, SIGKILL after `graceMs`. Resolves when it is gone. */
  stop(graceMs: number): Promise<void>;
}

/**
 * Starts a child in a process group of its own, so that a Ctrl-C at the terminal reaches only the parent, which then
 * ends its children in order, and so that whatever the child started ends with it.
 */
export function startChild(options: ChildOptions): Child {
  const [file, ...args] = options.command;
  const log = openSync(options.logFile, "a", 0o600);
  const child: ChildProcess = spawn(file ?? "", args, {
    cwd: options.cwd,
    env: { ...options.env },
    detached: true,
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  let hasEnded = false;
  const ended = new Promise<string>((resolve) => {
    child.once("error", (error) => {
      hasEnded = true;
      resolve(`could not be started: ${error.message}`);
    });
    child.once("exit", (code, signal) => {
      hasEnded = true;
      resolve(signal === null ? `exit code ${code}` : `signal ${signal}`);
    });
  });
  const signalGroup = (signal: NodeJS.Signals): void => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, signal);
    } catch {
      // The group is gone already.
    }
  };
  return {
    name: options.name,
    logFile: options.logFile,
    get pid() {
      return child.pid;
    },
    get hasEnded() {
      return hasEnded;
    },
    ended,
    signal: signalGroup,
    async stop(graceMs) {
      if (!hasEnded) {
        // A stopped process (SIGSTOP) hears of SIGTERM only when it goes on.
        signalGroup("SIGTERM");
        signalGroup("SIGCONT");
        const kill = setTimeout(() => signalGroup("SIGKILL"), graceMs);
        await ended;
        clearTimeout(kill);
      }
      // What the child itself started may outlive it.
      signalGroup("SIGKILL");
    },
  };
}

/** The last lines of a child's log, for the message that says why it ended. */
export function lastLines(file: string, count: number): string {
  try {
    return readFileSync(file, "utf8").trimEnd().split("\n").slice(-count).join("\n");
  } catch {
    return "";
  }
}
