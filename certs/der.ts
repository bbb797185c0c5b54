/**
 * DER, as little of it as X.509 needs (X.690): a writer of byte strings and a strict reader. Written here because a
 * general ASN.1 library costs a sidecar 25 MB and 160 ms (docs/adr/0050).
 */

/** Universal tags and the bit that marks a constructed value. */
export const Tag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** `[number]` primitive, as in `[2] IMPLICIT IA5String`. */
export function contextTag(number: number): number {
  return 0x80 | number;
}

/** `[number]` constructed, as in `[3] EXPLICIT`. */
export function constructedContextTag(number: number): number {
  return 0xa0 | number;
}

/** The bytes are not DER, or not of the expected shape. */
export class DerError extends Error {
  override readonly name = "DerError";
}

/** One value: tag, length, and the parts one after the other. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  let length = 0;
  for (const part of parts) length += part.length;
  const headerLength = length < 0x80 ? 2 : length < 0x100 ? 3 : length < 0x10000 ? 4 : 5;
  const bytes = Buffer.allocUnsafe(headerLength + length);
  bytes[0] = tag;
  if (headerLength === 2) bytes[1] = length;
  else {
    bytes[1] = 0x80 | (headerLength - 2);
    bytes.writeUIntBE(length, 2, headerLength - 2);
  }
  let offset = headerLength;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}

export function sequence(...parts: readonly Uint8Array[]): Buffer {
  return der(Tag.sequence, ...parts);
}

/** An object identifier from its dotted form. */
export function oid(dotted: string): Buffer {
  const arcs = dotted.split(".").map(Number);
  const [first = 0, second = 0, ...rest] = arcs;
  const bytes: number[] = [];
  for (const arc of [first * 40 + second, ...rest]) {
    const groups = [arc % 128];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) groups.unshift((left % 128) | 0x80);
    bytes.push(...groups);
  }
  return der(Tag.oid, Uint8Array.from(bytes));
}

/** An integer from big-endian bytes that stand for a number ≥ 0. */
export function unsignedInteger(bytes: Uint8Array): Buffer {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const trimmed = bytes.subarray(start);
  return ((trimmed[0] ?? 0) & 0x80) === 0 && trimmed.length > 0
    ? der(Tag.integer, trimmed)
    : der(Tag.integer, Uint8Array.of(0), trimmed);
}

export function smallInteger(value: number): Buffer {
  return unsignedInteger(
    Uint8Array.of((value >>> 24) & 0xff, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff),
  );
}

export function boolean(value: boolean): Buffer {
  return der(Tag.boolean, Uint8Array.of(value ? 0xff : 0));
}

export function octetString(bytes: Uint8Array): Buffer {
  return der(Tag.octetString, bytes);
}

/** A bit string of whole bytes, or with `unusedBits` at its end. */
export function bitString(bytes: Uint8Array, unusedBits = 0): Buffer {
  return der(Tag.bitString, Uint8Array.of(unusedBits), bytes);
}

/** UTCTime until 2049, GeneralizedTime after (RFC 5280 §4.1.2.5), to the second. */
export function time(ms: number): Buffer {
  const digits = `${new Date(ms).toISOString().slice(0, 19).replace(/[-T:]/g, "")}Z`;
  return digits < "2050"
    ? der(Tag.utcTime, Buffer.from(digits.slice(2), "latin1"))
    : der(Tag.generalizedTime, Buffer.from(digits, "latin1"));
}

/** One decoded value; the arrays are views of what was read. */
export interface DerValue {
  readonly tag: number;
  /** With tag and length. */
  readonly bytes: Buffer;
  readonly content: Buffer;
}

/** Reads values one after the other; every length must be definite, minimal and within its parent. */
export class DerReader {
  private readonly bytes: Buffer;
  private offset = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get isAtEnd(): boolean {
    return this.offset >= this.bytes.length;
  }

  /** The tag of the next value; undefined at the end. */
  peekTag(): number | undefined {
    return this.bytes[this.offset];
  }

