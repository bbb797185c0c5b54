/**
 * Large pieces of bodies on their way out. They arrive lent, so they are copied; into buffers that are used again, because
 * new ones of this size make the garbage collector run for their sake alone.
 */
import type { Connection } from "#lib/connection.ts";
import { writeLatin1 } from "./latin1.ts";

/** What a socket gives in one read, and the framing around it. */
const bufferBytes = 64 * 1024 + 1024;
/** Idle buffers beyond this many are let go. */
const maxIdle = 32;

/** One for all connections of a listener or cluster. */
export class BulkWriter {
  readonly #idle: Buffer[] = [];

  /** Writes `before`, the lent `chunk` and `after` in one go. */
  write(connection: Connection, before: string, chunk: Buffer, after: string): boolean {
    const total = before.length + chunk.length + after.length;
    const base =
      total <= bufferBytes ? (this.#idle.pop() ?? Buffer.allocUnsafeSlow(bufferBytes)) : Buffer.allocUnsafe(total);
    if (before !== "") writeLatin1(base, before, 0);
    chunk.copy(base, before.length);
    if (after !== "") writeLatin1(base, after, before.length + chunk.length);
    const bytes = base.length === total ? base : base.subarray(0, total);
    return total <= bufferBytes ? connection.write(bytes, () => this.#giveBack(base)) : connection.write(bytes);
  }

  #giveBack(base: Buffer): void {
    if (this.#idle.length < maxIdle) this.#idle.push(base);
  }
}
