// Completes package-lock.json with the packages of other platforms that a package mirror does not have: `npm install`
// leaves them out there, and `npm ci` then refuses the file ("Missing: … from lock file"). Run it after an install.
import { readFileSync, writeFileSync } from "node:fs";

const systems = ["android", "darwin", "freebsd", "openbsd", "netbsd", "openharmony", "sunos", "aix", "win32", "linux"];
const processors = [
  ["riscv64", /riscv64/],
  ["arm64", /arm64|aarch64/],
  ["s390x", /s390x/],
  ["ppc64", /ppc64/],
  ["loong64", /loong64/],
  ["ia32", /ia32|i686/],
  ["x64", /x64|x86_64|amd64/],
  ["arm", /arm/],
];

const file = new URL("../package-lock.json", import.meta.url);
const lock = JSON.parse(readFileSync(file, "utf8"));
const { packages } = lock;
let added = 0;
for (const [path, parent] of Object.entries(packages)) {
  for (const [name, range] of Object.entries(parent.optionalDependencies ?? {})) {
    const nested = `${path === "" ? "" : `${path}/`}node_modules/${name}`;
    if (packages[nested] !== undefined || packages[`node_modules/${name}`] !== undefined) continue;
    packages[`node_modules/${name}`] = entryOf(name, range, parent.dev === true);
    added += 1;
  }
}
lock.packages = Object.fromEntries(Object.entries(packages).toSorted(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(file, `${JSON.stringify(lock, undefined, 2)}\n`);
console.log(`${added} packages added`);

function entryOf(name, range, isDev) {
  const word = name.split("/").at(-1).replace("windows", "win32");
  const isWasm = /wasm32|wasi/.test(word);
  const os = isWasm ? undefined : systems.find((system) => word.includes(system));
  const cpu = isWasm ? "wasm32" : processors.find(([, pattern]) => pattern.test(word))?.[0];
  const libc = word.includes("musl") ? "musl" : os === "linux" && word.includes("gnu") ? "glibc" : undefined;
  return {
    version: range.replace(/^[\^~]/, ""),
    ...(cpu === undefined ? {} : { cpu: [cpu] }),
    ...(libc === undefined ? {} : { libc: [libc] }),
    ...(isDev ? { dev: true } : {}),
    optional: true,
    ...(os === undefined ? {} : { os: [os] }),
  };
}
