/** The same bytes in several pieces. */
import { createHash } from "node:crypto";

/** Two to five pieces, cut at places that follow from the bytes. */
export function split(bytes: Buffer): readonly Buffer[] {
  const digest = createHash("sha1").update(bytes).digest();
  const cuts = [...digest.subarray(1, 2 + ((digest[0] ?? 0) % 4))].map((byte, index) =>
    bytes.length === 0 ? 0 : (byte * 257 + index) % (bytes.length + 1),
  );
  const points = [...new Set([0, ...cuts, bytes.length])].toSorted((a, b) => a - b);
  return points.slice(1).map((point, index) => bytes.subarray(points[index], point));
}

/** Throws when two results differ; `what` names them. */
export function same(one: unknown, other: unknown, what: string): void {
  const [a, b] = [JSON.stringify(one), JSON.stringify(other)];
  if (a !== b) throw new Error(`${what} differ:\n  ${a}\n  ${b}`);
}
