import { latin1 } from "./latin1.ts";

/** Collects a message head that arrives in pieces; grows by doubling, so that a slow peer costs no quadratic copying. */
export class HeadBuffer {
  #bytes: Buffer | undefined = undefined;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  append(chunk: Buffer): void {
    const needed = this.#length + chunk.length;
    if (this.#bytes === undefined || this.#bytes.length < needed) {
      const larger = Buffer.allocUnsafe(Math.max(1024, needed * 2));
      if (this.#bytes !== undefined) this.#bytes.copy(larger, 0, 0, this.#length);
      this.#bytes = larger;
    }
    chunk.copy(this.#bytes, this.#length);
    this.#length = needed;
  }

  /** Appends; `complete` when the empty line that ends a head is there, `bare-lf` when a line ends without CR. */
  appendHead(chunk: Buffer): "complete" | "incomplete" | "bare-lf" {
    const from = Math.max(0, this.#length - 3);
    this.append(chunk);
    const tail = latin1(this.#bytes as Buffer, from, this.#length);
    if (tail.includes("\r\n\r\n")) return "complete";
    return hasBareLineFeed(tail) ? "bare-lf" : "incomplete";
  }

  /** Everything so far, and empties the buffer. The result is owned by the caller. */
  take(): Buffer {
    const all = (this.#bytes ?? Buffer.alloc(0)).subarray(0, this.#length);
    this.clear();
    return all;
  }

  clear(): void {
    this.#bytes = undefined;
    this.#length = 0;
  }
}

/** True when some LF of `text` does not follow a CR; one at the very beginning is not judged. */
export function hasBareLineFeed(text: string): boolean {
  for (let at = text.indexOf("\n", 1); at >= 0; at = text.indexOf("\n", at + 1))
    if (text.charCodeAt(at - 1) !== 13) return true;
  return false;
}
