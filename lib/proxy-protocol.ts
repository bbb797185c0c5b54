/** HAProxy's PROXY protocol, versions 1 and 2: the bytes before a connection's own that say whose connection it is. Pure. */
// oxlint-disable-next-line no-restricted-imports -- two pure functions, no network
import { isIPv4, isIPv6 } from "node:net";
import type { SocketAddress } from "./connection.ts";

type IpAddress = Extract<SocketAddress, { readonly kind: "ip" }>;

/** A type-length-value triple of version 2. */
export interface ProxyTlv {
  readonly type: number;
  readonly value: Buffer;
}

/** What a header says. Without addresses the connection speaks for itself (`LOCAL`, `UNKNOWN`). */
export interface ProxyHeader {
  readonly version: 1 | 2;
  readonly source: IpAddress | undefined;
  readonly destination: IpAddress | undefined;
  readonly tlvs: readonly ProxyTlv[];
  /** Bytes that it took. */
  readonly length: number;
}

/**
 * `incomplete`: more bytes are needed (`version`: which it will be, once that is certain). `none`: there is no header, and
 * never will be. `invalid`: there is one, and it is wrong (`isEndless`: a line without an end).
 */
export type ProxyHeaderResult =
  | { readonly kind: "header"; readonly header: ProxyHeader }
  | { readonly kind: "incomplete"; readonly version: 1 | 2 | undefined }
  | { readonly kind: "none" }
  | { readonly kind: "invalid"; readonly version: 1 | 2; readonly reason: string; readonly isEndless: boolean };

const SIGNATURE_V1 = Buffer.from("PROXY ", "latin1");
const SIGNATURE_V2 = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
const FIXED_BYTES_V2 = 16;
/** The longest line of version 1, its end included, that Envoy takes. */
const MAX_BYTES_V1 = 108;
const NO_END = "no end of line";

const INCOMPLETE: ProxyHeaderResult = { kind: "incomplete", version: undefined };
const NONE: ProxyHeaderResult = { kind: "none" };

/** Reads the header at the start of `bytes`; strict where Envoy is. */
export function parseProxyHeader(bytes: Buffer): ProxyHeaderResult {
  if (bytes.length === 0) return INCOMPLETE;
  if (startsLike(bytes, SIGNATURE_V2)) {
    if (bytes.length < SIGNATURE_V2.length) return INCOMPLETE;
    return parseV2(bytes);
  }
  if (!startsLike(bytes, SIGNATURE_V1)) return NONE;
  if (bytes.length < SIGNATURE_V1.length) return INCOMPLETE;
  return parseV1(bytes);
}

/** As far as both reach they are the same. */
function startsLike(bytes: Buffer, signature: Buffer): boolean {
  const length = Math.min(bytes.length, signature.length);
  return bytes.compare(signature, 0, length, 0, length) === 0;
}

function parseV1(bytes: Buffer): ProxyHeaderResult {
  const wrong = (reason: string): ProxyHeaderResult => ({
    kind: "invalid",
    version: 1,
    reason,
    isEndless: reason === NO_END,
  });
  const line = bytes.toString("latin1", 0, MAX_BYTES_V1);
  const end = line.indexOf("\r\n");
  if (end < 0) return bytes.length >= MAX_BYTES_V1 ? wrong(NO_END) : { kind: "incomplete", version: 1 };
  const parts = line.slice(0, end).trimEnd().split(" ");
  const length = end + 2;
  const [, family, source = "", destination = "", sourcePort = "", destinationPort = ""] = parts;
  if (family === "UNKNOWN")
    return { kind: "header", header: { version: 1, source: undefined, destination: undefined, tlvs: [], length } };
  if (parts.length !== 6) return wrong("not six parts");
  if (family !== "TCP4" && family !== "TCP6") return wrong("neither TCP4 nor TCP6 nor UNKNOWN");
  const isAddress = family === "TCP4" ? isIPv4 : isPlainIPv6;
  if (!isAddress(source) || !isAddress(destination)) return wrong("no address of its family");
  const ports = [portOf(sourcePort), portOf(destinationPort)] as const;
  if (ports[0] === undefined || ports[1] === undefined) return wrong("no port");
  return checked(1, source, ports[0], destination, ports[1], [], length);
}

