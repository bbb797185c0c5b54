/** Strings (one byte a character) to Huffman. */
import { codeLengths, codes } from "./huffman-code.ts";

/** Bytes of `text` once encoded. */
export function huffmanLength(text: string): number {
  let bits = 0;
  for (let i = 0; i < text.length; i++) bits += codeLengths[text.charCodeAt(i) & 0xff] as number;
  return (bits + 7) >> 3;
}

/** Writes `text` at `offset`; returns where it ends. */
export function encodeHuffman(text: string, target: Uint8Array, offset: number): number {
  let at = offset;
  /** The last `count` bits are not yet written; never more than 7 between symbols. */
  let bits = 0;
  let count = 0;
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i) & 0xff;
    let code = codes[symbol] as number;
    let length = codeLengths[symbol] as number;
    if (length > 16) {
      // In two steps, so that 32 bits are enough.
      const low = length - 16;
      bits = (bits << 16) | (code >>> low);
      count += 16;
      while (count >= 8) target[at++] = bits >>> (count -= 8);
      code &= (1 << low) - 1;
      length = low;
    }
    bits = (bits << length) | code;
    count += length;
    while (count >= 8) target[at++] = bits >>> (count -= 8);
  }
  if (count > 0) target[at++] = (bits << (8 - count)) | (0xff >> count);
  return at;
}
