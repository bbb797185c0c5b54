/** A number that goes up and down: of this thread, or of the whole process where threads share it. */
export interface Count {
  readonly value: number;
  add(amount: number): void;
}

export class PlainCount implements Count {
  value = 0;
  add(amount: number): void {
    this.value += amount;
  }
}

/** One cell of memory that threads share. */
export class SharedCount implements Count {
  readonly #cells: Int32Array;
  readonly #index: number;

  constructor(cells: Int32Array, index = 0) {
    this.#cells = cells;
    this.#index = index;
  }

  get value(): number {
    return Atomics.load(this.#cells, this.#index);
  }

  add(amount: number): void {
    Atomics.add(this.#cells, this.#index, amount);
  }
}
