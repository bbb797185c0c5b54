/**
 * Pieces of bodies that wait. They arrive lent, so they are copied; those of a frame's size into memory that is used again,
 * because a new buffer for each makes the garbage collector run for their sake alone.
 */

const pieceBytes = 16 * 1024;
/** Less than this comes from Node's own pool at no such price. */
const smallBytes = 4 * 1024;
/** 8 MB that may lie idle: half of a stream by the default window. */
const maxIdle = 512;
const idle: Buffer[] = [];

export class HeldPiece {
  readonly bytes: Buffer;
  #base: Buffer | undefined;

  /** Copies `chunk`. */
  constructor(chunk: Buffer) {
    const { length } = chunk;
    if (length < smallBytes || length > pieceBytes) {
      this.#base = undefined;
      this.bytes = Buffer.from(chunk);
      return;
    }
    const base = idle.pop() ?? Buffer.allocUnsafeSlow(pieceBytes);
    chunk.copy(base);
    this.#base = base;
    this.bytes = length === pieceBytes ? base : base.subarray(0, length);
  }

  /** Nobody looks at `bytes` from here on. A piece that is never released is merely collected. */
  release(): void {
    const base = this.#base;
    this.#base = undefined;
    if (base !== undefined && idle.length < maxIdle) idle.push(base);
  }
}

/** In parts none of which is larger than what is used again. */
export function holdPieces(chunk: Buffer, pieces: HeldPiece[]): void {
  if (chunk.length <= pieceBytes) pieces.push(new HeldPiece(chunk));
  else
    for (let start = 0; start < chunk.length; start += pieceBytes)
      pieces.push(new HeldPiece(chunk.subarray(start, start + pieceBytes)));
}
