/** One piece of a body, framed, in one write: small ones as a string (with a head that waited), large ones as bytes. */
import { latin1 } from "./latin1.ts";
import { chunkHead } from "./write-head.ts";

/** Up to this size a string is cheaper: the system call takes it from the stack, no Buffer is made. */
const smallBytes = 16 * 1024;

export interface BodyOutput {
  write(text: string): boolean;
  /** `chunk` is lent. */
  writeBulk(before: string, chunk: Buffer, after: string): boolean;
  readonly canWrite: boolean;
}

/** `head` is a head not yet written, or empty. */
export function writeBody(
  output: BodyOutput,
  head: string,
  chunk: Buffer | string,
  isChunked: boolean,
  endStream: boolean,
): boolean {
  const size = chunk.length;
  if (size === 0) {
    const text = isChunked && endStream ? `${head}0\r\n\r\n` : head;
    return text === "" ? output.canWrite : output.write(text);
  }
  const before = isChunked ? head + chunkHead(size) : head;
  const after = !isChunked ? "" : endStream ? "\r\n0\r\n\r\n" : "\r\n";
  if (typeof chunk === "string") return output.write(before + chunk + after);
  return size <= smallBytes
    ? output.write(before + latin1(chunk, 0, size) + after)
    : output.writeBulk(before, chunk, after);
}
