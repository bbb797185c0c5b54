/** `glassmesh validate`: each object by itself, as an API server with Istio's CRDs and istiod check it. */
import { formatProblem, MeshError, type Problem } from "#lib/problem.ts";
import { meshConfigProblems } from "#control-plane/validate/mesh-config.ts";
import { parseManifests } from "#control-plane/config/parse-manifests.ts";
import { objectName } from "#control-plane/model/object.ts";
import { verdictOn, type Verdict } from "#control-plane/validate/verdict.ts";
import { listOption, readArguments, textOption } from "../arguments.ts";
import type { Command } from "../command.ts";
import { gatherFiles, readManifestFile } from "../manifest-files.ts";

const HELP = `glassmesh validate -f PATH [-f PATH…] [options]

Checks each object by itself: the schema of its CRD with all rules (types, unknown fields, limits), then what istiod
checks. Files, directories (with everything below), or - for the standard input. What objects say of each other is the
matter of \`glassmesh analyze\`.

  -f, --filename PATH        may be repeated; paths without a flag are taken, too
      --meshConfigFile FILE  also check a mesh configuration (MeshConfig in YAML, without apiVersion and kind)
  -o, --output FORMAT        text (the default), or json: one entry an object, with accepted (by istiod), errors, warnings,
                             schemaErrors (of the CRD), each with file, line and column
  -q, --quiet                no word about what is fine

Exit codes: 0 fine (warnings may be said), 1 an object is refused or can't be read, 2 misuse.
`;

export const validate: Command = {
  name: "validate",
  aliases: ["v"],
  summary: "check manifests against Istio's CRDs and istiod's rules",
  help: HELP,
  async run(args, io) {
    const read = readArguments("validate", args, {
      filename: { type: "string", short: "f", multiple: true },
      output: { type: "string", short: "o" },
      meshConfigFile: { type: "string" },
      quiet: { type: "boolean", short: "q" },
    });
    const format = textOption(read, "output") ?? "text";
    if (format !== "text" && format !== "json") throw new MeshError("usage", `-o takes text or json, not "${format}"`);
    const meshConfigFile = textOption(read, "meshConfigFile");
    const paths = [...listOption(read, "filename"), ...read.positionals];
    if (paths.length === 0 && meshConfigFile === undefined) {
      throw new MeshError("usage", "name what to validate: -f FILE, -f DIRECTORY, or -f - for the standard input");
    }
    const files = gatherFiles(paths, io);
    const unreadable: Problem[] = [];
    const verdicts: Verdict[] = [];
    for (const file of files) {
      const parsed = parseManifests(await readManifestFile(file, io), file);
      unreadable.push(...parsed.problems);
      verdicts.push(...parsed.objects.map(verdictOn));
    }
    const objects = verdicts.map(({ object }) => object);
    const meshConfig =
      meshConfigFile === undefined
        ? undefined
        : { file: meshConfigFile, text: await readManifestFile(meshConfigFile, io) };
    unreadable.push(...meshConfigProblems(objects, meshConfig));
    if (format === "json") io.out(`${JSON.stringify(verdicts.map(plain), undefined, 1)}\n`);
    else io.out(verdicts.flatMap(linesOf).join(""));
    for (const problem of unreadable) io.err(`${problem.level} ${formatProblem(problem)}\n`);
    const refused = verdicts.filter(isRefused).length;
    const errors = unreadable.filter(({ level }) => level === "error").length;
    if (read.values["quiet"] !== true || refused + errors > 0) io.err(summary(verdicts, refused, errors));
    return refused + errors > 0 ? 1 : 0;
  },
};

function isRefused({ isAccepted, schemaErrors }: Verdict): boolean {
  return !isAccepted || schemaErrors.length > 0;
}

/** What the schema and istiod both refuse is one line. */
function linesOf({ errors, schemaErrors, warnings, notes }: Verdict): readonly string[] {
  const refused = new Set(errors.map(({ path }) => path));
  const bySchema = schemaErrors.filter(({ path }) => !refused.has(path));
  const line = (level: string, problem: Problem): string => `${level.padEnd(7)} ${formatProblem(problem)}\n`;
  return [
    ...errors.map((problem) => line("error", problem)),
    ...bySchema.map((problem) => line("error", problem)),
    ...warnings.map((problem) => line("warning", problem)),
    ...notes.map((problem) => line("info", problem)),
  ];
}

function plain(verdict: Verdict): Readonly<Record<string, unknown>> {
  const { object, isAccepted, errors, warnings, schemaErrors, notes } = verdict;
  const { apiVersion, kind, metadata, source } = object;
  return {
    apiVersion,
    kind,
    namespace: metadata.namespace,
    name: metadata.name,
    ...source.location,
    accepted: isAccepted,
    errors: errors.map(plainProblem),
    warnings: warnings.map(plainProblem),
    schemaErrors: schemaErrors.map(plainProblem),
    notes: notes.map(plainProblem),
  };
}

function plainProblem({ path, message, code, source }: Problem): Readonly<Record<string, unknown>> {
  return { path, message, code, ...source };
}

function summary(verdicts: readonly Verdict[], refused: number, unreadable: number): string {
  const count = (number: number, word: string): string => `${number} ${word}${number === 1 ? "" : "s"}`;
  const warned = verdicts.filter((verdict) => !isRefused(verdict) && verdict.warnings.length > 0).length;
  const names = verdicts.filter(isRefused).map(({ object }) => objectName(object));
  const shown = names.slice(0, 10).join(", ") + (names.length > 10 ? ", …" : "");
  return [
    `${count(verdicts.length, "object")}: ${verdicts.length - refused} valid`,
    warned > 0 ? ` (${warned} with warnings)` : "",
    refused > 0 ? `, ${refused} refused: ${shown}` : "",
    unreadable > 0 ? `; ${count(unreadable, "fault")} in what could not be read` : "",
    "\n",
  ].join("");
}
