/**
 * The seam between deciding and doing: everything that reads time, chance or the network gets it from a `Runtime`.
 * `nodeRuntime()` (node-runtime.ts) is the real one, `simulatedRuntime()` (simulated-runtime.ts) the one for tests.
 */
import type { Connection, ConnectionHandler, SocketAddress } from "./connection.ts";

export interface Runtime {
  readonly clock: Clock;
  readonly random: Random;
  readonly network: Network;
  readonly log: Logger;
}

/** Time. All units are milliseconds. */
export interface Clock {
  /** Wall-clock time, ms since the epoch (integer). */
  now(): number;
  /** Time that never goes back, ms with a fraction; only differences mean anything. */
  monotonic(): number;
  /** Runs `callback` once after `delayMs`. For rare timers; a request uses `wheel`. */
  setTimer(delayMs: number, callback: () => void): Timer;
  /**
   * Runs `callback` once, when all that has arrived by now has been handled and before anything else is waited for:
   * for what is worth doing once for many events, such as one write to a connection that many others feed.
   */
  atEndOfTurn(callback: () => void): void;
  /**
   * A shared coarse wheel for the timeouts of requests and connections: `schedule` and `cancel` are O(1) and
   * make no system call. A timer fires no earlier than asked and at most one tick later.
   */
  readonly wheel: TimerWheel;
}

export interface Timer {
  /** Has no effect once fired or cancelled. */
  cancel(): void;
}

export interface TimerWheel {
  readonly tickMs: number;
  schedule(delayMs: number, callback: () => void): Timer;
}

export interface Random {
  /** Uniform in [0, 1). */
  float(): number;
  /** Uniform integer in [0, 2^32). */
  uint32(): number;
  /** Uniform 64-bit value. */
  uint64(): bigint;
  /** An RFC 9562 version 4 UUID, lower case. */
  uuid(): string;
  bytes(length: number): Uint8Array;
}

export interface Network {
  /** The machine's own address: the first of IPv4 that is not loopback, as Envoy takes it; 127.0.0.1 without one. */
  readonly hostAddress: string;
  /** Opens a listening socket. Rejects with a `ListenError` when the address can't be had. */
  listen(options: ListenOptions, onConnection: (connection: Connection) => void): Promise<ListeningSocket>;
  /**
   * Starts to connect and returns at once. The handler hears `onConnect`, or `onClose` with an error.
   * No data arrives before `onConnect`.
   */
  connect(options: ConnectOptions, handler: ConnectionHandler): Connection;
  /** Why `listen` would be refused at this moment, without opening anything; undefined: it would not, or nobody knows. */
  listenProblem?(options: ListenOptions): ListenError | undefined;
  /** Addresses of a name (A and AAAA), without a cache. Rejects when the name can't be resolved. */
  resolve(hostname: string, family?: 4 | 6): Promise<readonly ResolvedAddress[]>;
}

export interface ResolvedAddress {
  readonly address: string;
  readonly family: 4 | 6;
  /** Seconds, where the resolver tells it. */
  readonly ttlSeconds?: number;
}

export interface ListenOptions {
  readonly address: SocketAddress;
  /** What the socket is for: a network that shares a port among threads tells its sockets apart by it. */
  readonly name?: string;
  readonly backlog?: number;
  readonly reusePort?: boolean;
  /** An IPv6 wildcard socket takes IPv4 too. Default false, as Envoy. */
  readonly ipv4Compat?: boolean;
  /** File mode of a Unix socket. */
  readonly mode?: number;
  /** Set before the socket is bound; where the network has no such options it rejects. */
  readonly socketOptions?: readonly SocketOption[];
  readonly mptcp?: boolean;
}

/** As `setsockopt` takes it. */
export interface SocketOption {
  readonly level: number;
  readonly name: number;
  readonly value: Buffer;
}

export interface ListeningSocket {
  /** The bound address; the port is the real one when 0 was asked for. */
  readonly address: SocketAddress;
  /** Stops accepting at once; open connections stay. Resolves when the socket is closed. */
  close(): Promise<void>;
}

export interface ConnectOptions {
  readonly address: SocketAddress;
  /** Source address, as Envoy's `upstream_bind_config`. */
  readonly localAddress?: string;
  readonly keepAlive?: TcpKeepAlive;
  /** Bytes that may wait before `write` says that the connection is full; absent: 64 KiB. */
  readonly bufferBytes?: number;
}

/** TCP keep-alive probes; undefined: what the system does by itself. */
export interface TcpKeepAlive {
  /** Idle time before the first probe. */
  readonly idleMs: number | undefined;
  readonly intervalMs: number | undefined;
  readonly probes: number | undefined;
}

/** A listening address could not be had: `code` is the system's (`EADDRINUSE`, `EACCES`, `EADDRNOTAVAIL`). */
export class ListenError extends Error {
  override readonly name = "ListenError";
  readonly code: string;
  readonly address: SocketAddress;
  constructor(code: string, address: SocketAddress, message: string) {
    super(message);
    this.code = code;
    this.address = address;
  }
}

export type LogLevel = "trace" | "debug" | "info" | "warning" | "error" | "critical" | "off";

export interface Logger {
  /** Setting it on the root (component `main`) sets it for every component. */
  level: LogLevel;
  readonly component: string;
  /** Every logger that exists, the root first. */
  components(): readonly Logger[];
  /** A logger for one component (Envoy's logger names: `main`, `upstream`, `http`, `config`, …). */
  child(component: string): Logger;
  log(level: LogLevel, message: string, fields?: Readonly<Record<string, unknown>>): void;
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void;
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warning(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}
