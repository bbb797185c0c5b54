/** What `up` and `run` share: read the manifests, start the mesh, follow changes, end everything. */
import { accessSync, constants, existsSync, mkdtempSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { MeshError, type Problem } from "#lib/problem.ts";
import { lastLines } from "./child.ts";
import { createIdentities } from "./identities.ts";
import { startGuard } from "./guard.ts";
import { readLocalMesh, type LocalMesh } from "./local-mesh.ts";
import { requireWorkloads, startMesh, type MeshRunner } from "./local-mesh-runner.ts";
import { watchManifests, type Manifests } from "./manifests.ts";
import { createMeshDirectory } from "./mesh-directory.ts";
import { meshesDirectory, meshFilePath } from "./mesh-file.ts";
import { planWorkloads } from "./plan.ts";
import { type Plan } from "./planned.ts";
import { findPrograms } from "./programs.ts";
import { DATA_PLANES } from "./sidecar-command.ts";
import type { SupervisionEvents } from "./supervised.ts";

export interface SessionOptions {
  readonly paths: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly loopback: string;
  readonly trustDomain: string;
  readonly workloadCertTtl: string | undefined;
  readonly cacerts: string | undefined;
  readonly logLevel: string;
  /** `glassmesh` or `envoy`. */
  readonly dataPlane: string;
  readonly events: SupervisionEvents;
  onProblems(problems: readonly Problem[]): void;
}

export interface MeshSession {
  readonly runner: MeshRunner;
  readonly local: LocalMesh;
  readonly meshFile: string;
  /** Processes were started or stopped because manifests changed. */
  onWorkloads(callback: (plan: Plan) => void): void;
  /** The last lines of every log, for the message that says why it did not come up. */
  lastWords(): string;
  stop(): Promise<void>;
}

export async function startSession(options: SessionOptions): Promise<MeshSession> {
  if (!["auto", "addresses", "ports"].includes(options.loopback)) {
    throw new MeshError("usage", `--loopback takes auto, addresses or ports, not "${options.loopback}"`);
  }
  const dataPlane = DATA_PLANES.find((name) => name === options.dataPlane);
  if (dataPlane === undefined) {
    throw new MeshError("usage", `--data-plane takes ${DATA_PLANES.join(" or ")}, not "${options.dataPlane}"`);
  }
  const paths = options.paths.map((path) => resolve(options.cwd, path));
  for (const path of paths) {
    if (!existsSync(path))
      throw new MeshError("no-such-path", `${path} does not exist; -f takes files and directories with manifests`);
  }
  const callbacks: ((plan: Plan) => void)[] = [];
  const manifests = await watchManifests(paths);
  const { plan, local, problems } = read(manifests);
  try {
    requireWorkloads(plan, options.paths, local, manifests.problems());
  } catch (error) {
    manifests.close();
    throw error;
  }
  options.onProblems(problems);

  const meshFile = meshFilePath(options.env, process.pid);
  const parent = dirname(meshesDirectory(options.env));
  mkdirSync(parent, { recursive: true, mode: 0o700 });
  const directory = createMeshDirectory(mkdtempSync(join(parent, "mesh-")));
  const guard = startGuard(join(directory.root, "process-groups"));
  const environment = childEnvironment(options.env, meshFile, parent);
  const runner = await startMesh(
    {
      paths,
      cwd: options.cwd,
      env: environment,
      directory,
      meshFile,
      guard,
      programs: await findPrograms(),
      identities: await createIdentities(directory.state, {
        trustDomain: options.trustDomain,
        cacerts: options.cacerts,
      }),
      shape: options.loopback as "auto" | "addresses" | "ports",
      trustDomain: options.trustDomain,
      workloadCertTtl: options.workloadCertTtl,
      cacerts: options.cacerts,
      logLevel: options.logLevel,
      dataPlane,
      events: options.events,
    },
    plan,
  );
  let current = JSON.stringify(plan);
  let following = Promise.resolve();
  const follow = async (): Promise<void> => {
    const next = read(manifests);
    options.onProblems(next.problems);
    if (JSON.stringify(next.plan) === current) return;
    current = JSON.stringify(next.plan);
    await runner.follow(next.plan);
    for (const callback of callbacks) callback(next.plan);
  };
  manifests.onChange(() => {
    following = following.then(follow);
  });
  return {
    runner,
    local,
    meshFile,
    onWorkloads: (callback) => void callbacks.push(callback),
    lastWords: () => {
      const logs = readdirSync(directory.logs).filter((name) => name.endsWith(".log"));
      return logs.map((name) => `${name}:\n${lastLines(join(directory.logs, name), 5)}`).join("\n");
    },
    async stop() {
      manifests.close();
      await following;
      await runner.stop();
      guard.release();
      rmSync(meshFile, { force: true });
      directory.remove();
    },
  };
}

function read(manifests: Manifests): { plan: Plan; local: LocalMesh; problems: readonly Problem[] } {
  const objects = manifests.objects();
  const { local, problems } = readLocalMesh(objects);
  return { plan: planWorkloads(objects, local), local, problems };
}

/** Children find this mesh, and share compiled code. */
function childEnvironment(
  env: SessionOptions["env"],
  meshFile: string,
  parent: string,
): Readonly<Record<string, string>> {
  const own: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) if (value !== undefined) own[name] = value;
  return {
    ...own,
    GLASSMESH_MESH: meshFile,
    NODE_COMPILE_CACHE: own["NODE_COMPILE_CACHE"] ?? compileCache(parent),
    // glibc keeps an arena a thread otherwise: some megabytes for each of many small processes.
    MALLOC_ARENA_MAX: own["MALLOC_ARENA_MAX"] ?? "2",
    PATH: `${dirname(process.execPath)}:${own["PATH"] ?? ""}`,
  };
}

/** The one that the install has filled, where it can be written to. */
function compileCache(fallback: string): string {
  const installed = fileURLToPath(new URL("../../node_modules/.cache/glassmesh", import.meta.url));
  try {
    accessSync(installed, constants.W_OK);
    return installed;
  } catch {
    return join(fallback, "compile-cache");
  }
}