  /** The next value, which must have this tag if one is given. */
  read(tag?: number): DerValue {
    const start = this.offset;
    const found = this.bytes[start];
    const first = this.bytes[start + 1];
    if (found === undefined || first === undefined) throw new DerError("the data end too early");
    if ((found & 0x1f) === 0x1f) throw new DerError("tags above 30 do not occur in certificates");
    if (tag !== undefined && found !== tag) {
      throw new DerError(`expected tag 0x${tag.toString(16)} at byte ${start}, found 0x${found.toString(16)}`);
    }
    let length = first;
    let contentStart = start + 2;
    if (first >= 0x80) {
      const count = first & 0x7f;
      if (count === 0 || count > 3) throw new DerError(`length at byte ${start + 1} is indefinite or too large`);
      if (contentStart + count > this.bytes.length) throw new DerError("the data end too early");
      length = this.bytes.readUIntBE(contentStart, count);
      contentStart += count;
      if (length < 0x80 || (count > 1 && length < 2 ** (8 * (count - 1)))) {
        throw new DerError(`length at byte ${start + 1} is not in its shortest form`);
      }
    }
    const end = contentStart + length;
    if (end > this.bytes.length) throw new DerError("the data end too early");
    this.offset = end;
    return { tag: found, bytes: this.bytes.subarray(start, end), content: this.bytes.subarray(contentStart, end) };
  }

  /** Reads a value of this tag and gives a reader over its content. */
  enter(tag: number = Tag.sequence): DerReader {
    return new DerReader(this.read(tag).content);
  }

  /** The next value if it has this tag. */
  optional(tag: number): DerValue | undefined {
    return this.peekTag() === tag ? this.read(tag) : undefined;
  }

  /** Nothing may follow. */
  end(): void {
    if (!this.isAtEnd) throw new DerError("unexpected data after the last value");
  }
}

/** Reads a complete encoding that is one value and nothing more. */
export function readSingle(bytes: Uint8Array, tag: number = Tag.sequence): DerReader {
  const outer = new DerReader(bytes);
  const inner = outer.enter(tag);
  outer.end();
  return inner;
}

/** The dotted form of an object identifier's content. */
export function oidText(content: Uint8Array): string {
  const arcs: number[] = [];
  let value = 0;
  for (const byte of content) {
    value = value * 128 + (byte & 0x7f);
    if ((byte & 0x80) === 0) {
      if (arcs.length === 0) {
        const first = Math.min(Math.floor(value / 40), 2);
        arcs.push(first, value - first * 40);
      } else arcs.push(value);
      value = 0;
    }
  }
  if (content.length === 0 || ((content.at(-1) ?? 0) & 0x80) !== 0)
    throw new DerError("an object identifier is cut off");
  return arcs.join(".");
}

/** TRUE or FALSE in DER's only forms. */
export function booleanOf(value: DerValue): boolean {
  const byte = value.content[0];
  if (value.content.length !== 1 || (byte !== 0 && byte !== 0xff)) throw new DerError("a boolean is not 00 or FF");
  return byte === 0xff;
}

/** A bit string as a function from bit number to its value. */
export function bitsOf(value: DerValue): { has(bit: number): boolean } {
  const unused = value.content[0];
  if (unused === undefined || unused > 7 || (unused > 0 && value.content.length === 1)) {
    throw new DerError("a bit string has a wrong count of unused bits");
  }
  const bytes = value.content.subarray(1);
  if (((bytes.at(-1) ?? 0) & ((1 << unused) - 1)) !== 0) throw new DerError("unused bits are set");
  return { has: (bit) => (((bytes[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1) === 1 };
}

/** A bit string of whole bytes: keys and signatures. */
export function wholeBytesOf(value: DerValue): Buffer {
  if (value.content[0] !== 0) throw new DerError("a bit string does not end with a whole byte");
  return value.content.subarray(1);
}

/** ms since the epoch of a UTCTime or GeneralizedTime in the forms of RFC 5280 (seconds, `Z`). */
export function timeOf(value: DerValue): number {
  const text = value.content.toString("latin1");
  const match =
    value.tag === Tag.utcTime
      ? /^(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/.exec(text)
      : value.tag === Tag.generalizedTime
        ? /^(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/.exec(text)
        : null;
  if (match === null) throw new DerError(`${JSON.stringify(text)} is not a time in a form of RFC 5280`);
  const [year = 0, month = 0, ...rest] = match.slice(1).map(Number);
  const fullYear = value.tag === Tag.generalizedTime ? year : year < 50 ? 2000 + year : 1900 + year;
  const [day, hour, minute, second] = rest;
  const ms = Date.UTC(fullYear, month - 1, day, hour, minute, second);
  if (new Date(ms).getUTCMonth() !== month - 1) throw new DerError(`${JSON.stringify(text)} is no date`);
  return ms;
}
