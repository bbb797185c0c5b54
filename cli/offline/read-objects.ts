/** Manifests read once: what a control plane would take of them, and what it would say. */
import { readFile } from "node:fs/promises";
import { MeshError, type Problem } from "#lib/problem.ts";
import { acceptObjects, nothingAccepted } from "#control-plane/config/accept-objects.ts";
import { meshConfigObject } from "#control-plane/config/mesh-config-source.ts";
import { parseManifests } from "#control-plane/config/parse-manifests.ts";
import { scanFiles } from "#control-plane/config/scan-files.ts";
import type { SourceFile } from "#control-plane/config/source.ts";
import { buildMeshIndex } from "#control-plane/model/build-mesh-index.ts";
import type { MeshIndex } from "#control-plane/model/mesh-index.ts";
import type { MeshObject } from "#control-plane/model/object.ts";
import { meshConfigLayers, readMeshConfig } from "#control-plane/model/read-mesh-config.ts";
import { podsFor } from "./generated-pods.ts";
import { validateObject, validateSemantics } from "#control-plane/validate/validate-object.ts";

export interface OfflineInput {
  /** Files and directories. */
  readonly paths: readonly string[];
  readonly meshConfigFile: string | undefined;
  /** Objects of other clusters: what Kubernetes has there; Istio's objects count only in the first cluster. */
  readonly clusters: readonly { readonly name: string; readonly path: string }[];
}

/** Rejects with a MeshError when a path is missing or may not be read. */
export async function readMesh(input: OfflineInput): Promise<MeshIndex> {
  const files = await readFiles(input.paths);
  if (input.meshConfigFile !== undefined) {
    files.push({
      name: input.meshConfigFile,
      ...meshConfigObject(await textOf(input.meshConfigFile), input.meshConfigFile),
    });
  }
  const accepted = acceptObjects(files, nothingAccepted, refusedByIstiod);
  const problems: Problem[] = [...accepted.problems];
  const remote: { clusterId: string; objects: readonly MeshObject[] }[] = [];
  for (const { name, path } of input.clusters) {
    // One after the other, so that the first that can't be read is the one that is named.
    // oxlint-disable-next-line no-await-in-loop
    const other = acceptObjects(await readFiles([path]), nothingAccepted, refusedByIstiod);
    problems.push(...other.problems);
    remote.push({ clusterId: name, objects: other.objects });
  }
  const written = meshConfigLayers(accepted.objects);
  const { meshConfig, problems: found } = readMeshConfig(written.layers);
  const all = [...problems, ...written.problems, ...found];
  const asWritten = buildMeshIndex(accepted.objects, meshConfig, all, remote);
  const pods = podsFor(accepted.objects, asWritten);
  return pods.length === 0 ? asWritten : buildMeshIndex([...accepted.objects, ...pods], meshConfig, all, remote);
}

async function readFiles(paths: readonly string[]): Promise<SourceFile[]> {
  const { files, failures } = await scanFiles(paths);
  const [failure] = failures;
  if (failure !== undefined) throw cannotRead(failure.path, failure.code);
  return Promise.all(files.map(async (name) => ({ name, ...parseManifests(await textOf(name), name) })));
}

async function textOf(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw cannotRead(path, (error as NodeJS.ErrnoException).code ?? String(error));
  }
}

function cannotRead(path: string, code: string): MeshError {
  return new MeshError("unreadable-path", `${path} can't be read (${code}); name a file or a directory of manifests.`);
}

/** Shapes that istiod itself can't read; the rest of a CRD's schema is the API server's business. */
const UNREADABLE: ReadonlySet<string> = new Set(["wrong-type", "unknown-api-version", "unknown-kind"]);

/** Findings where only what istiod refuses is an error: an unknown field is none to it. */
function refusedByIstiod(object: MeshObject): readonly Problem[] {
  const findings = validateObject(object);
  if (findings.some(({ code, level }) => level === "error" && UNREADABLE.has(code))) return findings;
  const semantic = new Set(
    validateSemantics(object)
      .filter(({ level }) => level === "error")
      .map(({ path, message }) => `${path}|${message}`),
  );
  return findings.map((problem) =>
    problem.level !== "error" || semantic.has(`${problem.path}|${problem.message}`)
      ? problem
      : { ...problem, level: "warning" },
  );
}
