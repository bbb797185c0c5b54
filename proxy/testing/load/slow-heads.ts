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
  options: {
    readonly count: number;
    readonly everyMs: number;
    readonly kind: SlowKind;
    /** Tells whoever looks at the peer that all connections are there. */
    onAllOpen?(): void;
  },
): Promise<SlowHeadsResult> {
  const head = heads[options.kind];
  const { clock } = runtime;
  const endings: Record<string, number> = {};
  const open = new Set<Connection>();
  let [shortestMs, longestMs, bytesSent, opened] = [Infinity, 0, 0, 0];
  const ended = Array.from({ length: options.count }, () => {
    return new Promise<void>((resolve) => {
      let answer = "";
      let start = clock.monotonic();
      const connection = runtime.network.connect(
        { address: { kind: "ip", address: "127.0.0.1", port } },
        {
          onConnect() {
            start = clock.monotonic();
            open.add(connection);
            if (++opened === options.count) options.onAllOpen?.();
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
          },
        },
      );
    });
  });
  let at = 0;
  const step = (): void => {
    const byte = head[at++];
    if (byte !== undefined) {
      for (const connection of open) connection.write(byte);
      bytesSent += open.size;
    }
    timer = clock.setTimer(options.everyMs, step);
  };
  let timer = clock.setTimer(options.everyMs, step);
  await Promise.all(ended);
  timer.cancel();
  return { endings, shortestMs, longestMs, bytesSent };
}
