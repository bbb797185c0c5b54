/** Keeps a process of the mesh running: starts it again when it ends on its own, more slowly each time. */
import { lastLines, startChild, type Child, type ChildOptions } from "./child.ts";
import type { Guard } from "./guard.ts";

export interface Supervised {
  readonly name: string;
  readonly pid: number | undefined;
  readonly restarts: number;
  stop(graceMs: number): Promise<void>;
  /** Ends the process outright; it is started again (for tests of faults). */
  readonly child: Child;
}

export interface SupervisionEvents {
  /** It ended though nobody asked it to. */
  onEnded(name: string, how: string, log: string, nextStartMs: number): void;
  onStarted(name: string): void;
}

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 10_000;
/** A process that lived this long starts from the first pause again. */
const HEALTHY_AFTER_MS = 30_000;

export function supervise(options: ChildOptions, guard: Guard, events: SupervisionEvents): Supervised {
  let isStopping = false;
  let restarts = 0;
  let pauseMs = FIRST_PAUSE_MS;
  let pending: NodeJS.Timeout | undefined;
  let child = start();

  function start(): Child {
    const startedAt = performance.now();
    const started = startChild(options);
    guard.add(started.pid);
    events.onStarted(options.name);
    void started.ended.then((how) => {
      if (isStopping) return;
      if (performance.now() - startedAt > HEALTHY_AFTER_MS) pauseMs = FIRST_PAUSE_MS;
      events.onEnded(options.name, how, lastLines(options.logFile, 5), pauseMs);
      pending = setTimeout(() => {
        restarts += 1;
        child = start();
      }, pauseMs);
      pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
    });
    return started;
  }

  return {
    name: options.name,
    get pid() {
      return child.pid;
    },
    get restarts() {
      return restarts;
    },
    get child() {
      return child;
    },
    async stop(graceMs) {
      isStopping = true;
      clearTimeout(pending);
      await child.stop(graceMs);
    },
  };
}
