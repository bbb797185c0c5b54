/** `glassmesh call`: sends requests as a workload and tells who answered, with which status. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { request as httpRequest } from "undici";
import { MeshError } from "#lib/problem.ts";
import type { Command, CommandIo } from "../command.ts";
import { countOption, listOption, readArguments, textOption, type ReadArguments } from "../arguments.ts";
import { CallLogReader, requestIdKey, type LoggedCall } from "../local/call-log.ts";
import { percentile, tally } from "../local/latency.ts";
import { findMesh, findWorkload, type MeshFile, type RunningWorkload } from "../local/mesh-file.ts";
import { createSender, parseTarget, type Outgoing, type Outside, type Sent } from "../local/sender.ts";
import { formatTable } from "../tables/table.ts";

const HELP = `glassmesh call --from WORKLOAD[.NAMESPACE] URL [options]
glassmesh call --gateway GATEWAY[.NAMESPACE] URL [options]

Sends requests as a workload, through its sidecar, or from outside through a gateway, and tells who answered.

  --from W        the workload that calls (a Deployment's name, or a pod's)
  --gateway G     the gateway that takes the call in: the URL's host is the Host header and the SNI, its port the server's
  --cacert FILE   with an https:// URL: the CA that the gateway's certificate must be from
  -k              with an https:// URL: any certificate will do
  --cert FILE     the client's certificate, with --key FILE
  -X METHOD       method (GET, or POST with -d)
  -H "name: v"    a header; may be repeated
  -d BODY         a body
  -n COUNT        how many requests (1)
  -c COUNT        how many at a time (1)
  --timeout S     seconds to wait for each (30)
  --json          one JSON object on stdout: requests, statuses, flags, workloads, latencyMs

Exit code 0: every request was answered with a status below 500. 1: some were not. 2: misuse.
`;

export interface CallReport {
  readonly requests: number;
  readonly statuses: Readonly<Record<string, number>>;
  /** Envoy's response flags, as the caller's sidecar logged them; "-" is none. */
  readonly flags: Readonly<Record<string, number>>;
  /** Who answered, by Deployment. */
  readonly workloads: Readonly<Record<string, number>>;
  readonly latencyMs: { readonly p50: number; readonly p90: number; readonly p99: number };
}

export const call: Command = {
  name: "call",
  summary: "send requests as a workload and tell who answered",
  help: HELP,
  async run(args, io) {
    const read = readArguments("call", args, {
      from: { type: "string" },
      gateway: { type: "string" },
      cacert: { type: "string" },
      insecure: { type: "boolean", short: "k" },
      cert: { type: "string" },
      key: { type: "string" },
      request: { type: "string", short: "X" },
      header: { type: "string", short: "H", multiple: true },
      data: { type: "string", short: "d" },
      count: { type: "string", short: "n" },
      concurrency: { type: "string", short: "c" },
      timeout: { type: "string" },
      json: { type: "boolean" },
    });
    const [target, ...more] = read.positionals;
    const from = textOption(read, "from");
    if (target === undefined || more.length > 0)
      throw new MeshError("usage", "takes one URL; see `glassmesh call --help`");
    const gateway = textOption(read, "gateway");
    if ((from === undefined) === (gateway === undefined))
      throw new MeshError(
        "usage",
        "--from names the workload that calls, or --gateway the gateway that takes the call in; see `glassmesh call --help`",
      );
    const body = textOption(read, "data");
    const outgoing: Outgoing = {
      method: textOption(read, "request") ?? (body === undefined ? "GET" : "POST"),
      url: parseTarget(target, gateway === undefined ? ["http:"] : ["http:", "https:"]),
      headers: Object.fromEntries(listOption(read, "header").map(parseHeader)),
      body,
    };
    const options = {
      requests: countOption(read, "call", "count", 1, 1),
      concurrency: countOption(read, "call", "concurrency", 1, 1),
      timeoutMs: countOption(read, "call", "timeout", 30, 1) * 1000,
    };
    const mesh = findMesh(io.env, io.cwd);
    const sent = await sendAll(mesh, findWorkload(mesh, from ?? gateway ?? ""), outgoing, {
      ...options,
      outside: gateway === undefined ? undefined : outsideFrom(read, io),
    });
    const report = reportOf(sent.results, sent.log, mesh);
    if (read.values["json"] === true) io.out(`${JSON.stringify(report)}\n`);
    else printReport(report, sent.results, io);
    return sent.results.every((result) => result.status > 0 && result.status < 500) ? 0 : 1;
  },
};

/** Files of a client outside the mesh. */
function outsideFrom(read: ReadArguments, io: CommandIo): Outside {
  const file = (name: string): string | undefined => {
    const path = textOption(read, name);
    if (path === undefined) return undefined;
    try {
      return readFileSync(resolve(io.cwd, path), "utf8");
    } catch {
      throw new MeshError("no-such-path", `--${name}: ${path} can't be read`);
    }
  };
  return { ca: file("cacert"), cert: file("cert"), key: file("key"), isInsecure: read.values["insecure"] === true };
}

