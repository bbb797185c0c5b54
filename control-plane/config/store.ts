/** All sources together → the mesh as it is in force, and each later one. */
import { readFileSync } from "node:fs";
import { MeshError, type Problem } from "#lib/problem.ts";
import { buildMeshIndex } from "../model/build-mesh-index.ts";
import type { MeshIndex } from "../model/mesh-index.ts";
import type { MeshObject } from "../model/object.ts";
import { layerOfText, meshConfigLayers, readMeshConfig, type MeshConfigLayer } from "../model/read-mesh-config.ts";
import { acceptObjects, nothingAccepted, type AcceptedConfig } from "./accept-objects.ts";
import { codeOf } from "./scan-files.ts";
import type { ConfigSource, SourceFile } from "./source.ts";

export interface ConfigStoreOptions {
  /** Later sources count over earlier ones. */
  readonly sources: readonly ConfigSource[];
  /** A MeshConfig file, over what objects say. */
  readonly meshConfigFile?: string | undefined;
  /** Over everything else. */
  readonly trustDomain?: string | undefined;
  readonly validate: (object: MeshObject) => readonly Problem[];
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
  const { sources } = options;
  const states = new Map<ConfigSource, readonly SourceFile[]>();
  const findings = new WeakMap<MeshObject, readonly Problem[]>();
  const fixedLayers = fixedMeshConfigLayers(options);
  let accepted: AcceptedConfig = nothingAccepted;
  let mesh = buildMeshIndex([], readMeshConfig(fixedLayers).meshConfig);
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
    accepted = acceptObjects(files, accepted, validate);
    const fromObjects = meshConfigLayers(accepted.objects);
    const { meshConfig, problems } = readMeshConfig([...fromObjects.layers, ...fixedLayers]);
    mesh = buildMeshIndex(accepted.objects, meshConfig, [...accepted.problems, ...fromObjects.problems, ...problems]);
  }

  return {
    get mesh() {
      return mesh;
    },
    async start() {
      for (const source of sources) {
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

function fixedMeshConfigLayers(options: ConfigStoreOptions): readonly MeshConfigLayer[] {
  const layers: MeshConfigLayer[] = [];
  const { meshConfigFile, trustDomain } = options;
  if (meshConfigFile !== undefined) {
    const read = layerOfText(readMeshFile(meshConfigFile), meshConfigFile, () => ({
      object: undefined,
      source: { file: meshConfigFile, line: 1, column: 1 },
    }));
    if (read.problems.length > 0) {
      throw new MeshError(
        "invalid-mesh-config",
        `${meshConfigFile}: ${read.problems[0]?.message ?? ""}`,
        read.problems,
      );
    }
    if (read.layer !== undefined) layers.push(read.layer);
  }
  if (trustDomain !== undefined) {
    layers.push({ values: { trustDomain }, origin: "--trust-domain", problemAt: () => ({ object: "--trust-domain" }) });
  }
  return layers;
}

function readMeshFile(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new MeshError(
      "unreadable-mesh-config",
      `the mesh configuration ${file} can't be read (${codeOf(error)}); name a YAML file with MeshConfig fields.`,
    );
  }
}
