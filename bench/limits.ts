/**
 * What the proxy bears, beside a real Envoy: many connections, long bodies, slow readers, slow heads, floods.
 *
 *     node bench/limits.ts [--only PART-OF-A-NAME] [--rounds 3] [--json FILE]
 *
 * Each scenario starts a process of its own on one bootstrap; memory is what Linux says is resident (peak: VmHWM), CPU time
 * the process' own. Needs Linux; for `active` also wrk; without Envoy our figures alone. Some three minutes a round.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, release, tmpdir, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { nodeRuntime } from "#lib/node-runtime.ts";
import { loadBootstrap, type ListenerName } from "#proxy/testing/load/bootstrap.ts";
import { startStreamingOrigin } from "#proxy/testing/load/streaming-origin.ts";
import { pause } from "#proxy/testing/load/wait.ts";
import { freePort, start } from "./processes.ts";
import { envoyCommand, envoyVersion, glassmeshCommand, type ProxyCommand } from "./proxies.ts";
import { scenarios, type Figure, type Subject } from "./limits/scenarios.ts";

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    rounds: { type: "string", default: "3" },
    json: { type: "string" },
  },
});

const runtime = nodeRuntime({ logLevel: "off" });
const folder = mkdtempSync(join(tmpdir(), "glassmesh-limits-"));
const HASTY_MS = 2000;
const CONNECTION_LIMIT = 500;

/** A scenario that takes longer is stuck. */
const LIMIT_MS = 120_000;

async function inProcess<T>(proxy: ProxyCommand, settles: boolean, work: (subject: Subject) => Promise<T>): Promise<T> {
  const origin = await startStreamingOrigin(runtime);
  const ports: Record<ListenerName | "admin", number> = {
    http1: await freePort(),
    http2: await freePort(),
    hasty: await freePort(),
    limited: await freePort(),
    admin: await freePort(),
  };
  const file = join(folder, `${proxy.name}.json`);
  writeFileSync(file, JSON.stringify(loadBootstrap({ origin, ports, hastyMs: HASTY_MS, limit: CONNECTION_LIMIT })));
  const process = await start(proxy.command(file), ports.limited, join(folder, `${proxy.name}.log`));
  try {
    // Ours gives back what its start has left behind after some seconds of rest.
    await pause(runtime, settles ? 7000 : 500);
    const stuck = pause(runtime, LIMIT_MS).then(() => {
      throw new Error(`${proxy.name} is not done after ${LIMIT_MS} ms`);
    });
    return await Promise.race([work({ runtime, origin, pid: process.pid, ports }), stuck]);
  } finally {
    await process.stop();
    await origin.close();
  }
}

interface Row {
  readonly scenario: string;
  readonly figure: string;
  readonly unit: string;
  readonly proxy: string;
  readonly samples: number[];
}

const rows = new Map<string, Row>();

function keep(scenario: string, proxy: string, { figure, unit, value }: Figure): void {
  const key = `${scenario} ${figure} ${proxy}`;
  const row = rows.get(key) ?? { scenario, figure, unit, proxy, samples: [] };
  rows.set(key, row);
  row.samples.push(Math.round(value * 100) / 100);
}

function cell(row: Row | undefined): string {
  if (row === undefined) return "";
  const sorted = row.samples.toSorted((a, b) => a - b);
  const [low = 0, middle = 0, high = 0] = [sorted[0], sorted[Math.floor(sorted.length / 2)], sorted.at(-1)];
  return low === high ? text(middle) : `${text(middle)} (${text(low)} – ${text(high)})`;
}

function text(value: number): string {
  return Math.abs(value) >= 100 ? Math.round(value).toLocaleString("en") : String(Math.round(value * 10) / 10);
}

function report(envoy: string): void {
  const machine = {
    cpu: cpus()[0]?.model ?? "",
    cores: cpus().length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    linux: release(),
    node: process.version,
    envoy,
  };
  const ours = [...rows.values()].filter(({ proxy }) => proxy === "glassmesh");
  const lines = [
    `${machine.cpu}, ${machine.cores} cores, Node ${machine.node}, Envoy ${envoy}; ${values.rounds} rounds, median (spread)`,
    "",
    "| scenario | figure | ours | Envoy |",
    "| --- | --- | --- | --- |",
    ...ours.map((row) => {
      const peer = rows.get(`${row.scenario} ${row.figure} envoy`);
      return `| ${row.scenario} | ${row.figure}, ${row.unit} | ${cell(row)} | ${cell(peer)} |`;
    }),
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
  const date = new Date().toISOString();
  const results = join(dirname(fileURLToPath(import.meta.url)), "results");
  const file = values.json ?? join(results, `${date.slice(0, 10)}-limits.json`);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify({ date, machine, rows: [...rows.values()] }, undefined, 2)}\n`);
  process.stderr.write(`written to ${file}\n`);
}

/** Node has raised its own limit to the hard one already, and its children inherit that. */
function openFiles(): number {
  return Number(execFileSync("/bin/sh", ["-c", "ulimit -n"], { encoding: "utf8" }).trim());
}

try {
  const envoy = envoyCommand();
  const proxies = [glassmeshCommand(), ...(envoy === undefined ? [] : [envoy])];
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const { name, needsFiles = 0, settles = false, run } of scenarios) {
      if (values.only !== undefined && !name.includes(values.only)) continue;
      if (openFiles() < needsFiles) {
        process.stderr.write(`${name}: left out, it needs ${needsFiles} open files and may have ${openFiles()}\n`);
        continue;
      }
      for (const proxy of round % 2 === 0 ? proxies : proxies.toReversed()) {
        const figures = await inProcess(proxy, settles, run).catch((error: unknown) => {
          process.stderr.write(`${name}, ${proxy.name}: ${String(error)}\n`);
          return [];
        });
        for (const figure of figures) keep(name, proxy.name, figure);
        process.stderr.write(
          `${name}, ${proxy.name}: ${figures.map(({ figure, unit, value }) => `${figure} ${text(value)} ${unit}`).join(", ")}\n`,
        );
      }
    }
  }
  report(envoy === undefined ? "" : envoyVersion(envoy));
} finally {
  rmSync(folder, { recursive: true });
}
// What still waits for a limit that was not reached.
process.exit();
