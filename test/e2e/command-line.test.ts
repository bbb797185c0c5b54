import { spawn, type ChildProcess } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { MeshFile } from "#cli/local/mesh-file.ts";
import { deployment, service } from "./mesh.ts";

const GLASSMESH = fileURLToPath(new URL("../../bin/glassmesh.mjs", import.meta.url));
const WAIT = { timeout: 60_000, interval: 50 };

const started: ChildProcess[] = [];
let home: string;
let directory: string;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "glassmesh-cli-"));
  directory = join(home, "manifests");
  mkdirSync(directory);
  writeFileSync(
    join(directory, "all.yaml"),
    deployment("client", { port: undefined }) + deployment("echo") + service("echo"),
  );
});

// A test that failed may have left its mesh: it ends before its folder goes.
afterEach(async () => {
  for (const child of started.splice(0)) child.kill("SIGKILL");
  await vi.waitFor(() => expect(meshProcesses()).toEqual([]), WAIT);
  rmSync(home, { recursive: true, force: true });
});

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function start(
  args: readonly string[],
  env: Record<string, string> = {},
): { child: ChildProcess; ended: Promise<Ended>; said: () => string } {
  const child = spawn(process.execPath, [GLASSMESH, ...args], {
    cwd: home,
    env: { ...process.env, GLASSMESH_HOME: home, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  started.push(child);
  let out = "";
  let err = "";
  child.stdout.on("data", (chunk) => (out += String(chunk)));
  child.stderr.on("data", (chunk) => (err += String(chunk)));
  const ended = new Promise<Ended>((resolve) => child.once("close", (code) => resolve({ code, out, err })));
  return { child, ended, said: () => out + err };
}

/** Every process that belongs to the mesh of this test. */
function meshProcesses(): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && name !== String(process.pid))
    .filter((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
        const environment = readFileSync(`/proc/${pid}/environ`, "utf8");
        return (
          !command.startsWith("glassmesh-test") &&
          environment.includes(`GLASSMESH_HOME=${home}`) &&
          !/State:\s+Z/.test(readFileSync(`/proc/${pid}/status`, "utf8"))
        );
      } catch {
        return false;
      }
    });
}

function meshFile(): MeshFile {
  const folder = join(home, "meshes");
  const name = readdirSync(folder).find((file) => file.endsWith(".json"));
  return JSON.parse(readFileSync(join(folder, name ?? ""), "utf8")) as MeshFile;
}

async function upAndReady(...args: string[]): Promise<ReturnType<typeof start>> {
  const started = start(["up", "-f", directory, ...args]);
  await vi.waitFor(() => expect(started.said()).toContain("the mesh is up"), WAIT);
  return started;
}

describe("glassmesh run", () => {
  test("runs the command inside the mesh and ends with its exit code", async () => {
    const script = `"$0" "$1" call --from client http://echo/ -n 10 --json && exit 7`;
    const { code, out } = await start([
      "run",
      "-f",
      directory,
      "--",
      "/bin/sh",
      "-c",
      script,
      process.execPath,
      GLASSMESH,
    ]).ended;
    expect(code).toBe(7);
    expect(JSON.parse(out)).toMatchObject({
      requests: 10,
      statuses: { "200": 10 },
      flags: { "-": 10 },
      workloads: { echo: 10 },
    });
    expect(meshProcesses()).toEqual([]);
  });

  test("works where only 127.0.0.1 is loopback", async () => {
    const script = `"$0" "$1" call --from client http://echo/ -n 10 --json`;
    const { code, out } = await start([
      "run",
      "-f",
      directory,
      "--loopback",
      "ports",
      "--",
      "/bin/sh",
      "-c",
      script,
      process.execPath,
      GLASSMESH,
    ]).ended;
    expect({ code, ...(JSON.parse(out) as object) }).toMatchObject({
      code: 0,
      statuses: { "200": 10 },
      workloads: { echo: 10 },
    });
  });

  test("a command that does not exist is named", async () => {
    const { code, err } = await start(["run", "-f", directory, "--", "no-such-command-here"]).ended;
    expect(code).toBe(2);
    expect(err).toContain("no-such-command-here could not be started");
  });
});

