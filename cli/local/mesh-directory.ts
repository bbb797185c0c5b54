/** The folder of one running mesh: where its certificates, tokens, bootstraps, generated objects and logs lie. */
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface MeshDirectory {
  readonly root: string;
  /** The control plane's state: CA, token key. */
  readonly state: string;
  /** Objects that a cluster would have made; the control plane reads them like manifests. */
  readonly generated: string;
  readonly logs: string;
  file(kind: "token" | "bootstrap" | "call-log" | "sidecar-log" | "app-log", pod: string, namespace: string): string;
  writePrivate(path: string, text: string): void;
  remove(): void;
}

export function createMeshDirectory(root: string): MeshDirectory {
  const folder = (name: string): string => {
    const path = join(root, name);
    mkdirSync(path, { recursive: true, mode: 0o700 });
    return path;
  };
  const [state, generated, logs, tokens, bootstraps] = [
    "control-plane",
    "generated",
    "logs",
    "tokens",
    "bootstraps",
  ].map(folder) as [string, string, string, string, string];
  return {
    root,
    state,
    generated,
    logs,
    file(kind, pod, namespace) {
      const name = `${pod}.${namespace}`;
      switch (kind) {
        case "token":
          return join(tokens, name);
        case "bootstrap":
          return join(bootstraps, `${name}.json`);
        case "call-log":
          return join(logs, `${name}.calls.json`);
        case "sidecar-log":
          return join(logs, `${name}.sidecar.log`);
        case "app-log":
          return join(logs, `${name}.app.log`);
      }
    },
    writePrivate(path, text) {
      writeFileSync(`${path}.new`, text, { mode: 0o600 });
      renameSync(`${path}.new`, path);
    },
    remove() {
      rmSync(root, { recursive: true, force: true });
    },
  };
}
