/** Addresses as text. */

const ipv4 = /^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}$/;

/** 4, 6, or 0 where `text` is no IP address. */
export function ipFamily(text: string): 0 | 4 | 6 {
  if (ipv4.test(text)) return 4;
  return isIpv6(text) ? 6 : 0;
}

/** An IP prefix in CIDR form; a single address has the full length. */
export function parseCidr(
  text: string,
): { readonly address: string; readonly bits: number; readonly isHost: boolean } | undefined {
  const slash = text.indexOf("/");
  const address = slash < 0 ? text : text.slice(0, slash);
  const family = ipFamily(address);
  if (family === 0) return undefined;
  const length = family === 4 ? 32 : 128;
  const suffix = slash < 0 ? String(length) : text.slice(slash + 1);
  if (!/^\d{1,3}$/.test(suffix) || Number(suffix) > length) return undefined;
  return { address, bits: Number(suffix), isHost: Number(suffix) === length };
}

/** Whether an address lies in a prefix (`10.0.0.0/8`) of its family; false where either can't be read. */
export function cidrHolds(cidr: string, address: string): boolean {
  const prefix = parseCidr(cidr);
  const family = ipFamily(address);
  if (prefix === undefined || family === 0 || ipFamily(prefix.address) !== family) return false;
  const shift = BigInt((family === 4 ? 32 : 128) - prefix.bits);
  return numberOfAddress(prefix.address) >> shift === numberOfAddress(address) >> shift;
}

function numberOfAddress(text: string): bigint {
  if (ipFamily(text) === 4) return text.split(".").reduce((sum, part) => (sum << 8n) | BigInt(part), 0n);
  const groupsOf = (half: string): readonly bigint[] =>
    half === ""
      ? []
      : half.split(":").flatMap((group) => {
          if (!group.includes(".")) return [BigInt(`0x${group}`)];
          const v4 = numberOfAddress(group);
          return [v4 >> 16n, v4 & 0xffffn];
        });
  const [head = "", tail] = text.split("::");
  const [before, after] = [groupsOf(head), groupsOf(tail ?? "")];
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => 0n);
  return [...before, ...zeros, ...after].reduce((sum, group) => (sum << 16n) | group, 0n);
}

function isIpv6(text: string): boolean {
  if (!text.includes(":") || !/^[0-9a-fA-F:.]+$/.test(text)) return false;
  const halves = text.split("::");
  if (halves.length > 2) return false;
  let groups = 0;
  const parts = halves.map((half) => (half === "" ? [] : half.split(":")));
  for (const [at, half] of parts.entries()) {
    for (const [index, group] of half.entries()) {
      const isLast = at === parts.length - 1 && index === half.length - 1;
      if (isLast && ipv4.test(group)) groups += 2;
      else if (/^[0-9a-fA-F]{1,4}$/.test(group)) groups += 1;
      else return false;
    }
  }
  return halves.length === 2 ? groups < 8 : groups === 8;
}
