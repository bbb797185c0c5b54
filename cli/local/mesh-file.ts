/**
 * How commands find a running mesh: each `up` and `run` keeps a file that says what runs where. It is named in the
 * environment of everything inside (`GLASSMESH_MESH`), and lies in one folder a user for everything beside.
 */
import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { userInfo, tmpdir } from "node:os";
import { join } from "node:path";
import { MeshError } from "#lib/problem.ts";
import type { PlannedServer } from "./planned.ts";
import type { PlacedAddress, PlacedInbound } from "#control-plane/model/proxy-node.ts";

export interface MeshFile {
  /** Process id of the `up` or `run` that owns the mesh. */
  readonly pid: number;
  readonly cwd: string;
  readonly startedAtMs: number;
  readonly paths: readonly string[];
  /** Logs, certificates and generated objects. */
  readonly directory: string;
  readonly trustDomain: string;
  readonly controlPlane: {
    readonly debug: PlacedAddress;
    readonly monitoring: PlacedAddress;
    readonly xds: PlacedAddress;
    readonly pid: number;
  };
  readonly workloads: readonly RunningWorkload[];
  readonly services: readonly RunningService[];
}

export interface RunningService {
  readonly name: string;
  readonly namespace: string;
  readonly endpoints: readonly { readonly servicePort: number; readonly address: string; readonly port: number }[];
}

export interface RunningWorkload {
  /** Name of its Deployment, StatefulSet or Pod. */
  readonly name: string;
  readonly namespace: string;
  readonly pod: string;
  readonly ip: string;
  readonly serviceAccount: string;
  /** Absent for a workload without a sidecar. */
  readonly sidecar?: RunningSidecar | undefined;
  readonly inbound: readonly PlacedInbound[];
  readonly app?: { readonly pid: number | undefined; readonly command: string } | undefined;
  /** Of a gateway: what it serves. */
  readonly servers?: readonly RunningServer[] | undefined;
}

/** One server of a Gateway, and where it is on this machine. */
export interface RunningServer extends PlannedServer {
  readonly bind: PlacedAddress;
}

export interface RunningSidecar {
  readonly spiffeId: string;
  readonly admin: PlacedAddress;
  readonly httpProxy: PlacedAddress;
  readonly callLog: string;
  readonly pid: number | undefined;
}

/** The folder of all running meshes of this user; `GLASSMESH_HOME` moves it. */
export function meshesDirectory(env: Readonly<Record<string, string | undefined>>): string {
  const home = env["GLASSMESH_HOME"];
  return join(home ?? join(tmpdir(), `glassmesh-${userInfo().uid}`), "meshes");
}

/** Writes the file whole (a reader never sees half of it). */
export function writeMeshFile(path: string, mesh: MeshFile): void {
  writeFileSync(`${path}.new`, `${JSON.stringify(mesh, undefined, 1)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** Reserves the path of this process's mesh file. */
export function meshFilePath(env: Readonly<Record<string, string | undefined>>, pid: number): string {
  const directory = meshesDirectory(env);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return join(directory, `${pid}.json`);
}

/**
 * The mesh that a command means: the one it runs inside, else the one started in this folder, else the newest.
 * Throws `MeshError("no-mesh")` when none runs.
 */
export function findMesh(env: Readonly<Record<string, string | undefined>>, cwd: string): MeshFile {
  const inside = env["GLASSMESH_MESH"];
  if (inside !== undefined && inside !== "") {
    const mesh = readMeshFile(inside);
    if (mesh !== undefined) return mesh;
    throw new MeshError(
      "no-mesh",
      `GLASSMESH_MESH names ${inside}, which is no mesh that runs; unset it, or start one with \`glassmesh up -f DIR\``,
    );
  }
  const running = listMeshes(env);
  const here = running.filter((mesh) => mesh.cwd === cwd);
  const newest = (here.length > 0 ? here : running).toSorted((a, b) => b.startedAtMs - a.startedAtMs)[0];
  if (newest === undefined) {
    throw new MeshError(
      "no-mesh",
      "no mesh runs here; start one with `glassmesh up -f DIR`, or use `glassmesh run -f DIR -- COMMAND`",
    );
  }
  return newest;
}

/** Every mesh of this user whose process is alive; files of dead ones are removed. */
function listMeshes(env: Readonly<Record<string, string | undefined>>): readonly MeshFile[] {
  const directory = meshesDirectory(env);
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch {
    return [];
  }
  const meshes: MeshFile[] = [];
  for (const name of names) {
    if (!name.endsWith(".json")) continue;
    const mesh = readMeshFile(join(directory, name));
    if (mesh === undefined) continue;
    if (isAlive(mesh.pid)) meshes.push(mesh);
    else rmSync(join(directory, name), { force: true });
  }
  return meshes;
}

function readMeshFile(path: string): MeshFile | undefined {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as MeshFile;
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

/** `payment-v1`, `payment-v1.shop` or a pod's name → the workload's first instance; throws `MeshError("unknown-workload")`. */
export function findWorkload(mesh: MeshFile, name: string): RunningWorkload {
  const dot = name.indexOf(".");
  const [plain, namespace] = dot < 0 ? [name, undefined] : [name.slice(0, dot), name.slice(dot + 1)];
  const inNamespace = mesh.workloads.filter((workload) => namespace === undefined || workload.namespace === namespace);
  const found =
    inNamespace.find((workload) => workload.pod === plain) ??
    inNamespace.find(
      (workload) => workload.name === plain && (namespace !== undefined || workload.namespace === "default"),
    ) ??
    inNamespace.find((workload) => workload.name === plain);
  if (found !== undefined) return found;
  const known = [...new Set(mesh.workloads.map((workload) => `${workload.name}.${workload.namespace}`))].toSorted();
  throw new MeshError("unknown-workload", `there is no workload "${name}" in this mesh; it has ${known.join(", ")}`);
}
