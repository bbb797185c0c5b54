/** All sources together → the mesh as it is in force, and each later one. */
import type { Problem } from "#lib/problem.ts";
import { buildMeshIndex } from "../model/build-mesh-index.ts";
import type { MeshConfigLayer } from "../model/check-mesh-config.ts";
import { withShapeOf } from "../model/endpoint-change.ts";
import type { MeshIndex } from "../model/mesh-index.ts";
import type { MeshObject } from "../model/object.ts";
import { meshConfigLayers, readMeshConfig } from "../model/read-mesh-config.ts";
import { acceptObjects, nothingAccepted, type AcceptedConfig } from "./accept-objects.ts";
import type { ConfigSource, SourceFile } from "./source.ts";

export interface ConfigStoreOptions {
  /** Later sources count over earlier ones. */
  readonly sources: readonly ConfigSource[];
  /** Over what the mesh configuration says. */
  readonly trustDomain?: string | undefined;
  readonly validate: (object: MeshObject) => readonly Problem[];
  /** What the accepted objects say against each other. */
  readonly relate?: (objects: readonly MeshObject[]) => readonly Problem[];
  /** A new mesh is in force, or its findings have changed. */
  readonly onChange: (mesh: MeshIndex) => void;
}

export interface ConfigStore {
  /** The mesh in force; empty before `start`. */
  readonly mesh: MeshIndex;
  /** Reads all sources. Rejects with a MeshError when one of them can't be read at all. */
  start(): Promise<MeshIndex>;
  close(): void;
}

export function createConfigStore(options: ConfigStoreOptions): ConfigStore {
  const { sources, trustDomain } = options;
  const states = new Map<ConfigSource, readonly SourceFile[]>();
  const findings = new WeakMap<MeshObject, readonly Problem[]>();
  const goodLayers = new Map<string, MeshConfigLayer>();
  const flags: readonly MeshConfigLayer[] =
    trustDomain === undefined
      ? []
      : [{ values: { trustDomain }, origin: "--trust-domain", problemAt: () => ({ object: "--trust-domain" }) }];
  let accepted: AcceptedConfig = nothingAccepted;
  let mesh = buildMeshIndex([], readMeshConfig(flags).meshConfig);
  let objects: readonly MeshObject[] = [];
  let isStarted = false;

  function validate(object: MeshObject): readonly Problem[] {
    const known = findings.get(object);
    if (known !== undefined) return known;
    const found = options.validate(object);
    findings.set(object, found);
    return found;
  }

  function rebuild(): void {
    const files = sources.flatMap((source) => states.get(source) ?? []);
    accepted = acceptObjects(files, accepted, validate, { keepsRefusedPolicies: true });
    const written = meshConfigLayers(accepted.objects);
    const layerProblems: Problem[] = [...written.problems];
    const layers = written.layers.map((layer) => lastGoodOf(layer, layerProblems));
    const { meshConfig } = readMeshConfig([...layers, ...flags]);
    const before = { mesh, objects };
    const related = options.relate?.(accepted.objects) ?? [];
    const next = buildMeshIndex(accepted.objects, meshConfig, [...accepted.problems, ...layerProblems, ...related]);
    objects = accepted.objects;
    mesh = withShapeOf(before, { mesh: next, objects });
  }

  /** A layer with an error stays as it was; at the first reading its good fields count. */
  function lastGoodOf(layer: MeshConfigLayer, problems: Problem[]): MeshConfigLayer {
    const { problems: own } = readMeshConfig([layer]);
    problems.push(...own);
    if (own.some(({ level }) => level === "error")) return goodLayers.get(layer.origin) ?? layer;
    goodLayers.set(layer.origin, layer);
    return layer;
  }

  return {
    get mesh() {
      return mesh;
    },
    async start() {
      for (const source of sources) {
        // In their order, so that the first that can't be read is the one that is named.
        // oxlint-disable-next-line no-await-in-loop
        const initial = await source.start((files) => {
          states.set(source, files);
          if (!isStarted) return;
          rebuild();
          options.onChange(mesh);
        });
        if (!states.has(source)) states.set(source, initial);
      }
      isStarted = true;
      rebuild();
      return mesh;
    },
    close() {
      for (const source of sources) source.close();
    },
  };
}
