/** MurmurHash2, 64-bit variant A, as `std::hash` of libstdc++ has it: for rings with MURMUR_HASH_2. */

const seed = 0xc70f6907n;
const multiplier = 0xc6a4a7935bd1e995n;

/** Hash of a byte string (latin1). */
export function murmurHash2(text: string): bigint {
  const length = text.length;
  let hash = seed ^ wrap(BigInt(length) * multiplier);
  const aligned = length - (length % 8);
  for (let at = 0; at < aligned; at += 8) {
    let part = wrap(littleEndian(text, at, 8) * multiplier);
    part = wrap((part ^ (part >> 47n)) * multiplier);
    hash = wrap((hash ^ part) * multiplier);
  }
  if (aligned < length) hash = wrap((hash ^ littleEndian(text, aligned, length - aligned)) * multiplier);
  hash = wrap((hash ^ (hash >> 47n)) * multiplier);
  return hash ^ (hash >> 47n);
}

function wrap(value: bigint): bigint {
  return BigInt.asUintN(64, value);
}

function littleEndian(text: string, at: number, bytes: number): bigint {
  let value = 0n;
  for (let i = bytes - 1; i >= 0; i--) value = (value << 8n) | BigInt(text.charCodeAt(at + i) & 0xff);
  return value;
}
