/** Starting, watching and ending the processes of a run, and reading what CPU they took. */
import { spawn, type ChildProcess } from "node:child_process";
import { openSync, readFileSync } from "node:fs";
import { connect, createServer, type AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export interface Running {
  readonly pid: number;
  stop(): Promise<void>;
}

/** Starts a command with its output in `logFile`; ready when `port` accepts. */
export async function start(
  command: readonly string[],
  port: number,
  logFile: string,
  env: NodeJS.ProcessEnv = {},
): Promise<Running> {
  const [program, ...args] = command;
  if (program === undefined) throw new Error("no command");
  const out = openSync(logFile, "a");
  const child = spawn(program, args, { stdio: ["ignore", out, out], env: { ...process.env, ...env } });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${program} did not start`);
  const deadline = Date.now() + 20_000;
  while (!(await accepts(port))) {
    if (child.exitCode !== null) throw new Error(`${program} ended with ${child.exitCode}; see ${logFile}`);
    if (Date.now() > deadline) throw new Error(`${program} does not listen on ${port} after 20 s; see ${logFile}`);
    await sleep(50);
  }
  return { pid, stop: () => stop(child) };
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill("SIGTERM");
  const killer = setTimeout(() => child.kill("SIGKILL"), 3000);
  await ended;
  clearTimeout(killer);
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** A port that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

/** User and system time of all threads of a process, in µs. */
export function cpuMicroseconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * microsecondsPerTick;
}

/** Linux counts in USER_HZ, which is 100 everywhere. */
const microsecondsPerTick = 10_000;

/** Resident memory, MB. */
export function residentMegabytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
}
