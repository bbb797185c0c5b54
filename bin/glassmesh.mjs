#!/usr/bin/env node
// Starts the command line on a Node that can: the one that runs this, or the one pinned in package.json.
// Plain JavaScript for any Node since 20: older ones can't read TypeScript.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import * as nodeModule from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const { enableCompileCache } = nodeModule;
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const main = join(root, "cli", "main.ts");
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);

if (major > 24 || (major === 24 && minor >= 12)) {
  enableCompileCache?.(join(root, "node_modules", ".cache", "glassmesh"));
  const { runMain } = await import(main);
  await runMain(process.argv.slice(2));
} else {
  const pinned = [join(root, "node_modules", "node", "bin", "node"), join(root, "..", "node", "bin", "node")].find(
    (path) => existsSync(path),
  );
  if (pinned === undefined) {
    console.error(
      `glassmesh needs Node 24.12 or newer, this is ${process.version}; run \`npm ci\` here (it brings its own), or install a newer Node`,
    );
    process.exit(2);
  }
  const child = spawn(pinned, [main, ...process.argv.slice(2)], { stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("exit", (code, signal) => process.exit(code ?? (signal === null ? 1 : 128)));
}
