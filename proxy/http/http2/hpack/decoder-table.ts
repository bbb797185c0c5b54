/** The dynamic table of a decoder: newest first by index, a ring underneath (RFC 7541 §2.3.2, §4). */
import type { FieldName } from "../field-name.ts";

/** A field as it is kept: looked at once, used many times. */
export interface Field {
  readonly name: FieldName;
  /** Without white space at its ends. */
  readonly value: string;
  /** The value has no byte that a field value may not have. */
  readonly isValid: boolean;
  /** As RFC 7541 §4.1 counts it: bytes on the wire and 32. */
  readonly size: number;
}

export class DecoderTable {
  #ring: (Field | undefined)[] = [];
  /** Where the next field goes; `#ring` has a power of two of places. */
  #next = 0;
  #count = 0;
  #size = 0;
  #maxSize: number;

  constructor(maxSize: number) {
    this.#maxSize = maxSize;
  }

  /** 0 is the newest; undefined when there is none. */
  at(index: number): Field | undefined {
    if (index >= this.#count) return undefined;
    return this.#ring[(this.#next - 1 - index) & (this.#ring.length - 1)];
  }

  add(field: Field): void {
    this.#evict(this.#maxSize - field.size);
    if (field.size > this.#maxSize) return;
    if (this.#count === this.#ring.length) this.#grow();
    this.#ring[this.#next] = field;
    this.#next = (this.#next + 1) & (this.#ring.length - 1);
    this.#count++;
    this.#size += field.size;
  }

  resize(maxSize: number): void {
    this.#maxSize = maxSize;
    this.#evict(maxSize);
  }

  get maxSize(): number {
    return this.#maxSize;
  }

  #evict(size: number): void {
    const mask = this.#ring.length - 1;
    while (this.#count > 0 && this.#size > size) {
      const oldest = (this.#next - this.#count) & mask;
      this.#size -= this.#ring[oldest]?.size ?? 0;
      this.#ring[oldest] = undefined;
      this.#count--;
    }
  }

  #grow(): void {
    const ring: (Field | undefined)[] = [];
    for (let i = this.#count - 1; i >= 0; i--) ring.push(this.at(i));
    const size = Math.max(16, ring.length * 2);
    while (ring.length < size) ring.push(undefined);
    this.#ring = ring;
    this.#next = this.#count;
  }
}
