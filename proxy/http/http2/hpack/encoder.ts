/** Fields to header blocks (RFC 7541): what was sent before is a byte, what is secret never enters a table. */
import { writeLatin1 } from "../../http1/latin1.ts";
import { initialTableBytes } from "../frames.ts";
import type { WriteBuffer } from "../write-buffer.ts";
import { EncoderTable, NameSlot, type Indexing } from "./encoder-table.ts";
import { encodeHuffman, huffmanLength } from "./huffman-encode.ts";

const special: ReadonlyMap<string, Indexing> = new Map<string, Indexing>([
  // Whoever could guess them against a table they share would learn them (RFC 7541 §7.1).
  ["authorization", "never"],
  ["proxy-authorization", "never"],
  // Fields of HTTP/1.1 connections; what mattered of them has been acted upon.
  ["connection", "drop"],
  ["keep-alive", "drop"],
  ["proxy-connection", "drop"],
  ["transfer-encoding", "drop"],
  ["upgrade", "drop"],
  ["http2-settings", "drop"],
  ["host", "drop"],
]);

/** Names of which a connection remembers how they are used. */
const maxSlots = 512;
/** So short a cookie could be guessed. */
const guessableCookieLength = 20;

export class HpackEncoder {
  readonly #table: EncoderTable = new EncoderTable(initialTableBytes);
  readonly #slots = new Map<string, NameSlot>();
  readonly #status: NameSlot = new NameSlot(":status", "index");
  readonly #usesHuffman: boolean;
  #maxSize = initialTableBytes;
  /** The smallest and the last size since the last block: both have to be told (RFC 7541 §4.2). */
  #smallestSize = initialTableBytes;
  #toldSize = initialTableBytes;

  constructor(usesHuffman = true) {
    this.#usesHuffman = usesHuffman;
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE; more than the protocol's default is not used. */
  setMaxSize(bytes: number): void {
    const size = Math.min(bytes, initialTableBytes);
    this.#maxSize = size;
    this.#smallestSize = Math.min(this.#smallestSize, size);
    this.#table.resize(size);
  }

  /** Before the first field of each block. */
  begin(out: WriteBuffer): void {
    if (this.#smallestSize === this.#toldSize && this.#maxSize === this.#toldSize) return;
    out.reserve(12);
    if (this.#smallestSize < this.#maxSize) writeInteger(out, this.#smallestSize, 0x1f, 0x20);
    writeInteger(out, this.#maxSize, 0x1f, 0x20);
    this.#toldSize = this.#maxSize;
    this.#smallestSize = this.#maxSize;
  }

  status(out: WriteBuffer, status: number): void {
    out.reserve(16);
    const index = staticStatuses.indexOf(status);
    if (index >= 0) out.bytes[out.length++] = 0x88 + index;
    else this.#field(out, this.#status, String(status), false);
  }

  method(out: WriteBuffer, method: string): void {
    out.reserve(2);
    if (method === "GET") out.bytes[out.length++] = 0x82;
    else if (method === "POST") out.bytes[out.length++] = 0x83;
    else this.field(out, ":method", method, false);
  }

  scheme(out: WriteBuffer, scheme: string): void {
    out.reserve(2);
    if (scheme === "http") out.bytes[out.length++] = 0x86;
    else if (scheme === "https") out.bytes[out.length++] = 0x87;
    else this.field(out, ":scheme", scheme, false);
  }

  path(out: WriteBuffer, path: string): void {
    out.reserve(2);
    if (path === "/") out.bytes[out.length++] = 0x84;
    else this.field(out, ":path", path, false);
  }

  /** `isSensitive`: the field came as one that no table may have. */
  field(out: WriteBuffer, name: string, value: string, isSensitive: boolean): void {
    const slot = this.#slots.get(name) ?? this.#slot(name);
    this.#field(out, slot, value, isSensitive);
  }

  #field(out: WriteBuffer, slot: NameSlot, value: string, isSensitive: boolean): void {
    if (slot.indexing === "drop") return;
    if (slot.staticValue !== "" && slot.staticValue === value) {
      out.reserve(2);
      out.bytes[out.length++] = 0x80 | slot.staticIndex;
      return;
    }
    if (slot.indexing === "never" || isSensitive || (slot.name === "cookie" && value.length < guessableCookieLength)) {
      this.#literal(out, slot, value, 0x0f, 0x10, false);
      return;
    }
    const index = this.#table.find(slot, value);
    if (index !== 0) {
      out.reserve(4);
      if (index < 0x7f) out.bytes[out.length++] = 0x80 | index;
      else writeInteger(out, index, 0x7f, 0x80);
      return;
    }
    // What stays in the table is worth the work of a Huffman code, what is sent once is not.
    if (this.#table.offer(slot, value)) this.#literal(out, slot, value, 0x3f, 0x40, this.#usesHuffman);
    else this.#literal(out, slot, value, 0x0f, 0, false);
  }

  #literal(out: WriteBuffer, slot: NameSlot, value: string, mask: number, pattern: number, isHuffman: boolean): void {
    out.reserve(24 + slot.name.length + 4 * value.length);
    writeInteger(out, slot.staticIndex, mask, pattern);
    if (slot.staticIndex === 0) writeString(out, slot.name, isHuffman);
    writeString(out, value, isHuffman);
  }

  #slot(name: string): NameSlot {
    const slot = new NameSlot(name, special.get(name) ?? "index");
    if (this.#slots.size < maxSlots) this.#slots.set(name, slot);
    else slot.credit = 0;
    return slot;
  }
}

const staticStatuses: readonly number[] = [200, 204, 206, 304, 400, 404, 500];
/** Above Latin-1: such characters only come out of our own configuration or of JSON. */
const wide = /[\u0100-\uffff]/;

function writeInteger(out: WriteBuffer, value: number, mask: number, pattern: number): void {
  const bytes = out.bytes;
  if (value < mask) {
    bytes[out.length++] = pattern | value;
    return;
  }
  bytes[out.length++] = pattern | mask;
  let rest = value - mask;
  for (; rest >= 128; rest >>>= 7) bytes[out.length++] = (rest & 0x7f) | 0x80;
  bytes[out.length++] = rest;
}

function writeString(out: WriteBuffer, text: string, isHuffman: boolean): void {
  // One byte a character; others as UTF-8, so that none of them turns into a line feed on its way.
  const value = wide.test(text) ? Buffer.from(text).toString("latin1") : text;
  if (isHuffman) {
    const length = huffmanLength(value);
    if (length < value.length) {
      writeInteger(out, length, 0x7f, 0x80);
      out.length = encodeHuffman(value, out.bytes, out.length);
      return;
    }
  }
  writeInteger(out, value.length, 0x7f, 0);
  if (value !== "") writeLatin1(out.bytes, value, out.length);
  out.length += value.length;
}
