/** Changes to bytes, by chance. */

/** 0 … `below` − 1. */
export type Chance = (below: number) => number;

/** The same numbers for the same seed (mulberry32). */
export function chanceOf(seed: number): Chance {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

export interface MutateOptions {
  readonly chance: Chance;
  /** Words that the grammar knows. */
  readonly dictionary: readonly Buffer[];
  /** Others, to cross with. */
  readonly corpus: readonly Buffer[];
  readonly maxBytes: number;
}

/** A copy with one to six changes. */
export function mutated(bytes: Buffer, options: MutateOptions): Buffer {
  let changed = Buffer.from(bytes);
  for (let left = 1 + options.chance(6); left > 0; left--) changed = once(changed, options);
  return changed.length > options.maxBytes ? changed.subarray(0, options.maxBytes) : changed;
}

const edges = [0, 1, 0x0a, 0x0d, 0x20, 0x7f, 0x80, 0xff];

function once(bytes: Buffer, { chance, dictionary, corpus }: MutateOptions): Buffer<ArrayBuffer> {
  const at = chance(bytes.length + 1);
  const to = Math.min(bytes.length, at + 1 + chance(16));
  const [before, piece, after] = [bytes.subarray(0, at), bytes.subarray(at, to), bytes.subarray(to)];
  const word = dictionary.length === 0 ? Buffer.of(chance(256)) : dictionary[chance(dictionary.length)];
  switch (chance(9)) {
    case 0:
      return Buffer.concat([before, Buffer.from(piece.map((byte) => byte ^ (1 << chance(8)))), after]);
    case 1:
      return Buffer.concat([before, Buffer.of(edges[chance(edges.length)] ?? 0), bytes.subarray(at + 1)]);
    case 2:
      return Buffer.concat([before, after]);
    case 3:
      return Buffer.concat([before, piece, piece, after]);
    case 4:
    case 5:
      return Buffer.concat([before, word ?? Buffer.alloc(0), bytes.subarray(at)]);
    case 6:
      return Buffer.concat([before, word ?? Buffer.alloc(0), after]);
    case 7:
      return Buffer.concat([before, Buffer.of(chance(256)), bytes.subarray(at)]);
    default: {
      const other = corpus[chance(Math.max(1, corpus.length))] ?? bytes;
      return Buffer.concat([before, other.subarray(chance(other.length + 1))]);
    }
  }
}
