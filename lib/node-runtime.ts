/** The real runtime: the system's clock, chance and network, and a log on stderr. */
import { randomBytes, randomUUID } from "node:crypto";
import { createLogger } from "./logger.ts";
import { nodeNetwork } from "./node-network.ts";
import type { Clock, LogLevel, Random, Runtime, Timer } from "./runtime.ts";
import { HashedTimerWheel } from "./timer-wheel.ts";

export interface NodeRuntimeOptions {
  /** Default `info`. */
  readonly logLevel?: LogLevel;
  /** Receives whole lines, newline included. Default: stderr. */
  readonly writeLog?: (line: string) => void;
  /** Resolution of the timer wheel. Default 10 ms. */
  readonly tickMs?: number;
}

/** Makes the runtime of a real process. Nothing in it keeps the process alive but timers of `setTimer` and sockets. */
export function nodeRuntime(options: NodeRuntimeOptions = {}): Runtime {
  const clock = nodeClock(options.tickMs ?? 10);
  return {
    clock,
    random: nodeRandom(),
    network: nodeNetwork(),
    log: createLogger({
      level: options.logLevel ?? "info",
      now: () => clock.now(),
      pid: process.pid,
      write: options.writeLog ?? ((line) => void process.stderr.write(line)),
    }),
  };
}

/** Node's timers take at most 2^31 - 1 ms; longer ones go in steps. */
const LONGEST_MS = 2 ** 31 - 1;

function nodeClock(tickMs: number): Clock {
  const monotonic = (): number => performance.now();
  const setTimer = (delayMs: number, callback: () => void, keepAlive = true): Timer => {
    let handle: NodeJS.Timeout;
    const arm = (leftMs: number): void => {
      const stepMs = Math.min(Math.max(leftMs, 0), LONGEST_MS);
      handle = setTimeout(() => (leftMs > stepMs ? arm(leftMs - stepMs) : callback()), stepMs);
      if (!keepAlive) handle.unref();
    };
    arm(delayMs);
    return { cancel: () => clearTimeout(handle) };
  };
  return {
    now: () => Date.now(),
    monotonic,
    setTimer: (delayMs, callback) => setTimer(delayMs, callback),
    atEndOfTurn: (callback) => void setImmediate(callback),
    wheel: new HashedTimerWheel(
      // Rounded up: a system timer may come a fraction early, and a wheel that wakes early has to wake twice.
      { monotonic, wake: (delayMs, callback) => setTimer(Math.ceil(delayMs), callback, false) },
      tickMs,
    ),
  };
}

function nodeRandom(): Random {
  const words = new Uint32Array(2);
  const wide = new BigUint64Array(words.buffer);
  const uint32 = (): number => (Math.random() * 0x1_0000_0000) >>> 0;
  return {
    float: () => Math.random(),
    uint32,
    uint64: () => {
      words[0] = uint32();
      words[1] = uint32();
      return wide[0] as bigint;
    },
    // Node draws the entropy of 128 of them at once.
    uuid: () => randomUUID(),
    bytes: (length) => randomBytes(length),
  };
}
