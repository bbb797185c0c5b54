/**
 * The proxy beside a real Envoy, started with the same bootstrap file: CPU per request, plain hop, two hops with mTLS, HTTP/2 and gRPC.
 *
 *     npm run bench [-- --seconds 3 --rounds 5 --only plain|mtls|http2|grpc --base FOLDER --json FILE]
 *
 * With `--base`, the proxy of another checkout of this repository beside them (`git worktree add`, then its `npm ci`).
 * One core's worth of load (wrk, 32 keep-alive connections) against one proxy at a time, in alternating order; the CPU time
 * is the process' own (/proc/<pid>/stat). Identical runs differ on a shared machine: the ratio within a run is the result.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, release, tmpdir, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { bootstrapOf, type HopOptions } from "./bootstrap.ts";
import { benchCertificates, type BenchCertificates } from "./hop-certificates.ts";
import { envoyCommand, envoyVersion, glassmeshCommand, isInstalled, type ProxyCommand } from "./proxies.ts";
import { load, loadGrpc, loadHttp2, startGrpcOrigin, startOrigin, type LoadResult } from "./load.ts";
import { cpuMicroseconds, freePort, residentMegabytes, start, type Running } from "./processes.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "3" },
    rounds: { type: "string", default: "5" },
    connections: { type: "string", default: "32" },
    only: { type: "string" },
    base: { type: "string" },
    json: { type: "string" },
  },
});
const seconds = Number(values.seconds);
const rounds = Number(values.rounds);
const connections = Number(values.connections);

/** One process whose CPU is counted. */
interface Measured {
  readonly side: string;
  readonly process: Running;
  /** MB, before the first request. */
  readonly atRest: number;
  readonly samples: number[];
}

/** A way through one proxy implementation: the port to load, and the processes on it. */
interface Chain {
  readonly proxy: string;
  readonly port: number;
  readonly measured: readonly Measured[];
}

interface Row {
  readonly row: string;
  readonly side: string;
  readonly proxy: string;
  readonly medianMicroseconds: number;
  readonly minMicroseconds: number;
  readonly maxMicroseconds: number;
  readonly residentMegabytes: number;
  readonly restingMegabytes: number;
  readonly samples: readonly number[];
}

const folder = mkdtempSync(join(tmpdir(), "glassmesh-bench-"));
const running: Running[] = [];

async function run(command: readonly string[], port: number, name: string): Promise<Running> {
  const started = await start(command, port, join(folder, `${name}.log`));
  running.push(started);
  return started;
}

async function startHop(
  proxy: ProxyCommand,
  name: string,
  options: Omit<HopOptions, "ports" | "accessLog">,
  upstream: number,
) {
  const ports = { listener: await freePort(), upstream, admin: await freePort() };
  const file = join(folder, `${name}.json`);
  writeFileSync(
    file,
    JSON.stringify(bootstrapOf({ ...options, ports, accessLog: join(folder, `${name}.access.log`) })),
  );
  return { port: ports.listener, process: await run(proxy.command(file), ports.listener, name) };
}

function measured(side: string, process: Running): Measured {
  return { side, process, atRest: Math.round(residentMegabytes(process.pid)), samples: [] };
}

async function plainChain(proxy: ProxyCommand, origin: number): Promise<Chain> {
  const hop = await startHop(proxy, `plain-${proxy.name}`, {}, origin);
  return { proxy: proxy.name, port: hop.port, measured: [measured("", hop.process)] };
}

async function mutualTlsChain(proxy: ProxyCommand, origin: number, files: BenchCertificates): Promise<Chain> {
  const server = await startHop(proxy, `server-${proxy.name}`, { downstreamTls: files.server }, origin);
  const client = await startHop(proxy, `client-${proxy.name}`, { upstreamTls: files.client }, server.port);
  return {
    proxy: proxy.name,
    port: client.port,
    measured: [measured("client side", client.process), measured("server side", server.process)],
  };
}

async function http2Rows(proxies: readonly ProxyCommand[], kind: "http2" | "grpc"): Promise<Row[]> {
  const missing = ["h2load", ...(kind === "grpc" ? ["nghttpd"] : [])].filter((name) => !isInstalled(name));
  if (missing.length > 0) {
    process.stderr.write(`no ${missing.join(" and ")} on the PATH: no row for ${kind}\n`);
    return [];
  }
  const originPort = await freePort();
  running.push(
    kind === "grpc" ? await startGrpcOrigin(folder, originPort) : await startOrigin(folder, originPort, true),
  );
  const chains: Chain[] = [];
  for (const proxy of proxies) {
    const hop = await startHop(proxy, `${kind}-${proxy.name}`, { http2: true }, originPort);
    chains.push({ proxy: proxy.name, port: hop.port, measured: [measured("", hop.process)] });
  }
  return kind === "grpc"
    ? measure("gRPC unary, 8 connections × 8 streams", chains, (port, forSeconds) =>
        loadGrpc(folder, port, forSeconds, 8, 8),
      )
    : measure("HTTP/2, 8 connections × 8 streams", chains, (port, forSeconds) => loadHttp2(port, forSeconds, 8, 8));
}

