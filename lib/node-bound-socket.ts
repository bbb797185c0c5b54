/** Listening sockets made with the system's own calls, for what Node has no word for: options that count before `bind`. Linux only. */
import { constants } from "node:os";
import koffi from "koffi";
import { formatAddress, type SocketAddress } from "./connection.ts";
import { ipBytesOf } from "./proxy-protocol.ts";
import { ListenError, type SocketOption } from "./runtime.ts";

export interface BoundSocketOptions {
  readonly address: Extract<SocketAddress, { readonly kind: "ip" }>;
  readonly ipv4Compat: boolean;
  /** Set before `bind`. */
  readonly options: readonly SocketOption[];
  /** Multipath TCP. */
  readonly mptcp: boolean;
}

/** Whether this system has it. */
export function hasBoundSockets(): boolean {
  return process.platform === "linux";
}

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2_000_000;
const IPPROTO_MPTCP = 262;
const REUSE_ADDRESS: SocketOption = { level: 1, name: 2, value: intValue(1) };
const IPV6_V6ONLY = 26;
const IPPROTO_IPV6 = 41;

interface Calls {
  readonly socket: (family: number, type: number, protocol: number) => number;
  readonly bind: (fd: number, address: Buffer, length: number) => number;
  readonly close: (fd: number) => number;
  readonly setsockopt: (fd: number, level: number, name: number, value: Buffer, length: number) => number;
}

let calls: Calls | undefined;

function systemCalls(): Calls {
  if (calls !== undefined) return calls;
  const library = koffi.load(null);
  calls = {
    socket: library.func("int socket(int family, int type, int protocol)") as Calls["socket"],
    bind: library.func("int bind(int fd, void *address, unsigned int length)") as Calls["bind"],
    close: library.func("int close(int fd)") as Calls["close"],
    setsockopt: library.func(
      "int setsockopt(int fd, int level, int name, void *value, unsigned int length)",
    ) as Calls["setsockopt"],
  };
  return calls;
}

/** The bytes of an `int` option. */
export function intValue(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
}

/** A socket that is bound and does not listen yet; its descriptor belongs to the caller. Throws a `ListenError`. */
export function openBoundSocket({ address, ipv4Compat, options, mptcp }: BoundSocketOptions): number {
  const { socket, bind, close, setsockopt } = systemCalls();
  const isIpv6 = address.address.includes(":");
  const fd = socket(isIpv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, mptcp ? IPPROTO_MPTCP : 0);
  if (fd < 0) throw refused(address, "socket");
  const all = [
    REUSE_ADDRESS,
    ...(isIpv6 ? [{ level: IPPROTO_IPV6, name: IPV6_V6ONLY, value: intValue(ipv4Compat ? 0 : 1) }] : []),
    ...options,
  ];
  for (const { level, name, value } of all) {
    if (setsockopt(fd, level, name, value, value.length) === 0) continue;
    const error = refused(address, `setsockopt level ${level} name ${name}`);
    close(fd);
    throw error;
  }
  const bytes = socketAddressBytes(address);
  if (bind(fd, bytes, bytes.length) === 0) return fd;
  const error = refused(address, "bind");
  close(fd);
  throw error;
}

/** Why an address can't be had at this moment; undefined: it can. Opens nothing that stays. */
export function bindProblem(options: BoundSocketOptions): ListenError | undefined {
  try {
    systemCalls().close(openBoundSocket(options));
    return undefined;
  } catch (error) {
    if (error instanceof ListenError) return error;
    throw error;
  }
}

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: "Address already in use: stop the process that has it, or choose another port",
  EACCES: "Permission denied: ports below 1024 need privileges, choose a higher one",
  EPERM: "Operation not permitted: transparent sockets need CAP_NET_ADMIN",
  EADDRNOTAVAIL: "Cannot assign requested address: no interface of this machine has it",
};

function refused(address: SocketAddress, call: string): ListenError {
  const errno = koffi.errno();
  const code = Object.entries(constants.errno).find(([, value]) => value === errno)?.[0] ?? `errno ${errno}`;
  return new ListenError(
    code,
    address,
    `cannot bind '${formatAddress(address)}': ${REASONS[code] ?? `${call}: ${code}`}`,
  );
}

function socketAddressBytes({ address, port }: BoundSocketOptions["address"]): Buffer {
  if (!address.includes(":")) {
    const bytes = Buffer.alloc(16);
    bytes.writeUInt16LE(AF_INET, 0);
    bytes.writeUInt16BE(port, 2);
    for (const [index, part] of address.split(".").entries()) bytes[4 + index] = Number(part);
    return bytes;
  }
  const bytes = Buffer.alloc(28);
  bytes.writeUInt16LE(AF_INET6, 0);
  bytes.writeUInt16BE(port, 2);
  ipBytesOf(address).copy(bytes, 8);
  return bytes;
}
