/** `glassmesh analyze`: what is wrong with a set of manifests, with istioctl's codes, flags and exit codes. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { parse } from "yaml";
import { formatProblem, MeshError, type Problem } from "#lib/problem.ts";
import { formatMessages, type MessageFormat } from "#control-plane/analyze/format.ts";
import { isAtLeast, isMessageCode, messageLevels, type MessageLevel } from "#control-plane/analyze/messages.ts";
import { readManifests } from "#control-plane/analyze/read-manifests.ts";
import { analyzers } from "#control-plane/analyze/registry.ts";
import {
  runAnalysis,
  type AnalysisOptions,
  type AnalysisResult,
  type Suppression,
} from "#control-plane/analyze/run-analysis.ts";
import { meshConfigObject } from "#control-plane/config/mesh-config-source.ts";
import type { MeshObject } from "#control-plane/model/object.ts";
import { fieldsOf } from "#control-plane/model/read-fields.ts";
import { isMeshConfigMap, meshConfigLayers, readMeshConfig } from "#control-plane/model/read-mesh-config.ts";
import { listOption, readArguments, textOption, type ReadArguments } from "../arguments.ts";
import type { Command, CommandIo } from "../command.ts";
import { gatherFiles, readManifestFile } from "../manifest-files.ts";

const HELP = `glassmesh analyze [PATH…] [options]

Looks for what is wrong with manifests: files, directories (with everything below), or - for the standard input. The codes
are Istio's (https://istio.io/latest/docs/reference/config/analysis/), the flags are istioctl's.

  -n, --namespace NS         the namespace of objects that name none; only messages about it are shown (default: default)
  -A, --all-namespaces       messages about every namespace
      --complete             the files are the whole mesh: also look for Services, Pods, Namespaces and Secrets that are
                             missing. Without it they are expected elsewhere, as \`istioctl analyze --use-kube=false\` does
  -S, --suppress CODE=RESOURCE
                             leave out a code for an object: "IST0101=VirtualService shop/*"; may be repeated.
                             On the object itself: the annotation galley.istio.io/analyze-suppress: CODE,CODE or "*"
      --failure-threshold LEVEL
                             Info, Warning or Error (the default): from here on the exit code is 79
      --output-threshold LEVEL
                             show messages from this level on (default: Info)
  -o, --output FORMAT        log (the default), json or yaml; with json and yaml the exit code is 0
      --color, --no-color    colours (default: on a terminal)
      --meshConfigFile FILE  the mesh's configuration (MeshConfig in YAML)
      --ignore-unknown       exit with 0 although documents could not be read
      --analyzer NAME        run only this analyzer; may be repeated
  -L, --list-analyzers       list the analyzers, and do nothing else
  -v, --verbose              say which analyzers ran
  -R, -k, --use-kube=false   taken as they are: directories are always read wholly, and there is no cluster to ask

Exit codes: 0 fine, 79 messages at or above the failure threshold, 65 a document that can't be read, 64 misuse.
`;

const OPTIONS = {
  namespace: { type: "string", short: "n" },
  "all-namespaces": { type: "boolean", short: "A" },
  complete: { type: "boolean" },
  suppress: { type: "string", short: "S", multiple: true },
  "failure-threshold": { type: "string" },
  "output-threshold": { type: "string" },
  output: { type: "string", short: "o" },
  color: { type: "boolean" },
  "no-color": { type: "boolean" },
  meshConfigFile: { type: "string" },
  "ignore-unknown": { type: "boolean" },
  analyzer: { type: "string", multiple: true },
  "list-analyzers": { type: "boolean", short: "L" },
  verbose: { type: "boolean", short: "v" },
  recursive: { type: "boolean", short: "R" },
  "use-kube": { type: "boolean", short: "k" },
} as const;

const FINDINGS = 79;
const UNREADABLE = 65;
const MISUSE = 64;

export const analyze: Command = {
  name: "analyze",
  summary: "find what is wrong with manifests, with Istio's codes",
  help: HELP,
  async run(args, io) {
    try {
      return await runAnalyze(readArguments("analyze", args.flatMap(withoutValues), OPTIONS), io);
    } catch (error) {
      if (!(error instanceof MeshError)) throw error;
      io.err(`glassmesh analyze: ${error.message}\n`);
      return error.code === "usage" ? MISUSE : 1;
    }
  },
};

/** `--color=false`: a boolean with its value, as istioctl takes it. */
function withoutValues(argument: string): readonly string[] {
  const match = /^(--(?:color|use-kube|recursive|all-namespaces|verbose|ignore-unknown)|-[kRAv])=(true|false)$/.exec(
    argument,
  );
  const [, flag = "", value] = match ?? [];
  if (value === undefined) return [argument];
  if (flag === "--use-kube" || flag === "-k") {
    if (value === "false") return [];
    throw new MeshError(
      "usage",
      "there is no cluster to ask: --use-kube=false is the only way. --complete takes the files for the whole mesh.",
    );
  }
  if (value === "true") return [flag];
  return flag === "--color" ? ["--no-color"] : [];
}

