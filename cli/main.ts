/** The command line: finds the command, runs it, turns errors into a line and an exit code. */
import { readFileSync } from "node:fs";
import { formatProblem, MeshError } from "#lib/problem.ts";
import type { Command, CommandIo } from "./command.ts";
import { commands } from "./commands/registry.ts";

/** Runs a command line and sets the exit code: 0 fine, 1 a finding, 2 misuse. */
export async function runMain(argv: readonly string[]): Promise<void> {
  const io: CommandIo = {
    cwd: process.cwd(),
    env: process.env,
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
  };
  // A reader that closes early (`| head`) is no error.
  process.stdout.on("error", () => process.exit(0));
  process.exitCode = await runCommand(argv, io);
}

export async function runCommand(argv: readonly string[], io: CommandIo): Promise<number> {
  const [name, ...args] = argv;
  if (name === undefined || name === "help" || name === "--help" || name === "-h") {
    const topic = commandOf(args[0]);
    io.out(topic === undefined ? overview() : topic.help);
    return name === undefined ? 2 : 0;
  }
  if (name === "--version" || name === "version") {
    io.out(`glassmesh ${version()}\n`);
    return 0;
  }
  const command = commandOf(name);
  if (command === undefined) {
    io.err(`glassmesh: there is no command "${name}"; it has ${commands.map((known) => known.name).join(", ")}\n`);
    return 2;
  }
  const end = args.indexOf("--");
  const own = end < 0 ? args : args.slice(0, end);
  if (!command.passesHelpOn && (own.includes("--help") || own.includes("-h"))) {
    io.out(command.help);
    return 0;
  }
  try {
    return await command.run(args, io);
  } catch (error) {
    if (!(error instanceof MeshError)) throw error;
    io.err(`glassmesh ${command.name}: ${error.message}\n`);
    for (const problem of error.problems) io.err(`  ${formatProblem(problem)}\n`);
    return 2;
  }
}

function commandOf(name: string | undefined): Command | undefined {
  if (name === undefined) return undefined;
  return commands.find((command) => command.name === name || command.aliases?.includes(name) === true);
}

function overview(): string {
  const width = Math.max(...commands.map((command) => command.name.length));
  const lines = commands.map((command) => `  ${command.name.padEnd(width)}  ${command.summary}`);
  return `glassmesh COMMAND [options]\n\nA service mesh you can see through.\n\n${lines.join("\n")}\n\n\`glassmesh COMMAND --help\` tells more.\n`;
}

function version(): string {
  const text = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

if (import.meta.main) await runMain(process.argv.slice(2));
