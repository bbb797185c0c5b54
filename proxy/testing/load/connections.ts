/** Many connections at once: idle ones, and ones beyond what is allowed. */
import type { Connection } from "#lib/connection.ts";
import type { Runtime } from "#lib/runtime.ts";

/** Connections are opened this many at a time: a listener's backlog is not endless. */
const AT_ONCE = 100;
/** One that neither answers nor closes counts as lost after so long. */
const LOST_AFTER_MS = 60_000;

const request = "GET /bytes/2 HTTP/1.1\r\nhost: load\r\nuser-agent: load\r\n\r\n";

export type Outcome = "answered" | "refused" | "lost";

export interface ManyConnections {
  readonly answered: number;
  /** Closed or reset without an answer. */
  readonly refused: number;
  readonly lost: number;
  /** Connections of those answered that are still open. */
  open(): number;
  close(): void;
}

/** Opens `count` connections one after the other, each with one request; those that are answered stay open, idle. */
export async function openConnections(runtime: Runtime, port: number, count: number): Promise<ManyConnections> {
  const open = new Set<Connection>();
  const outcomes: Record<Outcome, number> = { answered: 0, refused: 0, lost: 0 };
  let left = count;
  await Promise.all(
    Array.from({ length: Math.min(AT_ONCE, count) }, async () => {
      while (left > 0) {
        left--;
        outcomes[await openOne(runtime, port, open)]++;
      }
    }),
  );
  return {
    ...outcomes,
    open: () => open.size,
    close: () => {
      for (const connection of open) connection.destroy();
    },
  };
}

function openOne(runtime: Runtime, port: number, open: Set<Connection>): Promise<Outcome> {
  return new Promise((resolve) => {
    const timer = runtime.clock.setTimer(LOST_AFTER_MS, () => {
      connection.destroy();
      resolve("lost");
    });
    const settle = (outcome: Outcome): void => {
      timer.cancel();
      resolve(outcome);
    };
    const connection = runtime.network.connect(
      { address: { kind: "ip", address: "127.0.0.1", port } },
      {
        onConnect: () => void connection.write(request),
        onData() {
          open.add(connection);
          settle("answered");
        },
        onClose() {
          open.delete(connection);
          settle("refused");
        },
      },
    );
  });
}
