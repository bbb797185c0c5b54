/** mt19937: bounded loads walk the hosts in the order that it gives, so it has to be Envoy's (`std::mt19937`). */

const size = 624;
const shift = 397;

export class MersenneTwister {
  readonly #state = new Uint32Array(size);
  #index = size;

  constructor(seed: number) {
    const state = this.#state;
    state[0] = seed;
    for (let i = 1; i < size; i++) {
      const previous = state[i - 1] as number;
      state[i] = Math.imul(1812433253, previous ^ (previous >>> 30)) + i;
    }
  }

  /** Uniform 32 bits. */
  next(): number {
    if (this.#index === size) this.#generate();
    let value = this.#state[this.#index++] as number;
    value ^= value >>> 11;
    value ^= (value << 7) & 0x9d2c5680;
    value ^= (value << 15) & 0xefc60000;
    return (value ^ (value >>> 18)) >>> 0;
  }

  /** Uniform in 0 … bound−1, by division and rejection. */
  below(bound: number): number {
    if (bound <= 1) return 0;
    const scale = Math.floor(2 ** 32 / bound);
    for (;;) {
      const value = Math.floor(this.next() / scale);
      if (value < bound) return value;
    }
  }

  #generate(): void {
    const state = this.#state;
    for (let i = 0; i < size; i++) {
      const bits = ((state[i] as number) & 0x80000000) | ((state[(i + 1) % size] as number) & 0x7fffffff);
      state[i] = (state[(i + shift) % size] as number) ^ (bits >>> 1) ^ ((bits & 1) === 0 ? 0 : 0x9908b0df);
    }
    this.#index = 0;
  }
}
