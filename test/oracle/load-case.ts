/** One folder of answers of a real istiod: the objects that it was given, and what it sent to each proxy. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { readProxies } from "#cli/offline/proxies.ts";
import { readMesh } from "#cli/offline/read-objects.ts";
import { injectedNode } from "#control-plane/model/injected-node.ts";
import type { MeshIndex } from "#control-plane/model/mesh-index.ts";
import { proxyNodeFrom, withMesh } from "#control-plane/model/proxy-node-from.ts";
import type { ProxyNode } from "#control-plane/model/proxy-node.ts";

export type Resource = Readonly<Record<string, unknown>>;

/** What was sent to one proxy. */
export interface Answer {
  readonly proxyName: string;
  readonly proxy: ProxyNode;
  readonly clusters: readonly Resource[];
  readonly endpoints: readonly Resource[];
  readonly listeners: readonly Resource[];
  readonly routes: readonly Resource[];
  readonly extensionConfigs: readonly Resource[];
  /** None or one. */
  readonly nameTables: readonly Resource[];
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

/** Translates as `glassmesh xds` does: from the manifests and the list of proxies alone. */
export async function loadCase(directory: string, name: string): Promise<OracleCase> {
  const folder = join(directory, name);
  const file = (text: string): string => join(folder, text);
  const mesh = await readMesh({
    paths: ["k8s.yaml", "config.yaml"].map(file).filter((path) => existsSync(path)),
    meshConfigFile: existsSync(file("mesh.yaml")) ? file("mesh.yaml") : undefined,
    clusters: readdirSync(folder).flatMap((entry) => {
      const cluster = /^k8s-(.+)\.yaml$/.exec(entry)?.[1];
      return cluster === undefined ? [] : [{ name: cluster, path: file(entry) }];
    }),
  });
  const answers: Answer[] = [];
  for (const proxy of await readProxies(file("proxies.yaml"), mesh)) {
    const said = proxyNodeFrom(injectedNode(mesh, proxy)).value;
    const path = file(`${proxy.name}.json`);
    if (said === undefined || !existsSync(path)) continue;
    const answer = JSON.parse(readFileSync(path, "utf8")) as Resource;
    answers.push({
      proxyName: proxy.name,
      proxy: withMesh(said, mesh).node,
      clusters: listOf(answer["clusters"]),
      endpoints: listOf(answer["endpoints"]),
      listeners: listOf(answer["listeners"]),
      routes: listOf(answer["routes"]),
      extensionConfigs: listOf(answer["extensionConfigs"]),
      nameTables:
        answer["nameTable"] === undefined ? [] : [{ name: "nameTable", ...(answer["nameTable"] as Resource) }],
    });
  }
  return { name, mesh, answers };
}

function listOf(value: unknown): readonly Resource[] {
  return Array.isArray(value) ? (value as readonly Resource[]) : [];
}
