/** Coverage-guided fuzzing of one target: what reaches new code is kept and changed further. */
import { performance } from "node:perf_hooks";
import { startCoverage, type Coverage } from "./coverage.ts";
import { chanceOf, mutated } from "./mutate.ts";

export interface FuzzTarget {
  readonly name: string;
  /** Where to begin. */
  readonly seeds: readonly Buffer[];
  readonly dictionary: readonly string[];
  readonly maxBytes?: number;
  /** Throws, or rejects, where a property does not hold. */
  run(bytes: Buffer): void | Promise<void>;
}

export interface FuzzOptions {
  readonly seed: number;
  /** Whichever comes first. */
  readonly milliseconds: number;
  readonly runs?: number;
  readonly corpus?: readonly Buffer[];
  /** Whose code is to be reached; default: the proxy's. */
  readonly sources?: RegExp;
  readonly onInput?: (bytes: Buffer) => void;
}

export interface Finding {
  readonly input: Buffer;
  readonly error: unknown;
}

export interface FuzzResult {
  readonly runs: number;
  readonly blocks: number;
  /** What reached something that none before it did. */
  readonly corpus: readonly Buffer[];
  readonly finding: Finding | undefined;
}

/** Asking V8 costs more than a thousand small inputs: many are run before it is asked. */
const FIRST_BATCH = 32;
const LAST_BATCH = 1024;
/** No input of a few thousand bytes may take as long. */
const SLOW_MS = 1000;

/** Ends at the first finding. */
export async function fuzz(target: FuzzTarget, options: FuzzOptions): Promise<FuzzResult> {
  const coverage = startCoverage(options.sources ?? /\/(?:proxy|protos|lib|certs)\//);
  try {
    return await new Fuzzer(target, options, coverage).run();
  } finally {
    coverage.stop();
  }
}

class Fuzzer {
  readonly #target: FuzzTarget;
  readonly #options: FuzzOptions;
  readonly #coverage: Coverage;
  readonly #seen = new Set<string>();
  readonly #corpus: Buffer[] = [];
  #runs = 0;
  #finding: Finding | undefined = undefined;

  constructor(target: FuzzTarget, options: FuzzOptions, coverage: Coverage) {
    this.#target = target;
    this.#options = options;
    this.#coverage = coverage;
  }

  async run(): Promise<FuzzResult> {
    const { seed, milliseconds, runs = Infinity, corpus = [] } = this.#options;
    const { seeds, dictionary, maxBytes = 4096 } = this.#target;
    const end = performance.now() + milliseconds;
    for (const input of [...seeds, ...corpus]) await this.#hunt([input], seeds.includes(input));
    const chance = chanceOf(seed);
    const words = dictionary.map((word) => Buffer.from(word, "latin1"));
    let size = FIRST_BATCH;
    while (this.#finding === undefined && performance.now() < end && this.#runs < runs) {
      const batch = Array.from({ length: size }, () => {
        // The newest reach furthest.
        const { length } = this.#corpus;
        const index = chance(2) === 0 ? chance(length || 1) : Math.max(0, length - 1 - chance(8));
        const from = this.#corpus[index] ?? Buffer.alloc(0);
        return mutated(from, { chance, dictionary: words, corpus: this.#corpus, maxBytes });
      });
      const found = await this.#hunt(batch);
      size = found > 0 ? FIRST_BATCH : Math.min(size * 2, LAST_BATCH);
    }
    return { runs: this.#runs, blocks: this.#seen.size, corpus: this.#corpus, finding: this.#finding };
  }

  /** Runs the inputs; those that reached something new are looked for, half by half, and kept. Gives their number. */
  async #hunt(inputs: readonly Buffer[], isSeed = false): Promise<number> {
    this.#coverage.take();
    for (const input of inputs) {
      await this.#try(input);
      if (this.#finding !== undefined) return 0;
    }
    const news = this.#coverage.take().filter((block) => !this.#seen.has(block));
    if (news.length === 0 && !isSeed) return 0;
    if (inputs.length === 1) {
      for (const block of news) this.#seen.add(block);
      this.#corpus.push(...inputs);
      return 1;
    }
    const middle = inputs.length >> 1;
    const before = await this.#hunt(inputs.slice(0, middle));
    const after = await this.#hunt(inputs.slice(middle));
    // What only all of them together reach (a cache that is full) is not looked for again.
    if (before + after === 0) for (const block of news) this.#seen.add(block);
    return before + after;
  }

  async #try(input: Buffer): Promise<void> {
    this.#runs++;
    this.#options.onInput?.(input);
    try {
      let tookMs = await this.#timed(input);
      // Once may be the machine's doing.
      if (tookMs > SLOW_MS) tookMs = await this.#timed(input);
      if (tookMs > SLOW_MS) this.#finding = { input, error: new Error(`took ${Math.round(tookMs)} ms, twice`) };
    } catch (error) {
      this.#finding = { input, error };
    }
  }

  async #timed(input: Buffer): Promise<number> {
    const before = performance.now();
    const running = this.#target.run(input);
    if (running !== undefined) await running;
    return performance.now() - before;
  }
}
