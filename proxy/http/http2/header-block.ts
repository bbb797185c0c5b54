/** A header block that comes in more than one frame. */

export class HeaderBlock {
  /** Whose block it is; 0: none is open. */
  streamId = 0;
  endStream = false;
  length = 0;
  #bytes: Buffer = nothing;

  begin(streamId: number, endStream: boolean, bytes: Buffer, start: number, end: number): void {
    this.streamId = streamId;
    this.endStream = endStream;
    this.append(bytes, start, end);
  }

  append(bytes: Buffer, start: number, end: number): void {
    const length = this.length + end - start;
    if (length > this.#bytes.length) {
      const grown = Buffer.allocUnsafe(Math.max(length, this.#bytes.length * 2, 1024));
      this.#bytes.copy(grown, 0, 0, this.length);
      this.#bytes = grown;
    }
    bytes.copy(this.#bytes, this.length, start, end);
    this.length = length;
  }

  /** The whole of it; none is open any more. */
  take(): Buffer {
    const whole = this.#bytes.subarray(0, this.length);
    this.#bytes = nothing;
    this.length = 0;
    this.streamId = 0;
    return whole;
  }
}

const nothing: Buffer = Buffer.alloc(0);
