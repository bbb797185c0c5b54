/** One folder of answers of a real istiod: the objects that it was given, and what it sent to each proxy. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { parseManifests } from "#control-plane/config/parse-manifests.ts";
import { buildMeshIndex } from "#control-plane/model/build-mesh-index.ts";
import type { MeshIndex } from "#control-plane/model/mesh-index.ts";
import type { MeshObject } from "#control-plane/model/object.ts";
import { proxyNodeFrom, withMesh, type NodeMessage } from "#control-plane/model/proxy-node-from.ts";
import type { ProxyNode } from "#control-plane/model/proxy-node.ts";
import { readMeshConfig } from "#control-plane/model/read-mesh-config.ts";

export type Resource = Readonly<Record<string, unknown>>;

/** What was sent to one proxy. */
export interface Answer {
  readonly proxyName: string;
  readonly proxy: ProxyNode;
  readonly clusters: readonly Resource[];
  readonly endpoints: readonly Resource[];
  readonly listeners: readonly Resource[];
  readonly routes: readonly Resource[];
}

export interface OracleCase {
  readonly name: string;
  readonly mesh: MeshIndex;
  readonly answers: readonly Answer[];
}

/** Names of the cases of a directory laid out as the oracle's. */
export function caseNames(directory: string): readonly string[] {
  return readdirSync(directory)
    .filter((name) => statSync(join(directory, name)).isDirectory() && existsSync(join(directory, name, "k8s.yaml")))
    .toSorted();
}

export function loadCase(directory: string, name: string): OracleCase {
  const folder = join(directory, name);
  const mesh = meshOf(folder);
  const answers: Answer[] = [];
  for (const file of readdirSync(folder).toSorted()) {
    if (!file.endsWith(".json")) continue;
    const answer = JSON.parse(readFileSync(join(folder, file), "utf8")) as Resource;
    if (answer["node"] === undefined || answer["clusters"] === undefined) continue;
    const said = proxyNodeFrom(answer["node"] as NodeMessage).value;
    if (said === undefined) continue;
    answers.push({
      proxyName: file.replace(/\.json$/, ""),
      proxy: withMesh(said, mesh).node,
      clusters: listOf(answer["clusters"]),
      endpoints: listOf(answer["endpoints"]),
      listeners: listOf(answer["listeners"]),
      routes: listOf(answer["routes"]),
    });
  }
  return { name, mesh, answers };
}

function meshOf(folder: string): MeshIndex {
  const refused = refusedObjects(folder);
  const latest = new Map<string, MeshObject>();
  for (const file of ["k8s.yaml", "config.yaml"]) {
    for (const object of parseManifests(readText(join(folder, file)), file).objects) {
      const key = `${object.kind}/${object.metadata.namespace}/${object.metadata.name}`;
      if (!refused.has(key)) latest.set(key, object);
    }
  }
  const values = (parse(readText(join(folder, "mesh.yaml"))) ?? {}) as Readonly<Record<string, unknown>>;
  const { meshConfig } = readMeshConfig([{ values, origin: "mesh.yaml", problemAt: () => ({}) }]);
  return buildMeshIndex([...latest.values()], meshConfig);
}

interface Verdict {
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
  readonly accepted: boolean;
}

/** Objects that istiod's validation refuses were not given to it. */
function refusedObjects(folder: string): ReadonlySet<string> {
  const verdicts = JSON.parse(readText(join(folder, "validate.json")) || "[]") as readonly Verdict[] | null;
  const refused = new Set<string>();
  for (const verdict of verdicts ?? []) {
    const key = `${verdict.kind}/${verdict.namespace ?? "default"}/${verdict.name}`;
    if (!verdict.accepted) refused.add(key);
    else refused.delete(key);
  }
  return refused;
}

function readText(path: string): string {
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}

function listOf(value: unknown): readonly Resource[] {
  return Array.isArray(value) ? (value as readonly Resource[]) : [];
}
