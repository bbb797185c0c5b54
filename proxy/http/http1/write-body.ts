/** One piece of a body, framed, as one write: small ones as a string (with a head that waited), large ones as bytes. */
import { joinBytes, latin1 } from "./latin1.ts";
import { chunkHead } from "./write-head.ts";

/** Up to this size a string is cheaper: the system call takes it from the stack, no Buffer is made. */
const smallBytes = 16 * 1024;

/** `head` is a head not yet written, or empty. An empty result needs no write. */
export function framedBody(
  head: string,
  chunk: Buffer | string,
  isChunked: boolean,
  endStream: boolean,
): string | Buffer {
  const size = chunk.length;
  if (size === 0) return isChunked && endStream ? `${head}0\r\n\r\n` : head;
  const before = isChunked ? head + chunkHead(size) : head;
  const after = !isChunked ? "" : endStream ? "\r\n0\r\n\r\n" : "\r\n";
  if (typeof chunk === "string") return before + chunk + after;
  return size <= smallBytes ? before + latin1(chunk, 0, size) + after : joinBytes(before, chunk, after);
}