/**
 * Envoy takes a sign and zeros before the number too.
 * Differs from Envoy: an IPv6 zone (`fe80::1%eth0`) means nothing on another machine, and is refused.
 */
function portOf(text: string): number | undefined {
  if (!/^\+?[0-9]{1,20}$/.test(text)) return undefined;
  const port = Number(text);
  return port <= 65_535 ? port : undefined;
}

function isPlainIPv6(text: string): boolean {
  return isIPv6(text) && !text.includes("%");
}

const COMMAND_LOCAL = 0;
const COMMAND_PROXY = 1;
const ADDRESS_BYTES: Readonly<Record<number, number>> = { 1: 12, 2: 36 };

function parseV2(bytes: Buffer): ProxyHeaderResult {
  const wrong = (reason: string): ProxyHeaderResult => ({ kind: "invalid", version: 2, reason, isEndless: false });
  if (bytes.length < FIXED_BYTES_V2) return { kind: "incomplete", version: 2 };
  const versionAndCommand = bytes[12] as number;
  const familyAndTransport = bytes[13] as number;
  const bodyBytes = bytes.readUInt16BE(14);
  if (versionAndCommand >> 4 !== 2) return wrong("not version 2");
  const command = versionAndCommand & 0xf;
  if (command !== COMMAND_LOCAL && command !== COMMAND_PROXY) return wrong("unknown command");
  const family = familyAndTransport >> 4;
  const transport = familyAndTransport & 0xf;
  const addressBytes = command === COMMAND_LOCAL ? 0 : ADDRESS_BYTES[family];
  if (addressBytes === undefined) return wrong("neither IPv4 nor IPv6");
  if (command === COMMAND_PROXY && transport !== 1 && transport !== 2) return wrong("neither stream nor datagram");
  if (bodyBytes < addressBytes) return wrong("too short for its addresses");
  const length = FIXED_BYTES_V2 + bodyBytes;
  if (bytes.length < length) return { kind: "incomplete", version: 2 };
  const body = bytes.subarray(FIXED_BYTES_V2, length);
  // What a LOCAL header carries is skipped unread.
  if (command === COMMAND_LOCAL)
    return { kind: "header", header: { version: 2, source: undefined, destination: undefined, tlvs: [], length } };
  const tlvs = parseTlvs(body.subarray(addressBytes));
  if (tlvs === undefined) return wrong("a TLV is longer than the header");
  const ipBytes = (addressBytes - 4) / 2;
  const source = addressOf(body.subarray(0, ipBytes));
  const destination = addressOf(body.subarray(ipBytes, 2 * ipBytes));
  const ports = body.subarray(2 * ipBytes);
  return checked(2, source, ports.readUInt16BE(0), destination, ports.readUInt16BE(2), tlvs, length);
}

function parseTlvs(bytes: Buffer): ProxyTlv[] | undefined {
  const tlvs: ProxyTlv[] = [];
  for (let at = 0; at < bytes.length;) {
    if (bytes.length - at < 3) return undefined;
    const end = at + 3 + bytes.readUInt16BE(at + 1);
    if (end > bytes.length) return undefined;
    // Copied: the header's bytes are lent.
    tlvs.push({ type: bytes[at] as number, value: Buffer.from(bytes.subarray(at + 3, end)) });
    at = end;
  }
  return tlvs;
}

/** Both ends of a TCP connection are single hosts. */
function checked(
  version: 1 | 2,
  source: string,
  sourcePort: number,
  destination: string,
  destinationPort: number,
  tlvs: readonly ProxyTlv[],
  length: number,
): ProxyHeaderResult {
  if (!isUnicast(source) || !isUnicast(destination))
    return { kind: "invalid", version, reason: "an address is not unicast", isEndless: false };
  return {
    kind: "header",
    header: {
      version,
      source: { kind: "ip", address: source, port: sourcePort },
      destination: { kind: "ip", address: destination, port: destinationPort },
      tlvs,
      length,
    },
  };
}