async function runAnalyze(args: ReadArguments, io: CommandIo): Promise<number> {
  const format = formatOption(args);
  if (args.values["use-kube"] === true) withoutValues("--use-kube=true");
  if (args.values["list-analyzers"] === true) {
    const list = [...analyzers].sort((one, other) => (one.name < other.name ? -1 : 1));
    for (const { name, description } of list) io.out(`* ${name}:\n    ${description}\n`);
    return 0;
  }
  const failure = levelOption(args, "failure-threshold", "Error");
  const shown = levelOption(args, "output-threshold", "Info");
  const selected = selectedAnalyzers(args);
  const suppressions = listOption(args, "suppress").map((text) => suppressionOf(text, io));
  if (args.positionals.length === 0) {
    throw new MeshError("usage", "name files or directories to analyze, or - for the standard input");
  }
  const files = gatherFiles(args.positionals, io);
  const read = await Promise.all(files.map(async (file) => readManifests(await readManifestFile(file, io), file)));
  const problems = read.flatMap((one) => one.problems);
  if (problems.length > 0) io.err(unreadableText(problems));
  const isEverywhere = args.values["all-namespaces"] === true;
  const isComplete = args.values["complete"] === true;
  const objects = read.flatMap((one) => one.objects);
  const result = runAnalysis(objects, selected, {
    namespace: isEverywhere ? undefined : (textOption(args, "namespace") ?? "default"),
    isComplete,
    ...meshOf(args, isComplete ? objects : [], io),
    nowMs: Date.now(),
    suppressions,
  });
  if (args.values["verbose"] === true) io.err(verboseText(result));
  const messages = result.messages.filter(({ type }) => isAtLeast(type.level, shown));
  const isColored = args.values["color"] === true || (args.values["no-color"] !== true && hasColors(io));
  if (messages.length > 0 || format !== "log") io.out(formatMessages(messages, { format, isColored }));
  if (messages.length === 0) io.err(nothingFound(files, problems.length));
  if (format !== "log") return 0;
  if (result.messages.some(({ type }) => isAtLeast(type.level, failure))) return FINDINGS;
  return problems.length > 0 && args.values["ignore-unknown"] !== true ? UNREADABLE : 0;
}

function formatOption(args: ReadArguments): MessageFormat {
  const text = (textOption(args, "output") ?? "log").toLowerCase();
  if (text === "log" || text === "json" || text === "yaml") return text;
  throw new MeshError("usage", `-o takes log, json or yaml, not "${text}"`);
}

function levelOption(args: ReadArguments, name: string, fallback: MessageLevel): MessageLevel {
  const text = textOption(args, name);
  if (text === undefined) return fallback;
  const level = messageLevels.find((known) => known.toLowerCase() === text.toLowerCase());
  if (level === undefined) throw new MeshError("usage", `--${name} takes ${messageLevels.join(", ")}, not "${text}"`);
  return level;
}

function suppressionOf(text: string, io: CommandIo): Suppression {
  const [code = "", resource, ...rest] = text.split("=");
  if (resource === undefined || rest.length > 0) {
    throw new MeshError("usage", `--suppress takes CODE=RESOURCE, as "IST0101=VirtualService shop/*", not "${text}"`);
  }
  if (!isMessageCode(code)) io.err(`glassmesh analyze: there is no code ${code}; suppressing it has no effect\n`);
  return { code, resource };
}

function selectedAnalyzers(args: ReadArguments): typeof analyzers {
  const names = listOption(args, "analyzer");
  const unknown = names.find((name) => !analyzers.some((known) => known.name === name));
  if (unknown !== undefined) {
    throw new MeshError("usage", `there is no analyzer "${unknown}"; \`glassmesh analyze -L\` lists them`);
  }
  return names.length === 0 ? analyzers : analyzers.filter(({ name }) => names.includes(name));
}

/** From a file; where the manifests are the whole mesh, from theirs, too (IstioOperator, the ConfigMap `istio`). */
function meshOf(
  args: ReadArguments,
  objects: readonly MeshObject[],
  io: CommandIo,
): Pick<AnalysisOptions, "meshConfig" | "meshNetworks"> {
  const file = textOption(args, "meshConfigFile");
  const written = file === undefined ? [] : meshConfigObject(readText(file, io), file).objects;
  const { layers, problems } = meshConfigLayers([...objects, ...written]);
  const [fault] = problems.filter(({ level }) => level === "error");
  if (fault !== undefined) throw new MeshError("mesh-config", formatProblem(fault));
  const holder = objects.find(isMeshConfigMap);
  const networks = fieldsOf(holder?.raw["data"])["meshNetworks"];
  return {
    meshConfig: readMeshConfig(layers).meshConfig.raw,
    meshNetworks: typeof networks === "string" ? fieldsOf(parse(networks, { maxAliasCount: 100 })) : {},
  };
}

function readText(file: string, io: CommandIo): string {
  try {
    return readFileSync(resolve(io.cwd, file), "utf8");
  } catch (error) {
    throw new MeshError(
      "mesh-config",
      `${file} can't be read: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

function hasColors(io: CommandIo): boolean {
  return process.stdout.isTTY && io.env["TERM"]?.toLowerCase() !== "dumb" && io.env["NO_COLOR"] === undefined;
}

function unreadableText(problems: readonly Problem[]): string {
  const shown = problems.slice(0, 100).map((problem) => `  ${formatProblem(problem)}\n`);
  const more = problems.length > shown.length ? `  … and ${problems.length - shown.length} more\n` : "";
  return `Not everything could be read:\n${shown.join("")}${more}`;
}

function verboseText({ executed, skipped }: AnalysisResult): string {
  const list = (names: readonly string[]): string => names.map((name) => `\t ${name}\n`).join("");
  const left = skipped.length === 0 ? "" : `Skipped analyzers:\n${list(skipped)}`;
  return `${left}Executed analyzers:\n${list(executed)}\n`;
}

function nothingFound(files: readonly string[], unreadable: number): string {
  const what = files.length === 1 ? ` ${files[0] ?? ""}.\n` : `:\n${files.map((file) => `  - ${file}\n`).join("")}`;
  if (unreadable === 0) return `✔ No validation issues found when analyzing${what}`;
  return `No validation issues found in what could be read (${unreadable} ${unreadable === 1 ? "problem" : "problems"} above).\n`;
}
