/** Reading of command lines with `node:util`'s parseArgs, and its complaints turned into ours. */
import { parseArgs, type ParseArgsOptionsConfig } from "node:util";
import { MeshError } from "#lib/problem.ts";

export interface ReadArguments {
  readonly values: Readonly<Record<string, string | boolean | readonly (string | boolean)[] | undefined>>;
  readonly positionals: readonly string[];
}

/** Throws `MeshError("usage")` that names the flag and the help. */
export function readArguments(
  command: string,
  args: readonly string[],
  options: ParseArgsOptionsConfig,
): ReadArguments {
  try {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
    return { values, positionals };
  } catch (error) {
    const reason = error instanceof Error ? error.message.split(". To specify")[0] : String(error);
    throw new MeshError("usage", `${reason}; see \`glassmesh ${command} --help\``);
  }
}

export function textOption(args: ReadArguments, name: string): string | undefined {
  const value = args.values[name];
  return typeof value === "string" ? value : undefined;
}

export function listOption(args: ReadArguments, name: string): readonly string[] {
  const value = args.values[name];
  if (Array.isArray(value)) return value.filter((item): item is string => typeof item === "string");
  return typeof value === "string" ? [value] : [];
}

/** A whole number of at least `least`; throws `MeshError("usage")` otherwise. */
export function countOption(
  args: ReadArguments,
  command: string,
  name: string,
  fallback: number,
  least: number,
): number {
  const text = textOption(args, name);
  if (text === undefined) return fallback;
  const count = Number(text);
  if (!Number.isInteger(count) || count < least) {
    throw new MeshError(
      "usage",
      `--${name} takes a whole number of at least ${least}, not "${text}"; see \`glassmesh ${command} --help\``,
    );
  }
  return count;
}
