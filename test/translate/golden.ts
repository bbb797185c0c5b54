/**
 * A golden: `in.yaml` says what it shows, for which proxy, and holds the objects that make the difference;
 * `out.yaml` is what translation makes of them. The mesh around is `market.yaml`.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseAllDocuments, stringify } from "yaml";
import { parseManifests } from "#control-plane/config/parse-manifests.ts";
import { buildMeshIndex } from "#control-plane/model/build-mesh-index.ts";
import { proxyNodeFrom, withMesh } from "#control-plane/model/proxy-node-from.ts";
import type { MeshIndex } from "#control-plane/model/mesh-index.ts";
import type { ProxyNode } from "#control-plane/model/proxy-node.ts";
import { readMeshConfig } from "#control-plane/model/read-mesh-config.ts";
import { createTranslator } from "#control-plane/translate/translator.ts";
import type { ProxyConfigSnapshot, ResourceJson } from "#control-plane/translate/types.ts";
import { STOCK_EXTENSIONS } from "./envoy-bootstrap.ts";

/** The first document of `in.yaml`. */
export interface Header {
  /** The rule, in one sentence. */
  readonly shows: string;
  /** `buyer-1.market` */
  readonly proxy: string;
  /** MeshConfig. */
  readonly mesh?: Readonly<Record<string, unknown>>;
  /** `clusters outbound|80||x: outlierDetection lbPolicy`; without fields the names of all of a type. */
  readonly look: readonly string[];
  readonly interception?: "REDIRECT" | "TPROXY" | "NONE";
  /** `router`: a gateway. */
  readonly type?: "sidecar" | "router";
  /** Of the node, beside what every proxy has. */
  readonly metadata?: Readonly<Record<string, unknown>>;
  /** Extensions that the proxy has not. */
  readonly without?: readonly string[];
  /** False: the proxy does not say which extensions it has, as Istio's own. */
  readonly isStock?: boolean;
}

type ResourceType = "clusters" | "endpoints" | "listeners" | "routes";

export interface Golden {
  readonly header: Header;
  readonly mesh: MeshIndex;
  readonly proxy: ProxyNode;
  readonly snapshot: ProxyConfigSnapshot;
}

const MARKET = fileURLToPath(new URL("market.yaml", import.meta.url));

/** Filters that only Istio's proxy has are left out, to keep the goldens to the point. */
export function readGolden(path: string): Golden {
  const text = readFileSync(path, "utf8");
  const [first] = parseAllDocuments(text);
  const header = first?.toJS() as Header;
  const rest = text.slice(text.indexOf("\n---\n") + 1);
  const objects = [
    ...parseManifests(readFileSync(MARKET, "utf8"), "market.yaml").objects,
    ...(text.includes("\n---\n") ? parseManifests(rest, "in.yaml").objects : []),
  ];
  const layer = { values: header.mesh ?? {}, origin: "mesh", problemAt: () => ({}) };
  const mesh = buildMeshIndex(objects, readMeshConfig([layer]).meshConfig);
  const proxy = proxyOf(header, mesh);
  return { header, mesh, proxy, snapshot: createTranslator().snapshot(mesh, proxy) };
}

export function proxyOf(
  header: Pick<Header, "proxy" | "type" | "interception" | "metadata" | "without" | "isStock">,
  mesh: MeshIndex,
): ProxyNode {
  const [name = "", namespace = ""] = header.proxy.split(".");
  const workload = mesh.workload(namespace, name);
  const address = workload?.addresses[0] ?? "";
  const said = proxyNodeFrom({
    id: `${header.type ?? "sidecar"}~${address}~${header.proxy}~${namespace}.svc.cluster.local`,
    metadata: {
      CLUSTER_ID: "Kubernetes",
      MESH_ID: "cluster.local",
      INTERCEPTION_MODE: header.interception ?? "REDIRECT",
      ...header.metadata,
    },
    extensions: header.isStock === false ? undefined : stockExtensions(header.without),
  }).value;
  if (said === undefined) throw new Error(`${header.proxy} is no proxy`);
  return withMesh(said, mesh).node;
}

function stockExtensions(without: readonly string[] = []): readonly { readonly name: string }[] {
  return [...STOCK_EXTENSIONS].filter((name) => !without.includes(name)).map((name) => ({ name }));
}

/** What the header looks at, as YAML. */
export function outputOf({ header, snapshot }: Golden): string {
  const shown: Record<string, unknown> = {};
  for (const look of header.look) shown[look] = lookAt(snapshot, look);
  if (snapshot.problems.length > 0) {
    shown["problems"] = snapshot.problems.map(({ level, code, object, path }) =>
      `${level} ${code} ${object ?? ""} ${path}`.trim(),
    );
  }
  return `# ${header.shows}\n${stringify(shown, { lineWidth: 110, aliasDuplicateObjects: false })}`;
}

function lookAt(snapshot: ProxyConfigSnapshot, look: string): unknown {
  if (look.startsWith("problem")) return snapshot.problems.map(({ message }) => message);
  const [, type = "", name = "", fields = ""] = /^(\w+)(?: ([^ ]+))?(?:: (.*))?$/.exec(look) ?? [];
  const all = snapshot[type as ResourceType] as readonly ResourceJson[] | undefined;
  if (all === undefined) throw new Error(`"${look}" looks at no type of resource`);
  if (name === "") return all.map((resource) => resource["name"] ?? resource["clusterName"]);
  const resource = all.find((candidate) => (candidate["name"] ?? candidate["clusterName"]) === name);
  if (resource === undefined) return "absent";
  const paths = fields.split(" ").filter((field) => field !== "");
  if (paths.length === 0) return resource;
  return Object.fromEntries(paths.map((path) => [path, at(resource, stepsOf(path))]));
}

/** `a.b`, `list[]` for every item, `list[name]` for the item of that name; dots inside brackets do not part. */
function at(value: unknown, steps: readonly string[]): unknown {
  const [step, ...rest] = steps;
  if (step === undefined) return value ?? "absent";
  const [, key = "", item] = /^([^[]*)(?:\[(.*)\])?$/.exec(step) ?? [];
  const inner = (value as ResourceJson | undefined)?.[key];
  if (item === undefined) return at(inner, rest);
  const list = (inner ?? []) as readonly ResourceJson[];
  if (item === "") return list.map((entry) => at(entry, rest));
  const named = list.find((entry) => entry["name"] === item);
  if (named === undefined) throw new Error(`${key} has nothing that is called ${item}`);
  return at(named, rest);
}

function stepsOf(path: string): readonly string[] {
  return path.match(/[^.[]+(?:\[[^\]]*\])?/g) ?? [];
}
