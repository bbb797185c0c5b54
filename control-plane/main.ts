/** The control plane as a process. */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { MeshError } from "#lib/problem.ts";
import { nodeRuntime } from "#lib/node-runtime.ts";
import { createDirectorySource } from "./config/directory-source.ts";
import { HELP, readFlags, type ControlPlaneFlags } from "./flags.ts";
import { createControlPlane } from "./server.ts";

async function main(): Promise<void> {
  const flags = readFlags(process.argv.slice(2), process.env);
  const version = packageVersion();
  if (flags.wantsHelp) process.stdout.write(HELP);
  else if (flags.wantsVersion) process.stdout.write(`${version}\n`);
  else await serve(flags, version);
}

async function serve(flags: ControlPlaneFlags, version: string): Promise<void> {
  const runtime = nodeRuntime({ logLevel: flags.logLevel });
  const log = runtime.log.child("main");
  const sources = [createDirectorySource({ runtime, paths: flags.paths })];
  const options = { ...flags.options, version, hasProcessMetrics: true };
  const controlPlane = createControlPlane({ runtime, sources, options });
  let isEnding = false;
  const end = (signal: string): void => {
    if (isEnding) process.exit(1);
    isEnding = true;
    log.info(`${signal}: ending`);
    controlPlane.close().then(
      () => process.exit(0),
      (error: unknown) => fail(error),
    );
  };
  process.on("SIGTERM", () => end("SIGTERM"));
  process.on("SIGINT", () => end("SIGINT"));
  const ports = await controlPlane.start();
  log.info("ready", { ...ports });
  if (flags.portsFile !== undefined) writePorts(flags.portsFile, { ...ports, pid: process.pid });
}

/** Whole or not at all: whoever waits for the file may read it as soon as it is there. */
function writePorts(file: string, ports: unknown): void {
  const draft = `${file}.${process.pid}`;
  try {
    writeFileSync(draft, `${JSON.stringify(ports)}\n`);
    renameSync(draft, file);
  } catch (error) {
    throw new MeshError(
      "ports-file-unwritable",
      `--ports-file ${file} can't be written: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

function packageVersion(): string {
  const text = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  const { version } = JSON.parse(text) as { readonly version: string };
  return version;
}

function fail(error: unknown): never {
  if (error instanceof MeshError) {
    process.stderr.write(`glassmesh control-plane: ${error.message}\n`);
    process.exit(2);
  }
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  process.exit(1);
}

main().catch(fail);
