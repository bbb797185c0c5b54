/** `kind: LocalMesh` (glassmesh.dev/v1alpha1): how workloads run on this machine. The cluster never sees it. */
import type { MeshObject } from "#control-plane/model/object.ts";
import { objectName } from "#control-plane/model/object.ts";
import type { Problem } from "#lib/problem.ts";

export interface LocalMesh {
  /** By Deployment name, or `namespace/name`. */
  readonly workloads: ReadonlyMap<string, LocalWorkload>;
  readonly traffic: readonly LocalTraffic[];
}

export interface LocalWorkload {
  /** Started in the folder of the file that names it. */
  readonly command?: readonly string[] | undefined;
  readonly cwd: string;
  /** `host:port` of a process that runs already, instead of a command. */
  readonly address?: string | undefined;
  readonly env: Readonly<Record<string, string>>;
}

export interface LocalTraffic {
  readonly from: string;
  readonly url: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Requests a second. */
  readonly rate: number;
}

export const LOCAL_MESH_GROUP = "glassmesh.dev";

/** Joins every LocalMesh object; later ones win by workload. Problems name the field; what is wrong is left out. */
export function readLocalMesh(objects: readonly MeshObject[]): { local: LocalMesh; problems: readonly Problem[] } {
  const workloads = new Map<string, LocalWorkload>();
  const traffic: LocalTraffic[] = [];
  const problems: Problem[] = [];
  for (const object of objects) {
    if (object.group !== LOCAL_MESH_GROUP || object.kind !== "LocalMesh") continue;
    const report = (path: string, message: string): void => {
      problems.push({
        code: "invalid-value",
        level: "error",
        path,
        message,
        object: objectName(object),
        source: object.source.locate(path),
      });
    };
    const spec = record(object.spec);
    for (const key of Object.keys(spec)) {
      if (key !== "workloads" && key !== "traffic")
        report(`spec.${key}`, `unknown field "${key}"; a LocalMesh has workloads and traffic`);
    }
    for (const [name, value] of Object.entries(record(spec["workloads"]))) {
      const workload = readWorkload(record(value), `spec.workloads.${name}`, object, report);
      if (workload !== undefined) workloads.set(name, workload);
    }
    const list = spec["traffic"] ?? [];
    if (!Array.isArray(list)) report("spec.traffic", "takes a list");
    else
      for (const [index, item] of list.entries()) readTraffic(record(item), `spec.traffic[${index}]`, traffic, report);
  }
  return { local: { workloads, traffic }, problems };
}

type Report = (path: string, message: string) => void;

function readWorkload(
  value: Readonly<Record<string, unknown>>,
  path: string,
  object: MeshObject,
  report: Report,
): LocalWorkload | undefined {
  for (const key of Object.keys(value)) {
    if (!["command", "address", "env", "cwd"].includes(key)) {
      report(`${path}.${key}`, `unknown field "${key}"; a workload has command, address, env and cwd`);
      return undefined;
    }
  }
  const command = value["command"];
  if (command !== undefined && !(typeof command === "string" || isTextList(command))) {
    report(`${path}.command`, "takes a list of words, or one string for the shell");
    return undefined;
  }
  const address = value["address"];
  if (address !== undefined && !(typeof address === "string" && /^\S+:\d+$/.test(address))) {
    report(`${path}.address`, "takes host:port of a process that runs already");
    return undefined;
  }
  if (command !== undefined && address !== undefined) {
    report(path, "has both command and address; keep one: a command is started here, an address runs already");
    return undefined;
  }
  const folder = object.source.location.file.replace(/[^/]*$/, "");
  return {
    command: typeof command === "string" ? ["/bin/sh", "-c", command] : command,
    cwd: typeof value["cwd"] === "string" ? `${folder}${value["cwd"]}` : folder,
    address,
    env: Object.fromEntries(Object.entries(record(value["env"])).map(([name, text]) => [name, String(text)])),
  };
}

function readTraffic(
  value: Readonly<Record<string, unknown>>,
  path: string,
  traffic: LocalTraffic[],
  report: Report,
): void {
  const { from, url, method, headers, rate } = value;
  if (typeof from !== "string") return report(`${path}.from`, "names the workload that sends");
  if (typeof url !== "string" || !url.startsWith("http://"))
    return report(`${path}.url`, "takes an http:// URL of a service");
  if (typeof rate !== "number" || !(rate > 0 && rate <= 10_000))
    return report(`${path}.rate`, "takes requests a second, more than 0 and at most 10000");
  traffic.push({
    from,
    url,
    rate,
    method: typeof method === "string" ? method : "GET",
    headers: Object.fromEntries(
      Object.entries(record(headers)).map(([name, text]) => [name.toLowerCase(), String(text)]),
    ),
  });
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : {};
}

function isTextList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === "string");
}
