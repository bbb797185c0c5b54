/**
 * xxHash64 on 32-bit halves: no bigint inside, because it runs for each request with a hash policy and for each entry of
 * a hash ring.
 */

/** A 64-bit unsigned integer that is changed in place. */
class Word {
  hi: number;
  lo: number;

  constructor(hi: number, lo: number) {
    this.hi = hi;
    this.lo = lo;
  }

  add(hi: number, lo: number): void {
    const low = this.lo + lo;
    this.hi = (this.hi + hi + (low > 0xffffffff ? 1 : 0)) >>> 0;
    this.lo = low >>> 0;
  }

  xor(hi: number, lo: number): void {
    this.hi = (this.hi ^ hi) >>> 0;
    this.lo = (this.lo ^ lo) >>> 0;
  }

  /** `bits` from 1 to 31. */
  rotateLeft(bits: number): void {
    const { hi, lo } = this;
    this.hi = ((hi << bits) | (lo >>> (32 - bits))) >>> 0;
    this.lo = ((lo << bits) | (hi >>> (32 - bits))) >>> 0;
  }

  /** `this ^= this >>> bits`. */
  xorShiftRight(bits: number): void {
    const { hi, lo } = this;
    if (bits >= 32) this.lo = (lo ^ (hi >>> (bits - 32))) >>> 0;
    else this.xor(hi >>> bits, ((lo >>> bits) | (hi << (32 - bits))) >>> 0);
  }

  multiply(hi: number, lo: number): void {
    const a0 = this.lo & 0xffff;
    const a1 = this.lo >>> 16;
    const b0 = lo & 0xffff;
    const b1 = lo >>> 16;
    const low = a0 * b0;
    const middle = a1 * b0 + (low >>> 16);
    const cross = a0 * b1 + (middle & 0xffff);
    const high = a1 * b1 + (middle >>> 16) + (cross >>> 16);
    this.hi = (high + Math.imul(this.hi, lo) + Math.imul(this.lo, hi)) >>> 0;
    this.lo = ((cross << 16) | (low & 0xffff)) >>> 0;
  }
}

const p1hi = 0x9e3779b1;
const p1lo = 0x85ebca87;
const p2hi = 0xc2b2ae3d;
const p2lo = 0x27d4eb4f;
const p3hi = 0x165667b1;
const p3lo = 0x9e3779f9;
const p4hi = 0x85ebca77;
const p4lo = 0xc2b2ae63;
const p5hi = 0x27d4eb2f;
const p5lo = 0x165667c5;

/** xxHash64 of a latin1 string (one byte a character; of a higher code unit only the low byte counts). */
export function xxHash64(text: string, seed: bigint = 0n): bigint {
  const seedHi = Number((seed >> 32n) & 0xffffffffn);
  const seedLo = Number(seed & 0xffffffffn);
  const length = text.length;
  let at = 0;
  let hash: Word;
  if (length >= 32) {
    const lanes = startLanes(seedHi, seedLo);
    for (; at + 32 <= length; at += 32) {
      for (let lane = 0; lane < 4; lane++) {
        const offset = at + lane * 8;
        round(lanes[lane] as Word, word32(text, offset + 4), word32(text, offset));
      }
    }
    hash = joinLanes(lanes);
  } else {
    hash = new Word(seedHi, seedLo);
    hash.add(p5hi, p5lo);
  }
  hash.add(0, length);
  const lane = new Word(0, 0);
  for (; at + 8 <= length; at += 8) {
    lane.hi = 0;
    lane.lo = 0;
    round(lane, word32(text, at + 4), word32(text, at));
    hash.xor(lane.hi, lane.lo);
    hash.rotateLeft(27);
    hash.multiply(p1hi, p1lo);
    hash.add(p4hi, p4lo);
  }
  if (at + 4 <= length) {
    lane.hi = 0;
    lane.lo = word32(text, at);
    lane.multiply(p1hi, p1lo);
    hash.xor(lane.hi, lane.lo);
    hash.rotateLeft(23);
    hash.multiply(p2hi, p2lo);
    hash.add(p3hi, p3lo);
    at += 4;
  }
  for (; at < length; at++) {
    lane.hi = 0;
    lane.lo = text.charCodeAt(at) & 0xff;
    lane.multiply(p5hi, p5lo);
    hash.xor(lane.hi, lane.lo);
    hash.rotateLeft(11);
    hash.multiply(p1hi, p1lo);
  }
  hash.xorShiftRight(33);
  hash.multiply(p2hi, p2lo);
  hash.xorShiftRight(29);
  hash.multiply(p3hi, p3lo);
  hash.xorShiftRight(32);
  return (BigInt(hash.hi) << 32n) | BigInt(hash.lo);
}

/** The bytes of a string in UTF-8, one byte a character: what the hash functions take. */
export function byteString(text: string): string {
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) > 0x7f) return Buffer.from(text, "utf8").toString("latin1");
  }
  return text;
}

function word32(text: string, at: number): number {
  return (
    ((text.charCodeAt(at) & 0xff) |
      ((text.charCodeAt(at + 1) & 0xff) << 8) |
      ((text.charCodeAt(at + 2) & 0xff) << 16) |
      ((text.charCodeAt(at + 3) & 0xff) << 24)) >>>
    0
  );
}

function round(lane: Word, hi: number, lo: number): void {
  const input = new Word(hi, lo);
  input.multiply(p2hi, p2lo);
  lane.add(input.hi, input.lo);
  lane.rotateLeft(31);
  lane.multiply(p1hi, p1lo);
}

function startLanes(seedHi: number, seedLo: number): Word[] {
  const lanes = [0, 1, 2, 3].map(() => new Word(seedHi, seedLo));
  const [first, second, , fourth] = lanes as [Word, Word, Word, Word];
  first.add(p1hi, p1lo);
  first.add(p2hi, p2lo);
  second.add(p2hi, p2lo);
  // Minus the first prime: plus its two's complement.
  fourth.add(~p1hi >>> 0, -p1lo >>> 0);
  return lanes;
}

function joinLanes(lanes: readonly Word[]): Word {
  const hash = new Word(0, 0);
  const turns = [1, 7, 12, 18];
  lanes.forEach((lane, index) => {
    const turned = new Word(lane.hi, lane.lo);
    turned.rotateLeft(turns[index] as number);
    hash.add(turned.hi, turned.lo);
  });
  for (const lane of lanes) {
    const merged = new Word(0, 0);
    round(merged, lane.hi, lane.lo);
    hash.xor(merged.hi, merged.lo);
    hash.multiply(p1hi, p1lo);
    hash.add(p4hi, p4lo);
  }
  return hash;
}
