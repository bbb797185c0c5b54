// Run by the install: each program of a mesh as one bundle in dist/, and Node's compile cache filled. A sidecar started so
// takes two thirds of the time and less memory. Nothing depends on it: cli/local/programs.ts uses a bundle only while no
// source has changed since, and runs the TypeScript otherwise.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { sourceFingerprint } from "./source-fingerprint.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, "dist");
const cache = join(root, "node_modules", ".cache", "glassmesh");

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < 24 || (major === 24 && minor < 12)) {
  console.warn(`the programs are not bundled: that takes Node 24.12, this is ${process.version}`);
  process.exit(0);
}

/** Packages that load files of their own, or are loaded rarely. */
const external = [/^@grpc\//, /^koffi/, /^undici/, /^prom-client/];

const programs = {
  proxy: "proxy/main.ts",
  agent: "proxy/agent/main.ts",
  "control-plane": "control-plane/main.ts",
  echo: "cli/echo/main.ts",
};
const fingerprint = sourceFingerprint(root);

rmSync(dist, { recursive: true, force: true });
const { rolldown } = await import("rolldown");
for (const [name, input] of Object.entries(programs)) {
  const bundle = await rolldown({ input: { main: join(root, input) }, cwd: root, platform: "node", external });
  await bundle.write({
    dir: join(dist, name),
    format: "esm",
    entryFileNames: "[name].mjs",
    chunkFileNames: "[name]-[hash].mjs",
    minify: { compress: false, mangle: false, codegen: { removeWhitespace: true } },
  });
  await bundle.close();
  mkdirSync(join(dist, name, "gen"), { recursive: true });
  for (const file of ["descriptors.binpb", "descriptors.json"]) {
    cpSync(join(root, "protos", "gen", file), join(dist, name, "gen", file));
  }
}
cpSync(join(root, "package.json"), join(dist, "package.json"));
writeFileSync(join(dist, "fingerprint"), fingerprint);

// Each program is compiled by being run to its first word.
const env = { ...process.env, NODE_COMPILE_CACHE: cache, PORTS: "" };
for (const [file, ...args] of [
  ["cli/main.ts", "version"],
  ["dist/proxy/main.mjs", "--version"],
  ["dist/control-plane/main.mjs", "--version"],
  ["dist/echo/main.mjs"],
]) {
  spawnSync(process.execPath, [join(root, file), ...args], { env, stdio: "ignore", timeout: 20_000 });
}
