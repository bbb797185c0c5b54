/** Live traffic of a LocalMesh, and what it shows: requests, success rate, latency, who answered. */
import { CallLogReader } from "./call-log.ts";
import { percentile, tally } from "./latency.ts";
import type { LocalTraffic } from "./local-mesh.ts";
import { findWorkload, type MeshFile } from "./mesh-file.ts";
import { createSender, parseTarget, type Sender } from "./sender.ts";

export interface TrafficSecond {
  readonly requests: number;
  /** Answered with a status below 500. */
  readonly succeeded: number;
  readonly p50: number;
  readonly p99: number;
  /** Service → Deployment → requests, as the callers' sidecars logged them; services with several Deployments only. */
  readonly splits: ReadonlyMap<string, ReadonlyMap<string, number>>;
}

export interface Traffic {
  /** Everything since the last call. */
  takeSecond(): TrafficSecond;
  stop(): Promise<void>;
}

/** Sends at fixed rates (open loop: a slow answer does not slow the sending), each request as its workload. */
export function startTraffic(
  traffic: readonly LocalTraffic[],
  mesh: () => MeshFile,
  names: () => ReadonlyMap<string, string>,
  onFirstAnswer: () => void,
): Traffic {
  const senders: Sender[] = [];
  const timers: NodeJS.Timeout[] = [];
  let latencies: number[] = [];
  let requests = 0;
  let succeeded = 0;
  let hasAnswered = false;
  for (const { from, url, method, headers, rate } of traffic) {
    const current = mesh();
    const sender = createSender(
      current,
      findWorkload(current, from),
      { method, url: parseTarget(url), headers },
      { connections: 64, timeoutMs: 30_000 },
    );
    senders.push(sender);
    timers.push(
      setInterval(() => {
        void sender.send().then((sent) => {
          requests += 1;
          if (sent.status > 0 && sent.status < 500) {
            if (!hasAnswered) onFirstAnswer();
            hasAnswered = true;
            succeeded += 1;
          }
          latencies.push(sent.latencyMs);
        });
      }, 1000 / rate),
    );
  }
  const logs = new Map<string, CallLogReader>();
  return {
    takeSecond() {
      const sorted = latencies.toSorted((a, b) => a - b);
      const second: TrafficSecond = {
        requests,
        succeeded,
        p50: percentile(sorted, 50),
        p99: percentile(sorted, 99),
        splits: readSplits(mesh(), names(), logs),
      };
      latencies = [];
      requests = 0;
      succeeded = 0;
      return second;
    },
    async stop() {
      for (const timer of timers) clearInterval(timer);
      await Promise.all(senders.map((sender) => sender.close()));
    },
  };
}

function readSplits(
  mesh: MeshFile,
  names: ReadonlyMap<string, string>,
  logs: Map<string, CallLogReader>,
): TrafficSecond["splits"] {
  const answers = new Map<string, string[]>();
  for (const { sidecar } of mesh.workloads) {
    if (sidecar === undefined) continue;
    const reader = logs.get(sidecar.callLog) ?? new CallLogReader(sidecar.callLog);
    logs.set(sidecar.callLog, reader);
    for (const call of reader.read()) {
      const name = names.get(call.host);
      if (name === undefined) continue;
      // `outbound|80|v1|payment-api.default.svc.cluster.local` → payment-api
      const service = call.cluster.split("|")[3]?.split(".")[0] ?? call.authority;
      const list = answers.get(service);
      if (list === undefined) answers.set(service, [name]);
      else list.push(name);
    }
  }
  return new Map(
    [...answers].map(([service, list]) => [service, tally(list)] as const).toSorted(([a], [b]) => a.localeCompare(b)),
  );
}

/** `12:00:01  35 req/s  100.0 % ok  p50 12 ms  p99 41 ms  payment-api: payment-v1 90 % payment-v2 10 %`. */
export function formatSecond(second: TrafficSecond, versioned: ReadonlySet<string>): string {
  const rate = second.requests === 0 ? "  –  " : `${((100 * second.succeeded) / second.requests).toFixed(1)} %`;
  const splits = [...second.splits]
    .filter(([service]) => versioned.has(service))
    .map(([service, counts]) => {
      const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
      const parts = [...counts]
        .toSorted(([a], [b]) => a.localeCompare(b))
        .map(([name, count]) => `${name} ${Math.round((100 * count) / total)} %`);
      return `${service}: ${parts.join(", ")}`;
    });
  const head = `${String(second.requests).padStart(4)} req/s  ${rate.padStart(7)} ok  p50 ${ms(second.p50)}  p99 ${ms(second.p99)}`;
  return [head, ...splits].join("  |  ");
}

function ms(value: number): string {
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`.padStart(7);
}