/** Loads the chains in turn, warm-up first, the order reversed each round. */
async function measure(
  row: string,
  chains: readonly Chain[],
  run: (port: number, forSeconds: number) => Promise<LoadResult> = (port, forSeconds) =>
    load(port, forSeconds, connections),
): Promise<Row[]> {
  for (const chain of chains) await run(chain.port, 2);
  for (let round = 0; round < rounds; round++) {
    for (const chain of round % 2 === 0 ? chains : chains.toReversed()) {
      const before = chain.measured.map(({ process }) => cpuMicroseconds(process.pid));
      const result = await run(chain.port, seconds);
      if (result.errors > 0) throw new Error(`${chain.proxy}: ${result.errors} of ${result.requests} requests failed`);
      for (const [index, { process, samples }] of chain.measured.entries())
        samples.push((cpuMicroseconds(process.pid) - (before[index] ?? 0)) / result.requests);
    }
  }
  return chains.flatMap(({ proxy, measured }) =>
    measured.map(({ side, process, atRest, samples }) => {
      const sorted = samples.toSorted((a, b) => a - b);
      return {
        row,
        side,
        proxy,
        medianMicroseconds: sorted[Math.floor(sorted.length / 2)] ?? 0,
        minMicroseconds: sorted[0] ?? 0,
        maxMicroseconds: sorted.at(-1) ?? 0,
        restingMegabytes: atRest,
        residentMegabytes: Math.round(residentMegabytes(process.pid)),
        samples: samples.map((sample) => Math.round(sample * 100) / 100),
      };
    }),
  );
}

async function main(): Promise<void> {
  const envoy = envoyCommand();
  if (envoy === undefined)
    process.stderr.write("no envoy on the PATH (npm run bench -- needs one to compare with): our figures only\n");
  const proxies = [
    glassmeshCommand(),
    ...(values.base === undefined ? [] : [glassmeshCommand(values.base)]),
    ...(envoy === undefined ? [] : [envoy]),
  ];
  const originPort = await freePort();
  running.push(await startOrigin(folder, originPort));
  const rows: Row[] = [];
  if (values.only === undefined || values.only === "plain") {
    const chains: Chain[] = [];
    for (const proxy of proxies) chains.push(await plainChain(proxy, originPort));
    rows.push(...(await measure("plain hop", chains)));
  }
  if (values.only === undefined || values.only === "mtls") {
    const files = await benchCertificates(folder);
    const chains: Chain[] = [];
    for (const proxy of proxies) chains.push(await mutualTlsChain(proxy, originPort, files));
    rows.push(...(await measure("two hops, mTLS", chains)));
  }
  if (values.only === undefined || values.only === "http2") rows.push(...(await http2Rows(proxies, "http2")));
  if (values.only === undefined || values.only === "grpc") rows.push(...(await http2Rows(proxies, "grpc")));
  report(rows, envoy === undefined ? "" : envoyVersion(envoy));
}

function report(rows: readonly Row[], envoy: string): void {
  const machine = {
    cpu: cpus()[0]?.model ?? "",
    cores: cpus().length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    linux: release(),
    node: process.version,
    envoy,
  };
  const lines = [
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGb} GB, Linux ${machine.linux}, Node ${machine.node}, Envoy ${envoy}`,
    `${connections} keep-alive connections, 1 KB answers, ${rounds} rounds of ${seconds} s, µs of proxy CPU a request`,
    "",
    "| row | proxy | median | spread | ratio to Envoy | RSS at rest | under load |",
    "| --- | --- | --- | --- | --- | --- | --- |",
    ...rows.map((row) => {
      const peer = rows.find((other) => other.proxy === "envoy" && other.row === row.row && other.side === row.side);
      const ratio = peer === undefined ? "" : (row.medianMicroseconds / peer.medianMicroseconds).toFixed(2);
      const name = row.side === "" ? row.row : `${row.row}: ${row.side}`;
      return `| ${name} | ${row.proxy} | ${row.medianMicroseconds.toFixed(1)} | ${row.minMicroseconds.toFixed(1)} – ${row.maxMicroseconds.toFixed(1)} | ${ratio} | ${row.restingMegabytes} MB | ${row.residentMegabytes} MB |`;
    }),
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
  const day = new Date().toISOString().slice(0, 10);
  const file = values.json ?? join(dirname(fileURLToPath(import.meta.url)), "results", `${day}.json`);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(
    file,
    `${JSON.stringify({ date: new Date().toISOString(), machine, connections, seconds, rounds, rows }, undefined, 2)}\n`,
  );
  process.stderr.write(`written to ${file}\n`);
}

try {
  await main();
} finally {
  await Promise.all(running.map((one) => one.stop()));
  if (existsSync(folder)) rmSync(folder, { recursive: true });
}
