/** The scenarios of `bench/limits.ts`: what is done to a proxy, and which figures come of it. */
import type { Runtime } from "#lib/runtime.ts";
import type { ListenerName } from "#proxy/testing/load/bootstrap.ts";
import { openConnections } from "#proxy/testing/load/connections.ts";
import { flood, floods } from "#proxy/testing/load/http2-flood.ts";
import { memoryOf, resetPeak } from "#proxy/testing/load/memory.ts";
import { sendSlowHeads, type SlowKind } from "#proxy/testing/load/slow-heads.ts";
import type { StreamingOrigin } from "#proxy/testing/load/streaming-origin.ts";
import { download, upload, type TransferProtocol } from "#proxy/testing/load/transfer.ts";
import { pause, until, untilQuiet } from "#proxy/testing/load/wait.ts";
import { loadPath } from "../load.ts";
import { cpuMicroseconds } from "../processes.ts";

/** A proxy process under load. */
export interface Subject {
  readonly runtime: Runtime;
  readonly origin: StreamingOrigin;
  readonly pid: number;
  readonly ports: Readonly<Record<ListenerName, number>>;
}

export interface Figure {
  readonly figure: string;
  readonly unit: string;
  readonly value: number;
}

interface Scenario {
  readonly name: string;
  /** Descriptors that the proxy, and this process, need. */
  readonly needsFiles?: number;
  /** Begins when the process is at rest. */
  readonly settles?: boolean;
  readonly run: (subject: Subject) => Promise<readonly Figure[]>;
}

const MB = 2 ** 20;
const GB = 2 ** 30;
const IDLE = 10_000;

/** Above what is resident now, MB. */
async function peakDuring(pid: number, work: () => Promise<unknown>): Promise<number> {
  const before = memoryOf(pid).residentBytes;
  resetPeak(pid);
  await work();
  return (memoryOf(pid).peakBytes - before) / MB;
}

async function idle({ runtime, pid, ports }: Subject): Promise<Figure[]> {
  const before = memoryOf(pid).residentBytes;
  const cpuBefore = cpuMicroseconds(pid);
  const many = await openConnections(runtime, ports.http1, IDLE);
  if (many.answered !== IDLE) throw new Error(`only ${many.answered} of ${IDLE} connections were answered`);
  const cpu = cpuMicroseconds(pid) - cpuBefore;
  await pause(runtime, 5000);
  const after = memoryOf(pid).residentBytes;
  const restBefore = cpuMicroseconds(pid);
  await pause(runtime, 5000);
  const rest = cpuMicroseconds(pid) - restBefore;
  if (many.open() !== IDLE) throw new Error(`only ${many.open()} of ${IDLE} connections are still open`);
  many.close();
  return [
    { figure: "at rest, without connections", unit: "MB", value: before / MB },
    { figure: "memory a connection", unit: "KB", value: (after - before) / 1024 / IDLE },
    { figure: "CPU to accept one and answer its first request", unit: "µs", value: cpu / IDLE },
    { figure: "CPU while all are idle", unit: "ms a second", value: rest / 5000 },
  ];
}

async function active({ pid, ports }: Subject): Promise<Figure[]> {
  await loadPath(ports.http1, 2, 2000, "/bytes/1024");
  const before = memoryOf(pid).residentBytes;
  resetPeak(pid);
  const cpuBefore = cpuMicroseconds(pid);
  const { requests, errors } = await loadPath(ports.http1, 5, 2000, "/bytes/1024");
  if (errors > 0) throw new Error(`${errors} of ${requests} requests failed`);
  return [
    { figure: "CPU a request", unit: "µs", value: (cpuMicroseconds(pid) - cpuBefore) / requests },
    { figure: "resident, peak", unit: "MB", value: memoryOf(pid).peakBytes / MB },
    { figure: "resident after two seconds of it", unit: "MB", value: before / MB },
  ];
}

const bodies =
  (protocol: TransferProtocol) =>
  async ({ runtime, pid, ports }: Subject): Promise<Figure[]> => {
    const figures: Figure[] = [];
    for (const [direction, begin] of [["down", download] as const, ["up", upload] as const]) {
      const cpuBefore = cpuMicroseconds(pid);
      const peak = await peakDuring(pid, async () => (await begin(runtime, ports[protocol], protocol, GB)).done);
      figures.push(
        { figure: `1 GB ${direction}: grown by at most`, unit: "MB", value: peak },
        { figure: `1 GB ${direction}: CPU`, unit: "ms", value: (cpuMicroseconds(pid) - cpuBefore) / 1000 },
      );
    }
    return figures;
  };

