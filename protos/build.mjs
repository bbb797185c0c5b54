/**
 * Builds `gen/`: the one descriptor set of all wire types, from the .proto tree of the npm package
 * `@grpc/grpc-js-xds` and our own files in `own/`; with `--types` also TypeScript types for them. Does nothing
 * when up to date. Runs after `npm install` (descriptors) and as `npm run generate` (both).
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const here = import.meta.dirname ?? dirname(fileURLToPath(import.meta.url));
const gen = join(here, "gen");
const own = join(here, "own");
const require = createRequire(import.meta.url);

/** The folder of an installed package, whatever its `exports` show. */
function packageOf(name) {
  const found = require.resolve
    .paths(name)
    .map((folder) => join(folder, name))
    .find((folder) => existsSync(folder));
  if (found === undefined) throw new Error(`The package ${name} is not installed: run npm install.`);
  return found;
}

const deps = join(packageOf("@grpc/grpc-js-xds"), "deps");
const buf = join(packageOf("@bufbuild/buf"), "bin", "buf");

/** Old API versions are incomplete in the package, and some files import what nobody ships. */
const isLeftOut = (path) =>
  /(^|\/)v[12](alpha\d*)?\//.test(path) ||
  path === "envoy/service/metrics/v3/metrics_service.proto" ||
  path === "envoy/service/trace/v3/trace_service.proto";

const roots = [
  { from: join(deps, "envoy-api"), takes: (path) => path.startsWith("envoy/") && !isLeftOut(path) },
  { from: join(deps, "xds"), takes: () => true },
  {
    from: join(deps, "googleapis"),
    takes: (path) => /^google\/(api\/expr\/|rpc\/status|api\/(annotations|http))/.test(path),
  },
  { from: own, takes: () => true },
];

function protoFiles({ from, takes }) {
  return readdirSync(from, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".proto"))
    .map((entry) => relative(from, join(entry.parentPath ?? entry.path, entry.name)).replaceAll("\\", "/"))
    .filter(takes);
}

/** Says whether anything that goes in has changed since the last build. */
function fingerprint() {
  const hash = createHash("sha256");
  for (const name of ["@grpc/grpc-js-xds", "@bufbuild/buf", "@bufbuild/protobuf"]) {
    hash.update(`${name}@${JSON.parse(readFileSync(join(packageOf(name), "package.json"), "utf8")).version}\n`);
  }
  for (const file of ["build.mjs", "compact-descriptors.mjs", "added-fields.mjs"])
    hash.update(readFileSync(join(here, file)));
  for (const file of protoFiles({ from: own, takes: () => true }).sort()) {
    hash.update(file).update(readFileSync(join(own, file)));
  }
  return hash.digest("hex");
}

function isUpToDate(stamp, print) {
  return existsSync(stamp) && readFileSync(stamp, "utf8") === print;
}

function runBuf(args) {
  execFileSync(process.execPath, [buf, ...args], { cwd: gen, stdio: ["ignore", "inherit", "inherit"] });
}

async function buildDescriptors() {
  // Imported late: most runs find everything up to date.
  const { compactDescriptors } = await import("./compact-descriptors.mjs");
  // Two builds may run at once.
  const tree = join(gen, `tree.${process.pid}`);
  const raw = join(gen, `raw.${process.pid}.binpb`);
  rmSync(tree, { recursive: true, force: true });
  for (const root of roots) {
    for (const path of protoFiles(root)) {
      const to = join(tree, path);
      mkdirSync(dirname(to), { recursive: true });
      cpSync(join(root.from, path), to);
    }
  }
  runBuf(["build", tree, "--as-file-descriptor-set", "--exclude-source-info", "-o", raw]);
  const { set, index } = compactDescriptors(readFileSync(raw));
  writeAtomically("descriptors.json", JSON.stringify(index));
  writeAtomically("descriptors.binpb", set);
  rmSync(raw);
  rmSync(tree, { recursive: true, force: true });
}

function writeAtomically(name, content) {
  const partial = join(gen, `${name}.${process.pid}`);
  writeFileSync(partial, content);
  renameSync(partial, join(gen, name));
}

function buildTypes() {
  const plugin = join(packageOf("@bufbuild/protoc-gen-es"), "bin", "protoc-gen-es");
  const template = {
    version: "v2",
    plugins: [
      {
        local: [process.execPath, plugin],
        out: ".",
        opt: ["target=dts", "json_types=true", "import_extension=js"],
        strategy: "all",
      },
    ],
  };
  runBuf([
    "generate",
    "descriptors.binpb",
    "--template",
    JSON.stringify(template),
    "--include-imports",
    "--include-wkt",
  ]);
}

mkdirSync(gen, { recursive: true });
const print = fingerprint();
const stamp = join(gen, ".descriptors");
if (!isUpToDate(stamp, print)) {
  await buildDescriptors();
  writeFileSync(stamp, print);
}
if (process.argv.includes("--types")) {
  const typesStamp = join(gen, ".types");
  const plugin = JSON.parse(readFileSync(join(packageOf("@bufbuild/protoc-gen-es"), "package.json"), "utf8")).version;
  if (!isUpToDate(typesStamp, `${print} ${plugin}`)) {
    buildTypes();
    writeFileSync(typesStamp, `${print} ${plugin}`);
  }
}