interface Batch {
  readonly results: readonly Sent[];
  readonly log: ReadonlyMap<string, LoggedCall>;
}

/** Sends, then reads the caller's sidecar's own record of these requests. */
export async function sendAll(
  mesh: MeshFile,
  workload: RunningWorkload,
  outgoing: Outgoing,
  options: {
    readonly requests: number;
    readonly concurrency: number;
    readonly timeoutMs: number;
    readonly outside?: Outside | undefined;
  },
): Promise<Batch> {
  const reader = workload.sidecar === undefined ? undefined : new CallLogReader(workload.sidecar.callLog);
  const sender = createSender(mesh, workload, outgoing, {
    connections: options.concurrency,
    timeoutMs: options.timeoutMs,
    outside: options.outside,
  });
  const results: Sent[] = [];
  let left = options.requests;
  const work = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      results.push(await sender.send());
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(options.concurrency, options.requests) }, work));
  } finally {
    await sender.close();
  }
  const log = new Map<string, LoggedCall>();
  if (workload.sidecar !== undefined && reader !== undefined) {
    await flushLogs(workload.sidecar.admin);
    await collect(reader, results, log);
  }
  return { results, log };
}

/** Envoy's way to have access logs on disk: reopening them flushes them. */
async function flushLogs(admin: { readonly address: string; readonly port: number }): Promise<void> {
  try {
    const response = await httpRequest(`http://${admin.address}:${admin.port}/reopen_logs`, { method: "POST" });
    await response.body.dump();
  } catch {
    // A sidecar that is gone has no more to tell: what was written is read.
  }
}

/** A request's line is written when its stream is done, a moment after the caller has its answer: a few looks. */
async function collect(reader: CallLogReader, results: readonly Sent[], log: Map<string, LoggedCall>): Promise<void> {
  const wanted = new Set(results.map((result) => requestIdKey(result.requestId)));
  for (let look = 0; look < 40 && log.size < wanted.size; look++) {
    if (look > 0) await new Promise((resolve) => setTimeout(resolve, 50));
    for (const entry of reader.read()) {
      const key = requestIdKey(entry.id);
      if (wanted.has(key)) log.set(key, entry);
    }
  }
}

function reportOf(results: readonly Sent[], log: ReadonlyMap<string, LoggedCall>, mesh: MeshFile): CallReport {
  const entries = results.map((result) => log.get(requestIdKey(result.requestId)));
  const names = namesByEndpoint(mesh);
  const answered = results.flatMap((result, index) => {
    const host = entries[index]?.host || result.endpoint;
    return host === undefined || host === "" || host === "-" ? [] : [names.get(host) ?? host];
  });
  const latencies = results.map((result) => result.latencyMs).toSorted((a, b) => a - b);
  const ms = (percent: number): number => Math.round(percentile(latencies, percent) * 100) / 100;
  return {
    requests: results.length,
    statuses: Object.fromEntries(tally(results.map((result) => String(result.status)))),
    flags: Object.fromEntries(tally(entries.map((entry) => entry?.flags ?? "-"))),
    workloads: Object.fromEntries(tally(answered)),
    latencyMs: { p50: ms(50), p90: ms(90), p99: ms(99) },
  };
}

/** `ip:port` → Deployment, for everything that serves. */
export function namesByEndpoint(mesh: MeshFile): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  for (const workload of mesh.workloads) {
    for (const { bind, app } of workload.inbound) {
      const serving = workload.sidecar === undefined ? app : bind;
      names.set(`${serving.address}:${serving.port}`, workload.name);
    }
  }
  return names;
}

function printReport(report: CallReport, results: readonly Sent[], io: CommandIo): void {
  const rows = Object.entries(report.workloads).map(([name, count]) => [
    name,
    String(count),
    `${((100 * count) / report.requests).toFixed(1)} %`,
  ]);
  io.out(formatTable(["ANSWERED BY", "REQUESTS", "SHARE"], rows, 3));
  const counts = (record: Readonly<Record<string, number>>): string =>
    Object.entries(record)
      .map(([key, count]) => `${key} × ${count}`)
      .join(", ");
  io.out(`statuses: ${counts(report.statuses)}\nflags: ${counts(report.flags)}\n`);
  const { p50, p90, p99 } = report.latencyMs;
  io.out(`latency: p50 ${p50} ms, p90 ${p90} ms, p99 ${p99} ms\n`);
  const failure = results.find((result) => result.error !== undefined)?.error;
  if (failure !== undefined) io.err(`some requests got no answer: ${failure}\n`);
}

function parseHeader(text: string): readonly [string, string] {
  const colon = text.indexOf(":");
  if (colon <= 0) throw new MeshError("usage", `-H takes "name: value", not "${text}"`);
  return [text.slice(0, colon).trim().toLowerCase(), text.slice(colon + 1).trim()];
}
