/** A whole world for tests: virtual time, seeded chance, a network in memory. A run can be replayed from its seed. */
import { createLogger } from "./logger.ts";
import type { Network, Runtime } from "./runtime.ts";
import { SimulatedClock } from "./simulated-clock.ts";
import { SimulatedNetwork } from "./simulated-network.ts";
import { simulatedRandom } from "./simulated-random.ts";

export interface SimulatedRuntime extends Runtime {
  readonly clock: SimulatedClock;
  /** The network as the host 127.0.0.1 sees it. */
  readonly network: Network;
  /** Latency, loss, partitions, names: the network as its maker sees it. */
  readonly world: SimulatedNetwork;
  /** Another host of the same world, with the same clock and chance. */
  at(host: string): Runtime;
  /** Moves time; everything that falls due on the way runs in order. */
  readonly advance: (ms: number) => Promise<void>;
  /** Runs what is due now: deliveries without latency, microtasks. */
  readonly settle: () => Promise<void>;
  /** What was logged, whole lines. */
  readonly logLines: readonly string[];
}

export interface SimulatedRuntimeOptions {
  readonly seed?: number;
  readonly logLevel?: Runtime["log"]["level"];
}

/** Makes a world at rest: nothing moves until `advance` or `settle`. */
export function simulatedRuntime(options: SimulatedRuntimeOptions = {}): SimulatedRuntime {
  const clock = new SimulatedClock();
  const random = simulatedRandom(options.seed ?? 1);
  const world = new SimulatedNetwork(clock, random);
  const logLines: string[] = [];
  const log = createLogger({
    level: options.logLevel ?? "info",
    now: () => clock.now(),
    pid: 1,
    write: (line) => void logLines.push(line.trimEnd()),
  });
  return {
    clock,
    random,
    network: world.at("127.0.0.1"),
    world,
    log,
    logLines,
    at: (host) => ({ clock, random, log, network: world.at(host) }),
    advance: (ms) => clock.advance(ms),
    settle: () => clock.advance(0),
  };
}