function isUnicast(address: string): boolean {
  const bytes = ipBytesOf(address);
  const first = bytes[0] as number;
  if (bytes.every((byte) => byte === 0)) return false;
  if (bytes.length === 16) return first !== 0xff;
  return (first < 224 || first > 239) && !bytes.every((byte) => byte === 255);
}

function addressOf(bytes: Buffer): string {
  if (bytes.length === 4) return [...bytes].join(".");
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(2 * index).toString(16));
  return compressedIpv6(groups);
}

/** RFC 5952: the longest run of zero groups becomes `::`; `groups` are eight numbers in hex. */
export function compressedIpv6(groups: readonly string[]): string {
  let best = { at: -1, length: 1 };
  for (let at = 0; at < groups.length; at++) {
    let length = 0;
    while (groups[at + length] === "0") length++;
    if (length > best.length) best = { at, length };
  }
  if (best.at < 0) return groups.join(":");
  return `${groups.slice(0, best.at).join(":")}::${groups.slice(best.at + best.length).join(":")}`;
}

/** The 4 or 16 bytes of an address in text. */
export function ipBytesOf(address: string): Buffer {
  if (!address.includes(":")) return Buffer.from(address.split(".").map(Number));
  const bytes = Buffer.alloc(16);
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(address);
  const tail = dotted?.[2]?.split(".").map(Number) ?? [];
  const text =
    dotted === null ? address : `${dotted[1]}${hex(tail[0] ?? 0, tail[1] ?? 0)}:${hex(tail[2] ?? 0, tail[3] ?? 0)}`;
  const [head = "", rest] = text.split("::");
  const before = head === "" ? [] : head.split(":");
  const after = rest === undefined || rest === "" ? [] : rest.split(":");
  before.forEach((group, index) => bytes.writeUInt16BE(Number.parseInt(group, 16), 2 * index));
  after.forEach((group, index) => bytes.writeUInt16BE(Number.parseInt(group, 16), 16 - 2 * (after.length - index)));
  return bytes;
}

function hex(high: number, low: number): string {
  return ((high << 8) | low).toString(16);
}

/** Version 1 of it; for addresses that are no IP ones: `UNKNOWN`. */
export function encodeProxyV1(source: SocketAddress, destination: SocketAddress): Buffer {
  if (source.kind !== "ip" || destination.kind !== "ip") return Buffer.from("PROXY UNKNOWN\r\n", "latin1");
  const family = source.address.includes(":") ? "TCP6" : "TCP4";
  return Buffer.from(
    `PROXY ${family} ${source.address} ${destination.address} ${source.port} ${destination.port}\r\n`,
    "latin1",
  );
}

/** Version 2 with command `LOCAL`: the connection is nobody else's. */
export function encodeProxyV2Local(): Buffer {
  return Buffer.concat([SIGNATURE_V2, Buffer.from([0x20, 0, 0, 0])]);
}

/** Version 2; undefined when its TLVs are too long for one header, or the addresses are of two families. */
export function encodeProxyV2(
  source: SocketAddress,
  destination: SocketAddress,
  tlvs: readonly ProxyTlv[],
): Buffer | undefined {
  if (source.kind !== "ip" || destination.kind !== "ip") return encodeProxyV2Local();
  const addresses = [ipBytesOf(source.address), ipBytesOf(destination.address)] as const;
  if (addresses[0].length !== addresses[1].length) return undefined;
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(source.port, 0);
  ports.writeUInt16BE(destination.port, 2);
  const body = Buffer.concat([...addresses, ports, ...tlvs.map(encodeTlv)]);
  if (body.length > 0xffff) return undefined;
  const fixed = Buffer.alloc(4);
  fixed[0] = 0x21;
  fixed[1] = addresses[0].length === 4 ? 0x11 : 0x21;
  fixed.writeUInt16BE(body.length, 2);
  return Buffer.concat([SIGNATURE_V2, fixed, body]);
}

function encodeTlv({ type, value }: ProxyTlv): Buffer {
  const head = Buffer.alloc(3);
  head[0] = type;
  head.writeUInt16BE(value.length & 0xffff, 1);
  return Buffer.concat([head, value]);
}
