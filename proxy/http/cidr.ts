/** CIDR ranges over textual addresses. */
import type { CidrRange as CidrRangeMessage } from "#protos/gen/envoy/config/core/v3/address_pb.js";
import type { MessageReader } from "#protos/reader.ts";

export interface CidrRange {
  readonly family: 4 | 6;
  readonly bits: bigint;
  readonly prefixLength: number;
}

/** Reads ranges; an address that is none becomes a problem. */
export function parseCidrRanges(readers: readonly MessageReader<CidrRangeMessage>[]): readonly CidrRange[] {
  const ranges: CidrRange[] = [];
  for (const reader of readers) {
    const address = parseIp(reader.get("addressPrefix"));
    if (address === undefined) reader.invalid("addressPrefix", `${reader.get("addressPrefix")} is not an IP address`);
    else ranges.push({ ...address, prefixLength: reader.get("prefixLen") ?? 0 });
    reader.finish();
  }
  return ranges;
}

/** True when `text` (an address without port) lies in one of `ranges`. */
export function isInRanges(text: string, ranges: readonly CidrRange[]): boolean {
  if (ranges.length === 0) return false;
  const address = parseIp(text);
  if (address === undefined) return false;
  return ranges.some((range) => {
    if (range.family !== address.family) return false;
    const shift = BigInt((range.family === 4 ? 32 : 128) - range.prefixLength);
    return address.bits >> shift === range.bits >> shift;
  });
}

/** An IPv4 or IPv6 address as a number; undefined for anything else. */
export function parseIp(text: string): { readonly family: 4 | 6; readonly bits: bigint } | undefined {
  return text.includes(":") ? parseIpv6(text) : parseIpv4(text);
}

const decimalByte = /^(0|[1-9][0-9]{0,2})$/;

function parseIpv4(text: string): { readonly family: 4; readonly bits: bigint } | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  let bits = 0n;
  for (const part of parts) {
    if (!decimalByte.test(part) || Number(part) > 255) return undefined;
    bits = (bits << 8n) | BigInt(part);
  }
  return { family: 4, bits };
}

function parseIpv6(text: string): { readonly family: 4 | 6; readonly bits: bigint } | undefined {
  let address = text;
  const lastColon = address.lastIndexOf(":");
  if (address.includes(".")) {
    const tail = parseIpv4(address.slice(lastColon + 1));
    if (tail === undefined) return undefined;
    const [high, low] = [(tail.bits >> 16n).toString(16), (tail.bits & 0xffffn).toString(16)];
    address = `${address.slice(0, lastColon + 1)}${high}:${low}`;
  }
  const halves = address.split("::");
  if (halves.length > 2) return undefined;
  const head = halves[0] === "" ? [] : (halves[0] as string).split(":");
  const tail = halves.length === 1 || halves[1] === "" ? [] : (halves[1] as string).split(":");
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  let bits = 0n;
  for (const group of [...head, ...Array.from({ length: missing }, () => "0"), ...tail]) {
    if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return undefined;
    bits = (bits << 16n) | BigInt(`0x${group}`);
  }
  return { family: 6, bits };
}
