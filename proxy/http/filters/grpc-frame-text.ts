/** gRPC frames → base64, each frame for itself, however the bytes are cut; no more than a few bytes are kept. */

const HEAD_BYTES = 5;
const NOTHING: Buffer = Buffer.alloc(0);

export class FrameText {
  /** A head that is not complete. */
  #head: Buffer = NOTHING;
  /** Fewer than three bytes: base64 takes three at a time. */
  #carry: Buffer = NOTHING;
  /** Bytes of the frame that are still to come. */
  #left = 0;

  /** What can be written now. */
  write(chunk: Buffer): string {
    let text = "";
    let at = 0;
    while (at < chunk.length) {
      if (this.#left === 0) {
        const head = Buffer.concat([this.#head, chunk.subarray(at, at + HEAD_BYTES - this.#head.length)]);
        at += head.length - this.#head.length;
        this.#head = head;
        if (head.length < HEAD_BYTES) break;
        this.#head = NOTHING;
        this.#left = head.readUInt32BE(1);
        if (this.#left === 0) text += head.toString("base64");
        else this.#carry = head;
        continue;
      }
      const piece = Buffer.concat([this.#carry, chunk.subarray(at, at + this.#left)]);
      const taken = piece.length - this.#carry.length;
      at += taken;
      this.#left -= taken;
      const end = this.#left === 0 ? piece.length : piece.length - (piece.length % 3);
      text += piece.toString("base64", 0, end);
      this.#carry = piece.subarray(end);
    }
    return text;
  }
}
