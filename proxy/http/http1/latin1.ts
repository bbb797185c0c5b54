/**
 * Bytes to one-byte strings and back, without the dispatch of `toString("latin1")`. Node has had these methods on every
 * Buffer since its first versions; only their types are missing.
 */
interface Latin1Buffer {
  latin1Slice(start?: number, end?: number): string;
  latin1Write(text: string, offset?: number): number;
}

export function latin1(bytes: Buffer, start: number, end: number): string {
  return (bytes as unknown as Latin1Buffer).latin1Slice(start, end);
}

/** Writes `text` at `offset`; there must be room. Returns how many bytes that were. */
export function writeLatin1(bytes: Buffer, text: string, offset: number): number {
  return (bytes as unknown as Latin1Buffer).latin1Write(text, offset);
}

/** Heads are mostly shorter: they are found in one short string instead of by a search from outside. */
const usualHeadBytes = 2048;

/**
 * The head that begins at `offset`, without its last CRLF (its length + 2 is where the body begins); undefined while the
 * empty line that ends it is missing.
 */
export function headAt(bytes: Buffer, offset: number): string | undefined {
  const text = latin1(bytes, offset, Math.min(bytes.length, offset + usualHeadBytes));
  const end = text.indexOf("\r\n\r\n");
  if (end >= 0) return text.slice(0, end + 2);
  if (bytes.length - offset <= usualHeadBytes) return undefined;
  const far = bytes.indexOf("\r\n\r\n", offset, "latin1");
  return far < 0 ? undefined : latin1(bytes, offset, far + 2);
}
