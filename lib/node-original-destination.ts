/** `SO_ORIGINAL_DST`: where a connection was going before netfilter redirected it. Linux only. */
import koffi from "koffi";
import type { Connection, SocketAddress } from "./connection.ts";
import { NodeConnection } from "./node-connection.ts";
import { compressedIpv6 } from "./proxy-protocol.ts";

/** Whether this system has it at all. */
export function hasOriginalDestination(): boolean {
  return process.platform === "linux";
}

type GetSockOpt = (fd: number, level: number, option: number, value: Buffer, length: Buffer) => number;

const IPPROTO_IP = 0;
const IPPROTO_IPV6 = 41;
const SO_ORIGINAL_DST = 80;

/** Makes the question; the C library is opened once. */
export function originalDestinations(): (connection: Connection) => SocketAddress | undefined {
  let getsockopt: GetSockOpt | undefined;
  return (connection) => {
    const descriptor = descriptorOf(connection);
    if (descriptor === undefined) return undefined;
    getsockopt ??= koffi
      .load(null)
      .func("int getsockopt(int fd, int level, int option, _Out_ void *value, _Inout_ void *length)") as GetSockOpt;
    const isIpv6 = connection.localAddress.kind === "ip" && connection.localAddress.address.includes(":");
    const value = Buffer.alloc(28);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(value.length);
    // It fails for a connection that nobody redirected.
    if (getsockopt(descriptor, isIpv6 ? IPPROTO_IPV6 : IPPROTO_IP, SO_ORIGINAL_DST, value, length) !== 0)
      return undefined;
    return isIpv6 ? ipv6Of(value) : ipv4Of(value);
  };
}

/**
 * The file descriptor of an accepted socket. Node has no documented way to it; this one is as old as Node's handles.
 * Undefined where there is none (another network, a closed socket).
 */
function descriptorOf(connection: Connection): number | undefined {
  if (!(connection instanceof NodeConnection)) return undefined;
  const { _handle: handle } = connection.socket as unknown as { readonly _handle?: { readonly fd?: unknown } | null };
  const descriptor = handle?.fd;
  return typeof descriptor === "number" && descriptor >= 0 ? descriptor : undefined;
}

/** `sockaddr_in`: family, port, address. */
function ipv4Of(value: Buffer): SocketAddress {
  return { kind: "ip", address: [...value.subarray(4, 8)].join("."), port: value.readUInt16BE(2) };
}

/** `sockaddr_in6`: family, port, flow, address. */
function ipv6Of(value: Buffer): SocketAddress {
  const groups = Array.from({ length: 8 }, (_, index) => value.readUInt16BE(8 + 2 * index).toString(16));
  return { kind: "ip", address: compressedIpv6(groups), port: value.readUInt16BE(2) };
}
