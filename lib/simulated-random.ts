/** A seeded generator: the same seed gives the same run. */
import type { Random } from "./runtime.ts";

/** Makes a generator (sfc32). Good enough to balance load with, not to make keys of. */
export function simulatedRandom(seed: number): Random {
  let a = 0x9e3779b9 | 0;
  let b = seed | 0;
  let c = Math.floor(seed / 0x1_0000_0000) | 0;
  let counter = 1;
  const uint32 = (): number => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return sum >>> 0;
  };
  for (let i = 0; i < 16; i++) uint32();
  const bytes = (length: number): Uint8Array => Uint8Array.from({ length }, () => uint32() & 0xff);
  return {
    float: () => uint32() / 0x1_0000_0000,
    uint32,
    uint64: () => (BigInt(uint32()) << 32n) | BigInt(uint32()),
    uuid: () => uuidFrom(bytes(16)),
    bytes,
  };
}

function uuidFrom(raw: Uint8Array): string {
  raw[6] = ((raw[6] ?? 0) & 0x0f) | 0x40;
  raw[8] = ((raw[8] ?? 0) & 0x3f) | 0x80;
  const hex = Buffer.from(raw).toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
