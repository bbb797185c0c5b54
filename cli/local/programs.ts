/** The programs of a mesh: their bundles while no source has changed since the install made them, else the sources. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export interface Programs {
  readonly controlPlane: string;
  readonly proxy: string;
  /** Starts a real Envoy. */
  readonly agent: string;
  readonly echo: string;
}

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export async function findPrograms(): Promise<Programs> {
  const bundle = (name: string): string => join(ROOT, "dist", name, "main.mjs");
  if (await isBuiltFromThis())
    return {
      controlPlane: bundle("control-plane"),
      proxy: bundle("proxy"),
      agent: bundle("agent"),
      echo: bundle("echo"),
    };
  return {
    controlPlane: join(ROOT, "control-plane", "main.ts"),
    proxy: join(ROOT, "proxy", "main.ts"),
    agent: join(ROOT, "proxy", "agent", "main.ts"),
    echo: join(ROOT, "cli", "echo", "main.ts"),
  };
}

async function isBuiltFromThis(): Promise<boolean> {
  try {
    const { sourceFingerprint } = await import("../../bin/source-fingerprint.mjs");
    return readFileSync(join(ROOT, "dist", "fingerprint"), "utf8") === sourceFingerprint(ROOT);
  } catch {
    return false;
  }
}
