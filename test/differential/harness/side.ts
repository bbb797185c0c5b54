/** One of the two proxies as a process, with its upstreams, its access log and its statistics. */
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { constants, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { spawnProxy } from "#proxy/testing/proxy-process.ts";
import { idIn } from "./bootstrap.ts";
import type { Case, Json } from "./case.ts";
import { startRecorder, type Recorder } from "./recorder.ts";
import { limitMs } from "./steps.ts";

export interface Side {
  readonly name: "envoy" | "ours";
  readonly recorder: Recorder;
  /** Of a listener, by its name. */
  port(listener: string): number;
  /** Access-log lines of a case, waiting until there are so many. */
  logs(id: string, count: number): Promise<readonly string[]>;
  /** A page of the admin interface. */
  admin(path: string): Promise<string>;
  /** A page that changes something. */
  post(path: string): Promise<string>;
  /** Every port replaced by its name. */
  named(text: string): string;
  stop(): Promise<void>;
}

export type Program = { readonly name: "envoy"; readonly binary: string } | { readonly name: "ours" };

/** Starts the program on the bootstrap and waits until it serves; a refusal throws with what it said. */
export async function startSide(
  program: Program,
  bootstrap: Json,
  caseOf: (id: string) => Case | undefined,
  moreArgs: readonly string[] = [],
): Promise<Side> {
  const folder = mkdtempSync(join(tmpdir(), `differential-${program.name}-`));
  const recorder = await startRecorder(caseOf);
  const log = join(folder, "log");
  execFileSync("mkfifo", [log]);
  const lines = new LogLines(log);
  const config = join(folder, "bootstrap.json");
  writeFileSync(config, substituted(bootstrap, recorder, log));
  const adminFile = join(folder, "admin");
  const args = ["-c", config, "--admin-address-path", adminFile, "--file-flush-interval-msec", "10", ...moreArgs];
  let said = "";
  const child = start(program, args);
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (said += text));
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const stop = async (): Promise<void> => {
    child.kill("SIGKILL");
    await ended;
    lines.close();
    await recorder.close();
    rmSync(folder, { recursive: true, force: true });
  };
  const until = async (holds: () => Promise<boolean> | boolean): Promise<void> => {
    while (!(await holds())) {
      if (child.exitCode !== null || child.signalCode !== null) {
        await stop();
        throw new Error(`${program.name} refused the bootstrap:\n${said.slice(0, 8000)}`);
      }
      await sleep(20);
    }
  };
  await until(() => existsSync(adminFile) && readFileSync(adminFile, "utf8") !== "");
  const base = `http://${readFileSync(adminFile, "utf8").trim()}`;
  const admin = async (path: string): Promise<string> => (await fetch(base + path)).text();
  const post = async (path: string): Promise<string> => (await fetch(base + path, { method: "POST" })).text();
  await until(async () => (await admin("/ready").catch(() => "")) === "LIVE\n");
  const ports = await listenerPorts(admin);
  const names = new Map<string, string>([
    ...[...recorder.ports].map(([name, port]) => [String(port), name] as const),
    ...[...ports].map(([name, port]) => [String(port), name] as const),
  ]);
  return {
    name: program.name,
    recorder,
    admin,
    post,
    stop,
    port(listener) {
      const port = ports.get(listener);
      if (port === undefined) throw new Error(`no listener ${listener}`);
      return port;
    },
    logs: (id, count) => lines.of(id, count),
    named: (text) => text.replaceAll(/(?<=:|x-forwarded-port: )\d{4,5}\b/g, (digits) => names.get(digits) ?? digits),
  };
}

function start(program: Program, args: readonly string[]): ChildProcess {
  if (program.name === "ours") return spawnProxy(args).child;
  const own = ["--concurrency", "1", "-l", "error", "--use-dynamic-base-id", "--disable-hot-restart"];
  return spawn(program.binary, [...args, ...own], { stdio: ["ignore", "ignore", "pipe"] });
}

function substituted(bootstrap: Json, recorder: Recorder, log: string): string {
  return JSON.stringify(bootstrap)
    .replaceAll("{log}", log)
    .replaceAll('"port:any"', "0")
    .replaceAll(/"port:(\w+)"/g, (_all, name: string) => {
      const port = [...recorder.ports].find(([backend]) => backend === name)?.[1];
      if (port === undefined) throw new Error(`no backend ${name}`);
      return String(port);
    });
}

async function listenerPorts(admin: (path: string) => Promise<string>): Promise<ReadonlyMap<string, number>> {
  const statuses = JSON.parse(await admin("/listeners?format=json")) as {
    readonly listener_statuses?: readonly {
      readonly name: string;
      readonly local_address?: { readonly socket_address?: { readonly port_value?: number } };
    }[];
  };
  return new Map(
    (statuses.listener_statuses ?? []).map(({ name, local_address }) => [
      name,
      local_address?.socket_address?.port_value ?? 0,
    ]),
  );
}

/** The access log is a pipe: a line is an event. */
class LogLines {
  readonly #socket: Socket;
  readonly #lines = new Map<string, string[]>();
  readonly #waiting = new Set<() => void>();
  #rest = "";

  constructor(path: string) {
    // Open for writing too, so that it has no end while nobody writes.
    this.#socket = new Socket({ fd: openSync(path, constants.O_RDWR | constants.O_NONBLOCK), writable: false });
    this.#socket.setEncoding("latin1").on("data", (text) => this.#add(String(text)));
    this.#socket.on("error", () => {});
  }

  #add(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      const id = idIn(line) ?? "unknown";
      const list = this.#lines.get(id) ?? [];
      list.push(line);
      this.#lines.set(id, list);
    }
    for (const look of this.#waiting) look();
  }

  of(id: string, count: number): Promise<readonly string[]> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => finish(), limitMs);
      const finish = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(look);
        resolve([...(this.#lines.get(id) ?? [])]);
      };
      const look = (): void => {
        if ((this.#lines.get(id)?.length ?? 0) >= count) finish();
      };
      this.#waiting.add(look);
      look();
    });
  }

  close(): void {
    this.#socket.destroy();
  }
}
