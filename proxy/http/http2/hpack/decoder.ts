/** Header blocks to fields (RFC 7541). */
import { latin1 } from "../../http1/latin1.ts";
import { fieldName, type FieldName, type Http2FieldNames } from "../field-name.ts";
import { DecoderTable, type Field } from "./decoder-table.ts";
import { decodeHuffman } from "./huffman-decode.ts";
import { firstDynamicIndex, staticTable } from "./static-table.ts";

/** Hears the fields of one block, in order. */
export interface FieldSink {
  /** `isSensitive`: the sender asks that nobody ever put it into a table (RFC 7541 §6.2.3). */
  onField(name: FieldName, value: string, isValid: boolean, isSensitive: boolean): void;
}

const staticFields: readonly (Field | undefined)[] = [
  undefined,
  ...staticTable.map(([name, value]): Field => ({ name: fieldName(name), value, isValid: true, size: 0 })),
];

/** 1 for each byte that may stand in a field value: HTAB, visible ASCII and space, everything above ASCII. */
const isValueByte: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte === 9 || (byte >= 32 && byte !== 127) ? 1 : 0,
);

/** The largest number that makes sense anywhere in a block. */
const maxInteger = 2 ** 28;

export class HpackDecoder {
  readonly #table: DecoderTable;
  readonly #names: Http2FieldNames;
  /** What we allow the peer's table to be; it has to say so first when that is less than what it uses. */
  #limit: number;
  #mustResize = false;
  /** Where the block is being read, and where it ends. */
  #at = 0;
  #end = 0;
  #scratch: Buffer = Buffer.alloc(0);
  // What #string found.
  #text = "";
  #wireLength = 0;
  #isTextValid = true;

  constructor(tableBytes: number, names: Http2FieldNames) {
    this.#table = new DecoderTable(tableBytes);
    this.#limit = tableBytes;
    this.#names = names;
  }

  /** Our SETTINGS_HEADER_TABLE_SIZE, once the peer has acknowledged it. */
  setLimit(bytes: number): void {
    this.#limit = bytes;
    if (bytes < this.#table.maxSize) this.#mustResize = true;
  }

  /** One whole block. False: it can't be read, and with it nothing more of the connection. */
  decode(bytes: Buffer, start: number, end: number, sink: FieldSink): boolean {
    this.#at = start;
    this.#end = end;
    let mayResize = true;
    while (this.#at < end) {
      const first = bytes[this.#at] as number;
      if (first >= 0x80) {
        const field = this.#fieldAt(this.#integer(bytes, 0x7f));
        if (field === undefined) return false;
        sink.onField(field.name, field.value, field.isValid, false);
      } else if (first >= 0x40) {
        const name = this.#name(bytes, 0x3f);
        if (name === undefined) return false;
        const nameLength = name.name.length;
        if (!this.#string(bytes, true)) return false;
        const isValid = this.#isTextValid;
        const field = { name, value: this.#text, isValid, size: nameLength + this.#wireLength + 32 };
        this.#table.add(field);
        sink.onField(name, field.value, isValid, false);
      } else if (first >= 0x20) {
        const size = this.#integer(bytes, 0x1f);
        if (!mayResize || size < 0 || size > this.#limit) return false;
        this.#table.resize(size);
        this.#mustResize = false;
        continue;
      } else {
        const name = this.#name(bytes, 0x0f);
        if (name === undefined || !this.#string(bytes, true)) return false;
        sink.onField(name, this.#text, this.#isTextValid, (first & 0x10) !== 0);
      }
      if (this.#mustResize) return false;
      mayResize = false;
    }
    return true;
  }

  #fieldAt(index: number): Field | undefined {
    return index < firstDynamicIndex ? staticFields[index] : this.#table.at(index - firstDynamicIndex);
  }

  #name(bytes: Buffer, mask: number): FieldName | undefined {
    const index = this.#integer(bytes, mask);
    if (index !== 0) return this.#fieldAt(index)?.name;
    return this.#string(bytes, false) ? this.#names.lookup(this.#text) : undefined;
  }

  /** RFC 7541 §5.1; -1 when it is cut off or too large. */
  #integer(bytes: Buffer, mask: number): number {
    let value = (bytes[this.#at++] as number) & mask;
    if (value < mask) return value;
    for (let factor = 1; this.#at < this.#end && factor <= maxInteger; factor *= 128) {
      const byte = bytes[this.#at++] as number;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value <= maxInteger ? value : -1;
    }
    return -1;
  }

  /** RFC 7541 §5.2. False when it is cut off or no Huffman string. */
  #string(bytes: Buffer, isValue: boolean): boolean {
    if (this.#at >= this.#end) return false;
    const isHuffman = (bytes[this.#at] as number) >= 0x80;
    const length = this.#integer(bytes, 0x7f);
    let start = this.#at;
    const after = start + length;
    if (length < 0 || after > this.#end) return false;
    this.#at = after;
    let source = bytes;
    let end = after;
    if (isHuffman) {
      source = this.#room(length);
      end = decodeHuffman(bytes, start, after, source);
      if (end < 0) return false;
      start = 0;
    }
    this.#wireLength = end - start;
    if (isValue) {
      while (end > start && isBlank(source[end - 1] as number)) end--;
      while (start < end && isBlank(source[start] as number)) start++;
      let valid = 1;
      for (let i = start; i < end; i++) valid &= isValueByte[source[i] as number] as number;
      this.#isTextValid = valid === 1;
    }
    this.#text = start === end ? "" : latin1(source, start, end);
    return true;
  }

  /** A code has five bits at least. */
  #room(huffmanBytes: number): Buffer {
    const needed = Math.ceil((huffmanBytes * 8) / 5);
    if (this.#scratch.length < needed) this.#scratch = Buffer.allocUnsafeSlow(Math.max(256, needed));
    return this.#scratch;
  }
}

function isBlank(byte: number): boolean {
  return byte === 32 || byte === 9;
}
