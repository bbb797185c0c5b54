/** Hosts with several addresses: they are tried one after the other, and the first that answers is taken (RFC 8305). */
import type { Connection, ConnectionHandler, SocketAddress, TlsInfo } from "#lib/connection.ts";
import type { Clock, Timer } from "#lib/runtime.ts";
import type { UpstreamTarget, UpstreamTransport } from "../../tls/types.ts";

export interface HappyEyeballsConfig {
  /** Family of the first addresses; undefined: that of the first in the list. */
  readonly firstFamily: 4 | 6 | undefined;
  /** So many of it come before one of the other. */
  readonly firstFamilyCount: number;
}

export const defaultHappyEyeballs: HappyEyeballsConfig = { firstFamily: undefined, firstFamilyCount: 1 };

/** Envoy waits so long for an address before it tries the next beside it. */
const NEXT_AFTER_MS = 300;

/** Addresses in the order in which they are tried: some of the first family, then one of each in turn. */
export function addressOrder(
  addresses: readonly SocketAddress[],
  { firstFamily, firstFamilyCount }: HappyEyeballsConfig,
): SocketAddress[] {
  const familyOf = (address: SocketAddress): number => (address.kind === "ip" && address.address.includes(":") ? 6 : 4);
  const [first] = addresses;
  if (first === undefined) return [];
  const wanted = firstFamily ?? familyOf(first);
  const own = addresses.filter((address) => familyOf(address) === wanted);
  const other = addresses.filter((address) => familyOf(address) !== wanted);
  const order = own.splice(0, firstFamilyCount);
  while (own.length > 0 || other.length > 0) order.push(...other.splice(0, 1), ...own.splice(0, 1));
  return order;
}

/** Connects to the first of the targets that can be connected to; `handler` hears of one connection only. */
export function connectToFirst(
  transport: UpstreamTransport,
  targets: readonly UpstreamTarget[],
  handler: ConnectionHandler,
  clock: Clock,
): Connection {
  const race = new Race(transport, targets, handler, clock);
  race.next();
  return race;
}

class Race implements Connection {
  readonly #transport: UpstreamTransport;
  readonly #targets: UpstreamTarget[];
  readonly #clock: Clock;
  readonly #attempts = new Set<Connection>();
  #handler: ConnectionHandler;
  #winner: Connection | undefined = undefined;
  #timer: Timer | undefined = undefined;
  #isOver = false;
  onGone: (() => void) | undefined = undefined;

  constructor(
    transport: UpstreamTransport,
    targets: readonly UpstreamTarget[],
    handler: ConnectionHandler,
    clock: Clock,
  ) {
    this.#transport = transport;
    this.#targets = [...targets];
    this.#handler = handler;
    this.#clock = clock;
  }

  /** Tries the next address; the one after it follows in a while, or as soon as this one fails. */
  next(): void {
    this.#timer?.cancel();
    const target = this.#targets.shift();
    if (target === undefined || this.#isOver) return;
    const attempt: Connection = this.#transport.connect(target, {
      onConnect: () => this.#won(attempt),
      onData() {},
      onClose: (error) => this.#lost(attempt, error),
    });
    this.#attempts.add(attempt);
    if (this.#targets.length > 0) this.#timer = this.#clock.wheel.schedule(NEXT_AFTER_MS, () => this.next());
  }

  #won(attempt: Connection): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#timer?.cancel();
    this.#attempts.delete(attempt);
    for (const other of this.#attempts) other.destroy();
    this.#winner = attempt;
    attempt.handler = this.#handler;
    attempt.onGone = this.onGone;
    this.#handler.onConnect?.();
  }

  #lost(attempt: Connection, error: Error | undefined): void {
    this.#attempts.delete(attempt);
    if (this.#isOver) return;
    if (this.#targets.length > 0) this.next();
    else if (this.#attempts.size === 0) this.#end(error);
  }

  #end(error: Error | undefined): void {
    this.#isOver = true;
    this.#timer?.cancel();
    this.#handler.onClose(error);
    this.onGone?.();
  }

  get handler(): ConnectionHandler {
    return this.#winner?.handler ?? this.#handler;
  }
  set handler(handler: ConnectionHandler) {
    this.#handler = handler;
    if (this.#winner !== undefined) this.#winner.handler = handler;
  }
  get id(): number {
    return this.#winner?.id ?? 0;
  }
  get localAddress(): SocketAddress {
    return this.#winner?.localAddress ?? noAddress;
  }
  get remoteAddress(): SocketAddress {
    return this.#winner?.remoteAddress ?? noAddress;
  }
  get tls(): TlsInfo | undefined {
    return this.#winner?.tls;
  }
  get bufferedBytes(): number {
    return this.#winner?.bufferedBytes ?? 0;
  }
  get bytesWritten(): number {
    return this.#winner?.bytesWritten ?? 0;
  }
  get isClosed(): boolean {
    return this.#winner === undefined ? this.#isOver : this.#winner.isClosed;
  }

  write(data: string | Buffer, onReleased?: () => void): boolean {
    return this.#winner?.write(data, onReleased) ?? false;
  }
  end(): void {
    if (this.#winner === undefined) this.destroy();
    else this.#winner.end();
  }
  destroy(error?: Error): void {
    if (this.#winner !== undefined) {
      this.#winner.destroy(error);
      return;
    }
    if (this.#isOver) return;
    this.#isOver = true;
    this.#timer?.cancel();
    for (const attempt of this.#attempts) attempt.destroy();
    // As every connection: its end is heard of after the call.
    queueMicrotask(() => this.#end(error));
  }
  reset(): void {
    if (this.#winner === undefined) this.destroy();
    else this.#winner.reset();
  }
  pause(): void {
    this.#winner?.pause();
  }
  resume(): void {
    this.#winner?.resume();
  }
  unshift(chunk: Buffer): void {
    this.#winner?.unshift(chunk);
  }
}

const noAddress: SocketAddress = { kind: "ip", address: "0.0.0.0", port: 0 };
