/** `npm run fuzz -- TARGET|all [seconds] [--save]`: fuzzes, and tells the first input that breaks a property. */
import { inspect } from "node:util";
import { fuzz } from "./fuzz.ts";
import { readCorpus, writeCorpus } from "./corpus.ts";
import { targets } from "./targets/all.ts";
import { watchForHang } from "./watchdog.ts";

const [name = "", seconds = "60", flag] = process.argv.slice(2);
const chosen = targets.filter((target) => name === "all" || target.name === name);
if (chosen.length === 0) {
  process.stderr.write(
    `usage: npm run fuzz -- TARGET|all [seconds] [--save]\ntargets: ${targets.map((target) => target.name).join(", ")}\n`,
  );
  process.exitCode = 2;
}
const dog = watchForHang();
process.on("unhandledRejection", (error) => {
  process.stderr.write(`unhandled rejection: ${inspect(error)}\n`);
  process.exitCode = 1;
});
const seed = Number(process.env["FUZZ_SEED"] ?? Math.floor(performance.timeOrigin) % 2 ** 31);
for (const target of chosen) {
  const options = { seed, milliseconds: Number(seconds) * 1000, corpus: readCorpus(target.name), onInput: dog.onInput };
  const { runs, blocks, corpus, finding } = await fuzz(target, options);
  process.stdout.write(`${target.name}: ${runs} runs, ${blocks} blocks, ${corpus.length} inputs kept, seed ${seed}\n`);
  if (flag === "--save" && finding === undefined) writeCorpus(target.name, corpus);
  if (finding === undefined) continue;
  process.stdout.write(`FOUND ${JSON.stringify(finding.input.toString("latin1"))}\n${inspect(finding.error)}\n`);
  process.exitCode = 1;
}
dog.close();
