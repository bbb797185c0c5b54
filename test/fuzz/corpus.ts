/** Inputs that are kept: one JSON string of latin1 a line, in `corpus/<target>.txt`. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";

const fileOf = (name: string): URL => new URL(`corpus/${name}.txt`, import.meta.url);

export function readCorpus(name: string): readonly Buffer[] {
  if (!existsSync(fileOf(name))) return [];
  const lines = readFileSync(fileOf(name), "utf8").split("\n");
  return lines.filter((line) => line !== "").map((line) => Buffer.from(JSON.parse(line) as string, "latin1"));
}

/** The shortest are kept where there are too many: they cost least to run. */
export function writeCorpus(name: string, inputs: readonly Buffer[], most = 60): void {
  const kept = inputs.toSorted((a, b) => a.length - b.length).slice(0, most);
  writeFileSync(fileOf(name), kept.map((input) => `${JSON.stringify(input.toString("latin1"))}\n`).join(""));
}
