/** `glassmesh run`: mesh up, a command inside it, mesh down, the command's exit code. */
import { spawn } from "node:child_process";
import { MeshError } from "#lib/problem.ts";
import { listOption, readArguments, textOption } from "../arguments.ts";
import type { Command } from "../command.ts";
import { endingSignals } from "../local/signals.ts";
import { startSession } from "../local/session.ts";
import { MESH_OPTIONS, sessionOptions } from "./up.ts";

const HELP = `glassmesh run -f PATH… [options] -- COMMAND [ARGUMENT…]

Brings the mesh up, runs COMMAND inside it, takes the mesh down, and ends with COMMAND's exit code.
Inside, \`glassmesh call\`, \`proxy-config\` and \`proxy-status\` find the mesh by themselves.

  --ready-timeout S   seconds to wait for the mesh (60)
  and the options of \`glassmesh up\`
`;

export const run: Command = {
  name: "run",
  summary: "mesh up, run a command inside it, mesh down (for CI)",
  help: HELP,
  async run(args, io) {
    const split = args.indexOf("--");
    const command = split < 0 ? [] : args.slice(split + 1);
    const [file, ...rest] = command;
    if (file === undefined) throw new MeshError("usage", "a command comes after `--`: glassmesh run -f DIR -- COMMAND");
    const read = readArguments("run", args.slice(0, split), { ...MESH_OPTIONS, "ready-timeout": { type: "string" } });
    const paths = listOption(read, "file");
    if (paths.length === 0) throw new MeshError("usage", "-f names the manifests; see `glassmesh run --help`");
    const ending = endingSignals();
    const session = await startSession(sessionOptions(read, paths, io));
    try {
      const seconds = Number(textOption(read, "ready-timeout") ?? 60);
      const signal = AbortSignal.any([ending.signal, AbortSignal.timeout(seconds * 1000)]);
      if (!(await session.runner.untilReady(signal))) {
        if (ending.signal.aborted) return 130;
        throw new MeshError(
          "not-ready",
          `the mesh was not ready after ${seconds} s; its logs said:\n${session.lastWords()}`,
        );
      }
      return await runInside(file, rest, { ...io.env, GLASSMESH_MESH: session.meshFile }, io.cwd, ending.signal);
    } finally {
      await session.stop();
      ending.close();
    }
  },
};

function runInside(
  file: string,
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  cwd: string,
  signal: AbortSignal,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: "inherit", env: { ...env }, cwd });
    signal.addEventListener("abort", () => child.kill("SIGTERM"), { once: true });
    child.once("error", (error) =>
      reject(new MeshError("no-such-command", `${file} could not be started: ${error.message}`)),
    );
    child.once("exit", (code, killed) => resolve(code ?? (killed === null ? 1 : 128)));
  });
}
