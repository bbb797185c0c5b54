/** The dynamic table of an encoder: which fields the peer keeps, found by name and value. */
import { firstDynamicIndex, staticNames, staticTable } from "./static-table.ts";

/** What is done with a field's value (RFC 7541 §6.2). */
export type Indexing = "index" | "never" | "drop";

/** Everything known about one name: where the static table has it, and its values in the dynamic table. */
export class NameSlot {
  readonly name: string;
  readonly staticIndex: number;
  readonly staticValue: string;
  readonly indexing: Indexing;
  /** The value used last, in the table or not, and its number there. */
  lastValue: string | undefined = undefined;
  lastNumber = -1;
  /** Values in the table beside the last one. */
  values: Map<string, number> | undefined = undefined;
  /**
   * Whether this name's values come again: each one that is inserted costs, each that is found pays. At zero a value
   * is inserted only once it has been seen twice in a row, so that request ids and dates don't push out what is used.
   */
  credit = 4;

  constructor(name: string, indexing: Indexing) {
    this.name = name;
    this.indexing = indexing;
    this.staticIndex = staticNames.get(name) ?? 0;
    this.staticValue = staticTable[this.staticIndex - 1]?.[1] ?? "";
  }
}

const maxCredit = 16;

/** An entry's place is its number, counted from the first ever inserted; its index follows from the newest. */
export class EncoderTable {
  #newest = -1;
  #oldest = 0;
  #size = 0;
  #maxSize: number;
  // A ring of the entries from #oldest to #newest.
  #slots: (NameSlot | undefined)[] = [];
  #values: string[] = [];

  constructor(maxSize: number) {
    this.#maxSize = maxSize;
  }

  /** The index of a value of this name; 0 when the table has it not. */
  find(slot: NameSlot, value: string): number {
    let number = slot.lastNumber;
    if (value !== slot.lastValue) number = slot.values?.get(value) ?? -1;
    if (number < this.#oldest) return 0;
    slot.lastValue = value;
    slot.lastNumber = number;
    if (slot.credit < maxCredit) slot.credit++;
    return firstDynamicIndex + this.#newest - number;
  }

  /** Decides whether a value that was not found is to be kept; if so it is the newest from now on. */
  offer(slot: NameSlot, value: string): boolean {
    const isRepeated = value === slot.lastValue;
    slot.lastValue = value;
    slot.lastNumber = -1;
    const size = slot.name.length + value.length + 32;
    // A value that would empty much of the table is not worth it.
    if (size > this.#maxSize >> 1) return false;
    if (slot.credit <= 0 && !isRepeated) return false;
    slot.credit--;
    this.#evict(this.#maxSize - size);
    const number = ++this.#newest;
    if (number - this.#oldest >= this.#slots.length) this.#grow();
    const at = number & (this.#slots.length - 1);
    this.#slots[at] = slot;
    this.#values[at] = value;
    this.#size += size;
    slot.lastNumber = number;
    slot.values ??= new Map();
    slot.values.set(value, number);
    return true;
  }

  resize(maxSize: number): void {
    this.#maxSize = maxSize;
    this.#evict(maxSize);
  }

  get size(): number {
    return this.#size;
  }

  #evict(size: number): void {
    const mask = this.#slots.length - 1;
    for (; this.#size > size; this.#oldest++) {
      const at = this.#oldest & mask;
      const slot = this.#slots[at] as NameSlot;
      const value = this.#values[at] as string;
      this.#size -= slot.name.length + value.length + 32;
      if (slot.values?.get(value) === this.#oldest) slot.values.delete(value);
      this.#slots[at] = undefined;
      this.#values[at] = "";
    }
  }

  #grow(): void {
    const size = Math.max(16, this.#slots.length * 2);
    const slots: (NameSlot | undefined)[] = Array.from({ length: size });
    const values: string[] = Array.from<string>({ length: size }).fill("");
    const mask = this.#slots.length - 1;
    for (let number = this.#oldest; number < this.#newest; number++) {
      slots[number & (size - 1)] = this.#slots[number & mask];
      values[number & (size - 1)] = this.#values[number & mask] as string;
    }
    this.#slots = slots;
    this.#values = values;
  }
}
