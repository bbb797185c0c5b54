/** A file with MeshConfig (no apiVersion, no kind), followed like manifests: it counts over what objects say. */
import type { Runtime } from "#lib/runtime.ts";
import { MESH_CONFIG_FILE } from "../model/read-mesh-config.ts";
import type { MeshObject } from "../model/object.ts";
import { createDirectorySource } from "./directory-source.ts";
import type { ParsedManifests } from "./parse-manifests.ts";
import type { ConfigSource } from "./source.ts";

export function createMeshConfigSource(runtime: Pick<Runtime, "clock" | "log">, file: string): ConfigSource {
  return createDirectorySource({ runtime, paths: [file], parse: meshConfigObject });
}

/** The text stands in an object of its own kind; it is read where all layers are put together. */
export function meshConfigObject(text: string, file: string): ParsedManifests {
  const location = { file, line: 1, column: 1 };
  const { group, kind } = MESH_CONFIG_FILE;
  const object: MeshObject = {
    apiVersion: `${group}/v1`,
    group,
    version: "v1",
    kind,
    metadata: { name: "mesh-config", namespace: "", labels: {}, annotations: {}, creationTimestamp: 0 },
    spec: {},
    raw: { data: { mesh: text } },
    source: { location, locate: () => location },
  };
  return { objects: [object], problems: [], isMalformed: false };
}