/** Three seconds without reading, then the rest. */
const slowReaders =
  (protocol: TransferProtocol) =>
  async ({ runtime, origin, pid, ports }: Subject): Promise<Figure[]> => {
    let heldDown = 0;
    const peakDown = await peakDuring(pid, async () => {
      const transfer = await download(runtime, ports[protocol], protocol, GB);
      transfer.hold(true);
      await pause(runtime, 3000);
      heldDown = origin.sent - transfer.bytes;
      transfer.hold(false);
      await transfer.done;
    });
    let heldUp = 0;
    const peakUp = await peakDuring(pid, async () => {
      origin.holdsBodies = true;
      const transfer = await upload(runtime, ports[protocol], protocol, GB);
      await untilQuiet(runtime, 1000, () => transfer.bytes);
      await pause(runtime, 2000);
      heldUp = transfer.bytes - origin.received;
      origin.holdsBodies = false;
      await until(runtime, 10_000, () => origin.readHeld() > 0);
      await transfer.done;
    });
    return [
      { figure: "client stops: on the way", unit: "MB", value: heldDown / MB },
      { figure: "client stops: grown by at most", unit: "MB", value: peakDown },
      { figure: "origin stops: on the way", unit: "MB", value: heldUp / MB },
      { figure: "origin stops: grown by at most", unit: "MB", value: peakUp },
    ];
  };

const slowHeads =
  (kind: SlowKind, count: number, everyMs: number) =>
  async ({ runtime, pid, ports }: Subject): Promise<Figure[]> => {
    const cpuBefore = cpuMicroseconds(pid);
    let result: Awaited<ReturnType<typeof sendSlowHeads>> | undefined;
    const peak = await peakDuring(pid, async () => {
      result = await sendSlowHeads(runtime, ports.hasty, { count, everyMs, kind });
    });
    if (result === undefined) return [];
    const { endings, shortestMs, longestMs } = result;
    const answered = Object.entries(endings).find(([line]) => line.includes(" 408 "))?.[1] ?? 0;
    return [
      { figure: "ended by 408", unit: `of ${count}`, value: answered },
      { figure: "ended first after", unit: "ms", value: shortestMs },
      { figure: "ended last after", unit: "ms", value: longestMs },
      { figure: "CPU a connection", unit: "µs", value: (cpuMicroseconds(pid) - cpuBefore) / count },
      { figure: "memory a connection", unit: "KB", value: (peak * 1024) / count },
    ];
  };

async function connectionFlood({ runtime, pid, ports }: Subject): Promise<Figure[]> {
  const count = 10_000;
  const cpuBefore = cpuMicroseconds(pid);
  const many = await openConnections(runtime, ports.limited, count);
  const cpu = cpuMicroseconds(pid) - cpuBefore;
  many.close();
  await pause(runtime, 1000);
  const again = await openConnections(runtime, ports.limited, 100);
  again.close();
  return [
    { figure: "answered (the limit is 500)", unit: `of ${count}`, value: many.answered },
    { figure: "refused", unit: `of ${count}`, value: many.refused },
    { figure: "CPU a connection", unit: "µs", value: cpu / count },
    { figure: "answered after they have closed", unit: "of 100", value: again.answered },
  ];
}

async function http2Floods({ runtime, pid, ports }: Subject): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const kind of floods) {
    const connections = 20;
    const cpuBefore = cpuMicroseconds(pid);
    let [sent, closed] = [0, 0];
    for (let i = 0; i < connections; i++) {
      const result = await flood(runtime, ports.http2, kind, 200_000);
      sent += result.sent;
      if (result.isClosed) closed++;
    }
    await pause(runtime, 500);
    figures.push(
      { figure: `${kind}: connections closed`, unit: `of ${connections}`, value: closed },
      { figure: `${kind}: frames sent until then`, unit: "a connection", value: sent / connections },
      { figure: `${kind}: CPU`, unit: "µs a connection", value: (cpuMicroseconds(pid) - cpuBefore) / connections },
    );
  }
  return figures;
}

export const scenarios: readonly Scenario[] = [
  { name: "idle: 10,000 connections", needsFiles: IDLE + 200, settles: true, run: idle },
  { name: "active: 2,000 connections", needsFiles: 4200, run: active },
  { name: "bodies, HTTP/1.1", run: bodies("http1") },
  { name: "bodies, HTTP/2", run: bodies("http2") },
  { name: "slow readers, HTTP/1.1", run: slowReaders("http1") },
  { name: "slow readers, HTTP/2", run: slowReaders("http2") },
  { name: "slow-heads: 2,000 × a byte every 50 ms", needsFiles: 2200, run: slowHeads("http1", 2000, 50) },
  { name: "slow-heads: 2,000 × the beginning of HTTP/2", needsFiles: 2200, run: slowHeads("preface", 2000, 50) },
  { name: "slow-heads: 2,000 × silence", needsFiles: 2200, run: slowHeads("silence", 2000, 50) },
  { name: "flood: 10,000 connections", needsFiles: 10_200, run: connectionFlood },
  { name: "http2 floods", run: http2Floods },
];
