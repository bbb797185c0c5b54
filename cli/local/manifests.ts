/** The user's manifests as `up` needs them, followed as they change: the same reading as the control plane's. */
import { nodeRuntime } from "#lib/node-runtime.ts";
import type { Problem } from "#lib/problem.ts";
import { acceptObjects, nothingAccepted, type AcceptedConfig } from "#control-plane/config/accept-objects.ts";
import { createDirectorySource } from "#control-plane/config/directory-source.ts";
import type { MeshObject } from "#control-plane/model/object.ts";

export interface Manifests {
  /** What is in force: a broken edit keeps the last good objects of its file. */
  objects(): readonly MeshObject[];
  problems(): readonly Problem[];
  onChange(callback: () => void): void;
  close(): void;
}

/** Rejects with a `MeshError` when a path is missing or may not be read. */
export async function watchManifests(paths: readonly string[]): Promise<Manifests> {
  const source = createDirectorySource({ runtime: nodeRuntime({ logLevel: "warning" }), paths });
  const callbacks: (() => void)[] = [];
  let accepted: AcceptedConfig = nothingAccepted;
  const files = await source.start((next) => {
    accepted = acceptObjects(next, accepted, () => []);
    for (const callback of callbacks) callback();
  });
  accepted = acceptObjects(files, accepted, () => []);
  return {
    objects: () => accepted.objects,
    problems: () => accepted.problems,
    onChange: (callback) => void callbacks.push(callback),
    close: () => source.close(),
  };
}
