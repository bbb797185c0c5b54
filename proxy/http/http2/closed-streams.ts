/** The streams that ended last: frames for them may still be under way. */

export class ClosedStreams {
  /** Made with the first that ends. */
  #ids: Int32Array | undefined = undefined;
  #next = 0;
  readonly #size: number;

  constructor(size: number) {
    this.#size = size;
  }

  add(streamId: number): void {
    const ids = (this.#ids ??= new Int32Array(this.#size));
    ids[this.#next] = streamId;
    this.#next = (this.#next + 1) % ids.length;
  }

  has(streamId: number): boolean {
    return this.#ids !== undefined && this.#ids.includes(streamId);
  }
}
