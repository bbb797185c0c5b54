/** The client's address, after `x-forwarded-for` and the PROXY protocol, as text without port. */
import { parseIp } from "../http/cidr.ts";
import type { StreamInfo } from "../stream-info.ts";

/** Undefined: the client has no IP address. */
export function clientAddress({ downstreamRemoteAddress: named, connection }: StreamInfo): string | undefined {
  if (named !== "") {
    if (named.startsWith("[")) return named.slice(1, named.indexOf("]"));
    const colon = named.lastIndexOf(":");
    return colon < 0 || named.indexOf(":") !== colon ? named : named.slice(0, colon);
  }
  const address = connection?.remoteAddress;
  return address?.kind === "ip" ? address.address : undefined;
}

/** The network of an address, `10.1.0.0/16`; undefined for what is no address. */
export function maskedAddress(address: string | undefined, v4Length: number, v6Length: number): string | undefined {
  const ip = address === undefined ? undefined : parseIp(address);
  if (ip === undefined) return undefined;
  const [width, length] = ip.family === 4 ? [32, v4Length] : [128, v6Length];
  const hidden = BigInt(width - length);
  const bits = (ip.bits >> hidden) << hidden;
  return `${ip.family === 4 ? ipv4Text(bits) : ipv6Text(bits)}/${length}`;
}

function ipv4Text(bits: bigint): string {
  return [24n, 16n, 8n, 0n].map((shift) => String((bits >> shift) & 0xffn)).join(".");
}

/** In the short form of RFC 5952. */
function ipv6Text(bits: bigint): string {
  const groups = Array.from({ length: 8 }, (_, index) => ((bits >> BigInt(112 - 16 * index)) & 0xffffn).toString(16));
  const zeros = [...groups.join(":").matchAll(/(?:^|(?<=:))0(?::0)+(?=:|$)/g)].toSorted(
    (a, b) => b[0].length - a[0].length,
  );
  const [longest] = zeros;
  if (longest === undefined) return groups.join(":");
  const text = groups.join(":");
  const before = text.slice(0, longest.index).replace(/:$/, "");
  const after = text.slice(longest.index + longest[0].length).replace(/^:/, "");
  return `${before}::${after}`;
}
