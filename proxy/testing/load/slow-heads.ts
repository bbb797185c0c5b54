/** Slowloris: request heads that never come to their end, a byte at a time. */
import type { Connection } from "#lib/connection.ts";
import type { Runtime } from "#lib/runtime.ts";

export interface SlowHeadsResult {
  /** How the connections ended: the first line of the answer, or "closed". */
  readonly endings: Readonly<Record<string, number>>;
  /** ms from the connection's start to its end. */
  readonly shortestMs: number;
  readonly longestMs: number;
  readonly bytesSent: number;
}

/** A head with no end; of what begins like HTTP/2 only the beginning is sent. */
const heads: Readonly<Record<SlowKind, string>> = {
  http1: `GET / HTTP/1.1\r\nhost: load\r\nx: ${"a".repeat(4000)}`,
  preface: "PRI * HTTP/2.0\r\n",
  silence: "",
};

export type SlowKind = "http1" | "preface" | "silence";

/** Opens `count` connections, each sending its next byte every `everyMs`, and waits until the peer has ended all. */
export async function sendSlowHeads(
  runtime: Runtime,
  port: number,
  options: { readonly count: number; readonly everyMs: number; readonly kind: SlowKind },
): Promise<SlowHeadsResult> {
  const head = heads[options.kind];
  const { clock } = runtime;
  const endings: Record<string, number> = {};
  /** How many bytes each has sent. */
  const open = new Map<Connection, number>();
  let [shortestMs, longestMs, bytesSent, left] = [Infinity, 0, 0, options.count];
  const ended: Promise<void>[] = [];
  const openOne = (): Promise<void> =>
    new Promise((resolve) => {
      let answer = "";
      let start = clock.monotonic();
      ended.push(
        new Promise((end) => {
          const connection = runtime.network.connect(
            { address: { kind: "ip", address: "127.0.0.1", port } },
            {
              onConnect() {
                start = clock.monotonic();
                open.set(connection, 0);
                resolve();
              },
              onData(chunk) {
                if (answer === "") answer = chunk.toString("latin1").split("\r\n")[0] ?? "";
              },
              onClose() {
                open.delete(connection);
                const ending = answer === "" ? "closed" : answer;
                endings[ending] = (endings[ending] ?? 0) + 1;
                const tookMs = clock.monotonic() - start;
                shortestMs = Math.min(shortestMs, tookMs);
                longestMs = Math.max(longestMs, tookMs);
                resolve();
                end();
              },
            },
          );
        }),
      );
    });
  const step = (): void => {
    for (const [connection, at] of open) {
      const byte = head[at];
      if (byte === undefined) continue;
      connection.write(byte);
      open.set(connection, at + 1);
      bytesSent++;
    }
    timer = clock.setTimer(options.everyMs, step);
  };
  let timer = clock.setTimer(options.everyMs, step);
  // A few at a time: what a full backlog drops looks open to its client.
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (left-- > 0) await openOne();
    }),
  );
  await Promise.all(ended);
  timer.cancel();
  return { endings, shortestMs, longestMs, bytesSent };
}

const AT_ONCE = 50;
