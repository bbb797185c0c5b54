/** IP addresses as certificates hold them: 4 or 16 bytes. */
import { MeshError } from "#lib/problem.ts";
import { DerError } from "./der.ts";

/** Whether the text is an IP address, v4 or v6 without brackets. */
export function isIpAddress(text: string): boolean {
  return parse(text) !== undefined;
}

/** The bytes of an address in text. Throws `ip-address-invalid`. */
export function addressBytes(text: string): Buffer {
  const bytes = parse(text);
  if (bytes === undefined) throw new MeshError("ip-address-invalid", `${JSON.stringify(text)} is no IP address.`);
  return bytes;
}

function parse(text: string): Buffer | undefined {
  return text.includes(":") ? v6Bytes(text) : v4Bytes(text);
}

function v4Bytes(text: string): Buffer | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || parts.some((part) => !/^\d{1,3}$/.test(part) || Number(part) > 255)) return undefined;
  return Buffer.from(parts.map(Number));
}

function v6Bytes(text: string): Buffer | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map(groupBytes);
  if (head === undefined) return undefined;
  if (halves.length === 1) return head.length === 16 ? head : undefined;
  if (tail === undefined || head.length + tail.length > 14) return undefined;
  return Buffer.concat([head, Buffer.alloc(16 - head.length - tail.length), tail]);
}

function groupBytes(text: string): Buffer | undefined {
  if (text === "") return Buffer.alloc(0);
  const parts: Buffer[] = [];
  const groups = text.split(":");
  for (const [index, group] of groups.entries()) {
    const part =
      group.includes(".") && index === groups.length - 1
        ? v4Bytes(group)
        : /^[0-9a-fA-F]{1,4}$/.test(group)
          ? Buffer.from(group.padStart(4, "0"), "hex")
          : undefined;
    if (part === undefined) return undefined;
    parts.push(part);
  }
  return Buffer.concat(parts);
}

/** The text of an address: dotted, or eight groups with the longest run of zeros as `::` (RFC 5952). Throws `DerError`. */
export function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  if (bytes.length !== 16) throw new DerError(`an IP address has ${bytes.length} bytes`);
  const groups = Array.from({ length: 8 }, (_, index) => ((bytes[index * 2] ?? 0) << 8) | (bytes[index * 2 + 1] ?? 0));
  let best = { start: 0, length: 1 };
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  const hex = (part: readonly number[]) => part.map((group) => group.toString(16)).join(":");
  if (best.length < 2) return hex(groups);
  return `${hex(groups.slice(0, best.start))}::${hex(groups.slice(best.start + best.length))}`;
}
