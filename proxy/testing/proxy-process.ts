/** A proxy as a process of its own, for tests: started on a bootstrap, found through its admin interface. */
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { nodeRuntime } from "#lib/node-runtime.ts";

const MAIN = fileURLToPath(new URL("../main.ts", import.meta.url));

/** A folder for the files of one test, gone with it. */
export interface Workspace {
  readonly path: string;
  /** Writes a file (JSON unless it is text) and gives its path. */
  write(name: string, content: unknown): string;
  remove(): void;
}

export function workspace(): Workspace {
  const path = mkdtempSync(join(tmpdir(), "glassmesh-proxy-"));
  return {
    path,
    write(name, content) {
      const file = join(path, name);
      writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
      return file;
    },
    remove: () => rmSync(path, { recursive: true, force: true }),
  };
}

/** What a process has said when it ended. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningProcess {
  readonly pid: number;
  readonly child: ChildProcess;
  readonly stderr: string;
  kill(signal: NodeJS.Signals): void;
  readonly ended: Promise<Ended>;
}

/** Starts `proxy/main.ts` with these arguments. */
export function spawnProxy(args: readonly string[]): RunningProcess {
  const child = spawn(process.execPath, [MAIN, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    // Without it every start would strip the types of every file again.
    env: { ...process.env, NODE_COMPILE_CACHE: join(tmpdir(), "node-compile-cache") },
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const ended = new Promise<Ended>((resolve) => {
    child.once("close", (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
  return {
    pid: child.pid ?? 0,
    child,
    get stderr() {
      return stderr;
    },
    kill: (signal) => void child.kill(signal),
    ended,
  };
}

export interface RunningProxy extends RunningProcess {
  readonly admin: string;
  /** Asks a page of the admin interface. */
  get(path: string): Promise<Response>;
  text(path: string): Promise<string>;
  post(path: string): Promise<Response>;
  /** `ip:port` of a listener. */
  address(listener: string): Promise<string>;
}

/** Starts a proxy and waits until it is live (or, with `until: "admin"`, until its pages answer). */
export async function startProxy(
  files: Workspace,
  bootstrap: unknown,
  options: { readonly args?: readonly string[]; readonly until?: "live" | "admin" } = {},
): Promise<RunningProxy> {
  const config = files.write("bootstrap.yaml", bootstrap);
  const adminFile = join(files.path, "admin");
  rmSync(adminFile, { force: true });
  const running = spawnProxy(["-c", config, "--admin-address-path", adminFile, ...(options.args ?? [])]);
  const admin = await poll(running, () => (existsSync(adminFile) ? readFileSync(adminFile, "utf8") : ""));
  const get = (path: string): Promise<Response> => fetch(`http://${admin}${path}`);
  const text = async (path: string): Promise<string> => (await get(path)).text();
  if (options.until !== "admin") await poll(running, async () => (await text("/ready")) === "LIVE\n");
  return Object.assign(running, {
    admin,
    get,
    text,
    post: (path: string) => fetch(`http://${admin}${path}`, { method: "POST" }),
    // LIVE may come before the first listener does: a server that has none yet says so.
    async address(listener: string) {
      const line = await poll(running, async () =>
        (await text("/listeners")).split("\n").find((one) => one.startsWith(`${listener}::`)),
      );
      return line.slice(listener.length + 2);
    },
  });
}

/** Looks again and again until there is something, and fails when the process has ended. */
export async function poll<T>(running: RunningProcess, look: () => T | Promise<T>): Promise<NonNullable<T>> {
  const { clock } = nodeRuntime({ logLevel: "off" });
  for (;;) {
    if (running.child.exitCode !== null) {
      const { code, stderr } = await running.ended;
      throw new Error(`the proxy ended with code ${String(code)}:\n${stderr}`);
    }
    const found = await look();
    if (found !== undefined && found !== null && found !== "" && found !== false) return found;
    await new Promise<void>((resolve) => void clock.setTimer(10, resolve));
  }
}
