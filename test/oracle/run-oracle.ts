/**
 * `npm run oracle -- DIR [case…]`: translates every case of a directory laid out as the oracle's and prints what
 * differs from what istiod sent. Exit code 0 when nothing does.
 */
import { existsSync } from "node:fs";
import { type CaseResult, runCase } from "./compare.ts";
import { caseNames, loadCase } from "./load-case.ts";

const MAX_LINES = Number(process.env["ORACLE_LINES"] ?? 12);

async function main(args: readonly string[]): Promise<number> {
  const [directory, ...only] = args;
  if (directory === undefined || !existsSync(directory)) {
    process.stderr.write(
      "usage: npm run oracle -- DIR [case…]\nDIR holds a folder a case: config.yaml, k8s.yaml, <proxy>.json\n",
    );
    return 2;
  }
  const names = caseNames(directory).filter((name) => only.length === 0 || only.includes(name));
  const results = (await Promise.all(names.map((name) => loadCase(directory, name)))).map(runCase);
  for (const result of results) print(result);
  const sum = (of: (result: CaseResult) => number): number => results.reduce((total, result) => total + of(result), 0);
  const sameCases = results.filter(({ differences }) => differences.length === 0).length;
  process.stdout.write(
    `\nresources the same: ${sum(({ same }) => same)} of ${sum(({ total }) => total)}; cases the same: ${sameCases} of ${results.length}\n`,
  );
  return sameCases === results.length ? 0 : 1;
}

function print({ name, same, total, differences }: CaseResult): void {
  process.stdout.write(`${differences.length === 0 ? "same  " : "differs"} ${name} ${same}/${total}\n`);
  for (const line of differences.slice(0, MAX_LINES)) process.stdout.write(`    ${line}\n`);
  if (differences.length > MAX_LINES) process.stdout.write(`    … ${differences.length - MAX_LINES} more\n`);
}

process.exitCode = await main(process.argv.slice(2));
