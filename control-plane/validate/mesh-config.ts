/** MeshConfig, from wherever it is written. */
import type { Problem } from "#lib/problem.ts";
import { meshConfigObject } from "../config/mesh-config-source.ts";
import type { MeshObject } from "../model/object.ts";
import { meshConfigLayers, readMeshConfig } from "../model/read-mesh-config.ts";

/** What is wrong with the mesh configuration that objects carry (IstioOperator, the ConfigMap `istio`), and with a file. */
export function meshConfigProblems(
  objects: readonly MeshObject[],
  file?: { readonly file: string; readonly text: string },
): readonly Problem[] {
  const written = file === undefined ? [] : meshConfigObject(file.text, file.file).objects;
  const { layers, problems } = meshConfigLayers([...objects, ...written]);
  return [...problems, ...readMeshConfig(layers).problems];
}
