/** Earliest-deadline-first scheduling: a weighted round robin in O(log n) (L-16). */

interface Entry<T> {
  readonly item: T;
  deadline: number;
  /** Order of insertion, which decides between equal deadlines. */
  order: number;
}

/** Each item comes up in proportion to its weight, which is asked anew at every pick. */
export class EdfScheduler<T> {
  readonly #heap: Entry<T>[] = [];
  #now = 0;
  #order = 0;

  get size(): number {
    return this.#heap.length;
  }

  /** `weight` above 0. */
  add(item: T, weight: number): void {
    this.#push({ item, deadline: this.#now + 1 / weight, order: this.#order++ });
  }

  /** The next item, which goes back with the weight it has then; undefined when there is none. */
  pick(weightOf: (item: T) => number): T | undefined {
    const top = this.#heap[0];
    if (top === undefined) return undefined;
    this.#now = top.deadline;
    top.deadline = this.#now + 1 / weightOf(top.item);
    top.order = this.#order++;
    this.#sink(0);
    return top.item;
  }

  #push(entry: Entry<T>): void {
    const heap = this.#heap;
    heap.push(entry);
    let at = heap.length - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(entry, heap[parent] as Entry<T>)) break;
      heap[at] = heap[parent] as Entry<T>;
      at = parent;
    }
    heap[at] = entry;
  }

  #sink(from: number): void {
    const heap = this.#heap;
    const entry = heap[from] as Entry<T>;
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Entry<T>, heap[child] as Entry<T>)) child++;
      if (!isBefore(heap[child] as Entry<T>, entry)) break;
      heap[at] = heap[child] as Entry<T>;
      at = child;
    }
    heap[at] = entry;
  }
}

function isBefore<T>(a: Entry<T>, b: Entry<T>): boolean {
  return a.deadline < b.deadline || (a.deadline === b.deadline && a.order < b.order);
}
