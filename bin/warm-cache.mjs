// Run by the install: has Node compile every module once and keep the result, so that the first start of a mesh (twenty
// processes at a time) neither strips types nor parses. Nothing depends on it: a module that changed is compiled anew.
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { createRequire, enableCompileCache, flushCompileCache } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const cache = join(root, "node_modules", ".cache", "glassmesh");

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < 24 || (major === 24 && minor < 12)) process.exit(0);

enableCompileCache(cache);
const modules = globSync("{lib,protos,certs,proxy,control-plane,cli}/**/*.ts", {
  cwd: root,
  exclude: ["protos/gen/**"],
});
for (const file of modules) {
  if (/(\.test|\/main)\.ts$|\/testing\//.test(file)) continue;
  try {
    await import(pathToFileURL(join(root, file)).href);
  } catch {
    // Test helpers may want what is not installed; they are not for running.
  }
}
createRequire(import.meta.url)("@grpc/grpc-js");
flushCompileCache();

// The programs themselves: each is compiled by being run to its first word.
const env = { ...process.env, NODE_COMPILE_CACHE: cache, PORTS: "" };
for (const [file, ...args] of [
  ["cli/main.ts", "version"],
  ["proxy/main.ts", "--version"],
  ["control-plane/main.ts", "--version"],
  ["cli/echo/main.ts"],
]) {
  spawnSync(process.execPath, [join(root, file), ...args], { env, stdio: "ignore", timeout: 20_000 });
}
