/** Telling addresses from names, without `node:net`. */

/** 4, 6, or 0 for what is no IP address. */
export function ipFamily(text: string): 0 | 4 | 6 {
  if (isIpv4(text)) return 4;
  return isIpv6(text) ? 6 : 0;
}

/** True for an IPv4 or IPv6 address without brackets. */
export function isIpAddress(text: string): boolean {
  return ipFamily(text) !== 0;
}

function isIpv4(text: string): boolean {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  return match !== null && match.slice(1).every((part) => Number(part) <= 255 && String(Number(part)) === part);
}

function isIpv6(text: string): boolean {
  if (!text.includes(":")) return false;
  const bare = text.replace(/%[0-9A-Za-z._-]+$/, "");
  const last = bare.slice(bare.lastIndexOf(":") + 1);
  const groups = isIpv4(last) ? `${bare.slice(0, bare.length - last.length)}0:0` : bare;
  const halves = groups.split("::");
  if (halves.length > 2) return false;
  const parts = halves.flatMap((half) => (half === "" ? [] : half.split(":")));
  if (!parts.every((part) => /^[0-9a-fA-F]{1,4}$/.test(part))) return false;
  return halves.length === 2 ? parts.length < 8 : parts.length === 8;
}
