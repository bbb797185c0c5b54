/**
 * The open streams of a connection by their id. Ids come one after another, so a short array of chains does it.
 * (A `Map` that is always filled and emptied is rebuilt every few streams, and each of its discarded tables keeps the
 * next one, with the streams in it, alive through several garbage collections: that costs more than all of HPACK.)
 */
import type { Http2Stream } from "./stream.ts";

export class StreamTable {
  size = 0;
  #chains: (Http2Stream | undefined)[] = Array.from({ length: 16 });

  get(streamId: number): Http2Stream | undefined {
    let stream = this.#chains[(streamId >>> 1) & (this.#chains.length - 1)];
    while (stream !== undefined && stream.id !== streamId) stream = stream.nextInChain;
    return stream;
  }

  add(stream: Http2Stream): void {
    if (this.size >= this.#chains.length * 2) this.#grow();
    this.size++;
    this.#link(stream);
  }

  /** False: it is not there. */
  delete(stream: Http2Stream): boolean {
    const chains = this.#chains;
    const at = (stream.id >>> 1) & (chains.length - 1);
    let before: Http2Stream | undefined;
    for (let other = chains[at]; other !== undefined; other = other.nextInChain) {
      if (other === stream) {
        if (before === undefined) chains[at] = stream.nextInChain;
        else before.nextInChain = stream.nextInChain;
        stream.nextInChain = undefined;
        this.size--;
        return true;
      }
      before = other;
    }
    return false;
  }

  /** Those that are open now, whatever happens to them meanwhile. */
  all(): Http2Stream[] {
    const all: Http2Stream[] = [];
    for (let stream of this.#chains) for (; stream !== undefined; stream = stream.nextInChain) all.push(stream);
    return all;
  }

  #link(stream: Http2Stream): void {
    const at = (stream.id >>> 1) & (this.#chains.length - 1);
    stream.nextInChain = this.#chains[at];
    this.#chains[at] = stream;
  }

  #grow(): void {
    const all = this.all();
    this.#chains = Array.from({ length: this.#chains.length * 4 });
    for (const stream of all) this.#link(stream);
  }
}