describe("glassmesh up", () => {
  test("prints who runs where, and Ctrl-C ends every child", async () => {
    const { child, ended, said } = await upAndReady();
    expect(said()).toMatch(
      /echo-0\.default +127\.\S+:8080 +spiffe:\/\/cluster\.local\/ns\/default\/sa\/echo +http:\/\/127\.0\.0\.1:\d+ +\d+ +\d+/,
    );
    child.kill("SIGINT");
    expect((await ended).code).toBe(0);
    expect(meshProcesses()).toEqual([]);
  });

  test("Ctrl-C ends children that are stopped, too", async () => {
    const { child, ended } = await upAndReady();
    for (const { sidecar, app } of meshFile().workloads) {
      for (const pid of [sidecar?.pid, app?.pid]) if (pid !== undefined) process.kill(pid, "SIGSTOP");
    }
    child.kill("SIGINT");
    expect((await ended).code).toBe(0);
    expect(meshProcesses()).toEqual([]);
  });

  test("Ctrl-C while it starts ends every child", async () => {
    const { child, ended } = start(["up", "-f", directory]);
    await vi.waitFor(() => expect(meshProcesses().length).toBeGreaterThan(2), WAIT);
    child.kill("SIGINT");
    await ended;
    await vi.waitFor(() => expect(meshProcesses()).toEqual([]), WAIT);
  });

  test("killed outright, its children still end", async () => {
    const { child, ended } = await upAndReady();
    child.kill("SIGKILL");
    await ended;
    await vi.waitFor(() => expect(meshProcesses()).toEqual([]), WAIT);
  });

  test("commands beside it find it by themselves", async () => {
    const { child, ended } = await upAndReady();
    const { code, out } = await start(["call", "--from", "client", "http://echo/", "--json"]).ended;
    expect({ code, ...(JSON.parse(out) as object) }).toMatchObject({ code: 0, workloads: { echo: 1 } });
    child.kill("SIGINT");
    await ended;
  });

  test("nonsense in a file is answered by file, line and field, and the mesh stays", async () => {
    const { child, ended, said } = await upAndReady();
    writeFileSync(
      join(directory, "rule.yaml"),
      "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: echo }\nspec:\n  hosts: [echo]\n  http:\n    - route: [{ destination: { host: echo }, wieght: 3 }]\n",
    );
    await vi.waitFor(
      () =>
        expect(said()).toMatch(/rule\.yaml:7:\d+: VirtualService default\/echo spec\.http\[0\]\.route\[0\]\.wieght/),
      WAIT,
    );
    expect(said()).toMatch(/weight/);
    expect((await start(["call", "--from", "client", "http://echo/"]).ended).code).toBe(0);
    child.kill("SIGINT");
    await ended;
  });
});

describe("misuse", () => {
  test.each([
    [["up", "-f", "nowhere"], /nowhere does not exist/],
    [["up"], /-f names the manifests/],
    [["up", "-f", ".", "--loopback", "round"], /--loopback takes auto, addresses or ports, not "round"/],
    [["up", "--shop", "--frobnicate"], /--frobnicate/],
    [["call", "http://x/"], /--from names the workload/],
    [["call", "--from", "a", "https://x/"], /write http:\/\//],
    [["call", "--from", "a", "http://x/", "-n", "none"], /--count takes a whole number of at least 1, not "none"/],
    [["call", "--from", "a", "http://x/"], /no mesh runs here; start one with `glassmesh up -f DIR`/],
    [["proxy-config", "nonsense", "a"], /not "nonsense"/],
    [["frobnicate"], /there is no command "frobnicate"/],
  ])("%j is answered by what is wrong and the way out", async (args, message) => {
    const { code, err } = await start(args).ended;
    expect(code).toBe(2);
    expect(err).toMatch(message);
  });

  test("an empty folder is answered by what to bring", async () => {
    const empty = join(home, "empty");
    mkdirSync(empty);
    const { code, err } = await start(["up", "-f", empty]).ended;
    expect(code).toBe(2);
    expect(err).toMatch(/has no Deployment, StatefulSet or Pod to run; bring Services and Deployments along/);
  });
});
