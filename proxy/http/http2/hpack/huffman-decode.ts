/** Huffman strings to bytes, a byte of input at a time through a tree of 256-way nodes. */
import { codeLengths, codes, endOfString } from "./huffman-code.ts";

/** 256 entries a node: positive, the next node; negative, `-(symbol × 16 + bits of the code within this node)`. */
const tree: Int16Array = buildTree();

/**
 * Decodes `source[start, end)` into `target` from its beginning, which has room for 8/5 of the input.
 * Returns the length; -1 when the input is no Huffman string (EOS in it, or a padding that is none).
 */
export function decodeHuffman(source: Uint8Array, start: number, end: number, target: Uint8Array): number {
  let length = 0;
  let node = 0;
  /** Bits not yet used, and how many of them count; `sinceSymbol` counts those after the last symbol. */
  let bits = 0;
  let count = 0;
  let sinceSymbol = 0;
  for (let i = start; i < end; i++) {
    bits = ((bits << 8) | (source[i] as number)) & 0xffff;
    count += 8;
    sinceSymbol += 8;
    while (count >= 8) {
      const entry = tree[node + ((bits >> (count - 8)) & 0xff)] as number;
      if (entry > 0) {
        node = entry << 8;
        count -= 8;
        continue;
      }
      const symbol = -entry >> 4;
      if (symbol === endOfString) return -1;
      target[length++] = symbol;
      count -= -entry & 15;
      node = 0;
      sinceSymbol = count;
    }
  }
  while (count > 0) {
    const entry = tree[node + ((bits << (8 - count)) & 0xff)] as number;
    if (entry > 0) break;
    const used = -entry & 15;
    if (used > count) break;
    const symbol = -entry >> 4;
    if (symbol === endOfString) return -1;
    target[length++] = symbol;
    count -= used;
    node = 0;
    sinceSymbol = count;
  }
  const padding = (1 << count) - 1;
  return sinceSymbol > 7 || (bits & padding) !== padding ? -1 : length;
}

function buildTree(): Int16Array {
  const nodes: number[] = Array.from<number>({ length: 256 }).fill(0);
  for (let symbol = 0; symbol < codes.length; symbol++) {
    const code = codes[symbol] as number;
    let left = codeLengths[symbol] as number;
    let node = 0;
    for (; left > 8; left -= 8) {
      const at = node * 256 + ((code >>> (left - 8)) & 0xff);
      if (nodes[at] === 0) {
        nodes[at] = nodes.length / 256;
        nodes.push(...Array.from<number>({ length: 256 }).fill(0));
      }
      node = nodes[at] as number;
    }
    const first = node * 256 + ((code << (8 - left)) & 0xff);
    nodes.fill(-(symbol * 16 + left), first, first + (1 << (8 - left)));
  }
  return Int16Array.from(nodes);
}
