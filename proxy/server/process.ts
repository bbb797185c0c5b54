/** Shell: arguments, files, signals and exit codes around one proxy. */
import { createWriteStream, writeFileSync } from "node:fs";
import { formatAddress } from "#lib/connection.ts";
import { nodeRuntime } from "#lib/node-runtime.ts";
import { formatProblem, MeshError, type Problem } from "#lib/problem.ts";
import type { Logger, Runtime } from "#lib/runtime.ts";
import { parseCommandLine, USAGE, type ProxyOptions } from "../options.ts";
import { createProxyServer, type ProxyServer } from "../server.ts";
import { componentLoggers } from "./loggers.ts";
import { parseBootstrapText, readBootstrapText } from "./read-bootstrap.ts";
import { settleAtRest } from "./settle-at-rest.ts";
import { VERSION } from "./version.ts";

/** Exit codes as Envoy's: 0 for an orderly end, 1 for everything that keeps it from serving. */
const FAILED = 1;

/** Runs until the proxy has ended, then sets the exit code. `main`: the program itself, which workers are started with. */
export async function runProxy(args: readonly string[], main: URL): Promise<void> {
  const command = parseCommandLine(args);
  switch (command.kind) {
    case "help":
      process.stdout.write(USAGE);
      return;
    case "version":
      process.stdout.write(`\nglassmesh proxy  version: ${VERSION}\n\n`);
      return;
    case "wrong":
      process.stderr.write(`${command.message}\n`);
      process.exitCode = FAILED;
      return;
    case "run":
      process.exitCode = await run(command.options, command.notes, main);
  }
}

async function run(options: ProxyOptions, notes: readonly string[], main: URL): Promise<number> {
  const writeLog = logWriter(options);
  const runtime = nodeRuntime({ logLevel: options.logLevel, writeLog });
  const { log } = runtime;
  componentLoggers(log, options.componentLogLevels);
  for (const note of notes) log.info(note);
  const text = readBootstrapText(options);
  const bootstrap = text.problems.length > 0 ? { problems: text.problems } : parseBootstrapText(text.value, options);
  const name = options.configPath === "" ? "--config-yaml" : options.configPath;
  for (const problem of bootstrap.problems.filter(({ level }) => level !== "error"))
    log.warning(formatProblem(problem));
  if (bootstrap.value === undefined) return refuse(name, bootstrap.problems);
  let server: ProxyServer;
  try {
    if (options.concurrency > 1 && options.mode === "serve") {
      const { createWorkersServer } = await import("../workers/workers-server.ts");
      const program = { main, text: text.value, writeLog, onCrash };
      server = await createWorkersServer({ runtime, bootstrap: bootstrap.value, options, ...program });
    } else server = await createProxyServer({ runtime, bootstrap: bootstrap.value, options });
  } catch (error) {
    return refuse(name, error);
  }
  if (options.mode === "validate") {
    await server.stop();
    process.stdout.write(`configuration '${name}' OK\n`);
    return 0;
  }
  return serve(server, options, runtime, name);
}

async function serve(server: ProxyServer, options: ProxyOptions, runtime: Runtime, name: string): Promise<number> {
  const { log } = runtime;
  const ended = waitForEnd(server, log);
  let failure: unknown;
  server.live.then(
    () => settleAtRest(runtime.clock.wheel),
    (error: unknown) => {
      failure = error;
      return server.stop();
    },
  );
  try {
    await server.start();
    if (options.adminAddressPath !== "" && server.adminAddress !== undefined)
      writeFileSync(options.adminAddressPath, formatAddress(server.adminAddress));
  } catch (error) {
    await server.stop();
    return refuse(name, error);
  }
  await ended;
  if (failure !== undefined) return refuse(name, failure);
  log.info("exiting");
  return 0;
}

/** The first signal drains, the second ends at once. Resolves when the server has stopped. */
function waitForEnd(server: ProxyServer, log: Logger): Promise<void> {
  let signals = 0;
  const onSignal = (signal: NodeJS.Signals): void => {
    signals++;
    log.warning(`caught ${signal}: ${signals === 1 ? "draining" : "ending at once"}`);
    if (signals === 1) server.drainAndStop();
    else void server.stop();
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  process.on("SIGUSR1", () => server.reopenLogs());
  // A reader of our log or access log that went away must not end the proxy.
  process.on("SIGPIPE", () => undefined);
  process.stdout.on("error", () => undefined);
  process.stderr.on("error", () => undefined);
  return server.stopped;
}

/** Where log lines go: stderr, or `--log-path`. */
function logWriter({ logPath }: ProxyOptions): (line: string) => void {
  if (logPath === "") return (line) => void process.stderr.write(line);
  const file = createWriteStream(logPath, { flags: "a" });
  file.on("error", (error) => process.stderr.write(`--log-path ${logPath}: ${error.message}\n`));
  return (line) => void file.write(line);
}

/** As an Envoy whose thread crashes: the process ends, and says why. */
function onCrash(reason: string): void {
  process.stderr.write(`${reason}\n`);
  process.exit(FAILED);
}

/** Says what is wrong, line by line, whatever the log level is. */
function refuse(name: string, error: unknown): number {
  const problems: readonly Problem[] = Array.isArray(error)
    ? (error as Problem[])
    : error instanceof MeshError
      ? error.problems
      : [];
  const lines = problems.filter(({ level }) => level === "error").map(formatProblem);
  if (!Array.isArray(error) && (lines.length === 0 || error instanceof MeshError === false))
    lines.unshift(
      error instanceof MeshError
        ? error.message
        : error instanceof Error
          ? (error.stack ?? error.message)
          : String(error),
    );
  process.stderr.write(`error initializing configuration '${name}':\n${lines.map((line) => `  ${line}\n`).join("")}`);
  return FAILED;
}
