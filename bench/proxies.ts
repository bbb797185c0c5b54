/** How each proxy is started with a bootstrap file, on one worker thread. */
import { execFileSync } from "node:child_process";
import { accessSync, constants, readdirSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export interface ProxyCommand {
  readonly name: "glassmesh" | "base" | "envoy";
  readonly command: (bootstrap: string) => readonly string[];
}

/** The proxy of this checkout, or that of another one: `base`. */
export function glassmeshCommand(base?: string): ProxyCommand {
  const main = join(base ?? join(dirname(fileURLToPath(import.meta.url)), ".."), "proxy", "main.ts");
  return {
    name: base === undefined ? "glassmesh" : "base",
    command: (file) => [process.execPath, main, "-c", file, "-l", "error"],
  };
}

/** The Envoy of `$ENVOY` or of the PATH; undefined when there is none. */
export function envoyCommand(): ProxyCommand | undefined {
  const binary = process.env["ENVOY"] ?? find("envoy");
  if (binary === undefined) return undefined;
  return {
    name: "envoy",
    command: (file) => [binary, "-c", file, "--concurrency", "1", "-l", "error", "--disable-hot-restart"],
  };
}

export function envoyVersion(envoy: ProxyCommand): string {
  const [binary = ""] = envoy.command("");
  return /version: \w+\/([\d.]+)\//.exec(execFileSync(binary, ["--version"], { encoding: "utf8" }))?.[1] ?? "unknown";
}

/** True when the PATH has it. */
export function isInstalled(name: string): boolean {
  return (process.env["PATH"] ?? "").split(":").some((folder) => isExecutable(join(folder, name)));
}

function find(name: string): string | undefined {
  for (const folder of (process.env["PATH"] ?? "").split(":")) {
    const path = join(folder, name);
    if (!isExecutable(path)) continue;
    // A version manager's shim would be measured in Envoy's place while it starts.
    return path.includes("/shims/") ? unshimmed(path) : realpathSync(path);
  }
  return undefined;
}

function unshimmed(shim: string): string | undefined {
  const versions = join(dirname(dirname(shim)), "versions");
  try {
    return readdirSync(versions)
      .map((version) => join(versions, version, "bin", "envoy"))
      .find(isExecutable);
  } catch {
    return undefined;
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
