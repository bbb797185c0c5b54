/** Both ends of a connection in memory, with TCP's manners: order, half-close, windows, retransmission, reset. */
import {
  formatAddress,
  type Connection,
  type ConnectionHandler,
  type SocketAddress,
  type TlsInfo,
} from "./connection.ts";
import type { SimulatedClock } from "./simulated-clock.ts";

/** What the network does to one direction between two addresses at this moment. */
export interface Wire {
  /** One way, ms, for the next segment. */
  delayMs(from: SocketAddress, to: SocketAddress): number;
  /** True when the segment is lost now (it is sent again later), by chance or by a partition. */
  isLost(from: SocketAddress, to: SocketAddress): boolean;
}

type Segment =
  | { readonly kind: "syn"; readonly onArrival: () => void; sentMs: number }
  | { readonly kind: "data"; readonly bytes: Buffer; sentMs: number }
  | { readonly kind: "fin"; sentMs: number }
  | { readonly kind: "rst"; sentMs: number };

const WINDOW_BYTES = 65_536;
const HIGH_WATER_BYTES = 65_536;
/** Linux: first retransmission of data and of a SYN, and when the system gives up on either. */
const RTO_MS = { data: 200, syn: 1000 };
const GIVE_UP_MS = { data: 924_600, syn: 127_000 };

/** One end. Made in pairs by the network (`peer`). */
export class SimulatedConnection implements Connection {
  readonly id: number;
  handler: ConnectionHandler = { onData() {}, onClose() {} };
  onGone: (() => void) | undefined = undefined;
  localAddress: SocketAddress;
  remoteAddress: SocketAddress;
  directRemoteAddress: SocketAddress | undefined = undefined;
  tls: TlsInfo | undefined = undefined;
  isClosed = false;
  bytesWritten = 0;
  peer: SimulatedConnection | undefined;

  readonly #clock: SimulatedClock;
  readonly #wire: Wire;
  /** On their way to the peer, in order; only the first is ever in the air. */
  readonly #outgoing: Segment[] = [];
  #lastArrivalMs = 0;
  #isInAir = false;
  #retransmitMs = 0;
  /** Arrived and not yet handled: read is paused, or they were put back. */
  readonly #unread: Buffer[] = [];
  #unconsumed = 0;
  #needsDrain = false;
  #isPaused = false;
  #isDelivering = false;
  #sentFin = false;
  #receivedFin = false;
  #deliveredFin = false;

  constructor(
    id: number,
    clock: SimulatedClock,
    wire: Wire,
    localAddress: SocketAddress,
    remoteAddress: SocketAddress,
  ) {
    this.id = id;
    this.#clock = clock;
    this.#wire = wire;
    this.localAddress = localAddress;
    this.remoteAddress = remoteAddress;
  }

  get #peerAddress(): SocketAddress {
    return this.directRemoteAddress ?? this.remoteAddress;
  }

  get bufferedBytes(): number {
    return Math.max(0, this.#unconsumed - WINDOW_BYTES);
  }

  readdress(remote: SocketAddress): void {
    this.directRemoteAddress ??= this.remoteAddress;
    this.remoteAddress = remote;
  }

  write(data: string | Buffer): boolean {
    if (this.isClosed) return false;
    if (this.#sentFin) {
      this.#fail(systemError("EPIPE", "write after end"));
      return false;
    }
    const bytes = typeof data === "string" ? Buffer.from(data, "latin1") : data;
    this.bytesWritten += bytes.length;
    if (bytes.length > 0) {
      this.#unconsumed += bytes.length;
      this.#send({ kind: "data", bytes, sentMs: 0 });
    }
    if (this.bufferedBytes < HIGH_WATER_BYTES) return true;
    this.#needsDrain = true;
    return false;
  }

  end(): void {
    if (this.isClosed || this.#sentFin) return;
    this.#sentFin = true;
    this.#send({ kind: "fin", sentMs: 0 });
  }

  destroy(error?: Error): void {
    if (this.isClosed) return;
    if (!this.#sentFin) this.end();
    this.#close(error);
  }

  reset(): void {
    if (this.isClosed) return;
    this.#outgoing.length = 0;
    this.#isInAir = false;
    this.#sentFin = true;
    this.#send({ kind: "rst", sentMs: 0 });
    this.#close(undefined);
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#clock.setTimer(0, () => this.#deliver());
  }

  unshift(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#unread.unshift(Buffer.from(chunk));
    this.#clock.setTimer(0, () => this.#deliver());
  }

  /** The client's first segment; `onArrival` runs at the other side. */
  sendSyn(onArrival: () => void): void {
    this.#send({ kind: "syn", onArrival, sentMs: 0 });
  }

  /** Nothing that this side sends arrives before then. */
  holdUntil(atMs: number): void {
    this.#lastArrivalMs = atMs;
  }

  /** Ends this side as the system would: `code` is errno's name. */
  failWith(code: string, message: string): void {
    this.#fail(systemError(code, message));
  }

  #send(segment: Segment): void {
    segment.sentMs = this.#clock.monotonic();
    this.#outgoing.push(segment);
    this.#launch(this.#wire.delayMs(this.localAddress, this.#peerAddress));
  }

  #launch(delayMs: number): void {
    const head = this.#outgoing[0];
    if (this.#isInAir || head === undefined) return;
    this.#isInAir = true;
    const now = this.#clock.monotonic();
    const at = Math.max(this.#lastArrivalMs, head.sentMs + delayMs, now);
    this.#clock.setTimer(at - now, () => this.#arrive(head));
  }

  #arrive(head: Segment): void {
    // Overtaken by a reset.
    if (this.#outgoing[0] !== head) return;
    this.#isInAir = false;
    const now = this.#clock.monotonic();
    if (this.#wire.isLost(this.localAddress, this.#peerAddress)) {
      const kind = head.kind === "syn" ? "syn" : "data";
      if (now - head.sentMs >= GIVE_UP_MS[kind]) {
        this.#outgoing.length = 0;
        this.#fail(systemError("ETIMEDOUT", `${kind === "syn" ? "connect" : "read"} ETIMEDOUT`));
        return;
      }
      this.#retransmitMs = this.#retransmitMs === 0 ? RTO_MS[kind] : Math.min(this.#retransmitMs * 2, 120_000);
      this.#isInAir = true;
      this.#clock.setTimer(this.#retransmitMs, () => this.#arrive(head));
      return;
    }
    this.#retransmitMs = 0;
    this.#lastArrivalMs = now;
    this.#outgoing.shift();
    if (head.kind === "syn") head.onArrival();
    else this.peer?.receive(head);
    if (head.kind === "fin" && this.#deliveredFin) this.#close(undefined);
    this.#launch(this.#wire.delayMs(this.localAddress, this.#peerAddress));
  }

  /** A segment from the peer has arrived. */
  receive(segment: Segment): void {
    if (segment.kind === "rst") {
      this.#fail(systemError("ECONNRESET", "read ECONNRESET"));
      return;
    }
    if (this.isClosed) {
      // Nobody is there to read it: the system answers with a reset.
      if (segment.kind === "data") this.#send({ kind: "rst", sentMs: 0 });
      return;
    }
    if (segment.kind === "fin") this.#receivedFin = true;
    else if (segment.kind === "data") this.#unread.push(segment.bytes);
    this.#deliver();
  }

  #deliver(): void {
    if (this.#isDelivering) return;
    this.#isDelivering = true;
    try {
      while (!this.#isPaused && !this.isClosed) {
        const chunk = this.#unread.shift();
        if (chunk === undefined) break;
        this.#consume(chunk);
      }
    } finally {
      this.#isDelivering = false;
    }
    if (this.#receivedFin && !this.#deliveredFin && !this.#isPaused && !this.isClosed && this.#unread.length === 0) {
      this.#deliveredFin = true;
      if (this.handler.onEnd === undefined) this.end();
      else this.handler.onEnd();
    }
    if (this.#deliveredFin && this.#sentFin && this.#outgoing.length === 0) this.#close(undefined);
  }

  #consume(chunk: Buffer): void {
    this.peer?.acknowledge(chunk.length);
    // The chunk is lent: whoever keeps it finds rubbish in it.
    const lent = Buffer.from(chunk);
    this.handler.onData(lent);
    lent.fill(0xdd);
  }

  /** The peer has read so much of what was sent. */
  acknowledge(bytes: number): void {
    this.#unconsumed = Math.max(0, this.#unconsumed - bytes);
    if (!this.#needsDrain || this.bufferedBytes > 0) return;
    this.#needsDrain = false;
    this.#clock.setTimer(this.#wire.delayMs(this.#peerAddress, this.localAddress), () => {
      if (!this.isClosed) this.handler.onDrain?.();
    });
  }

  #fail(error: Error): void {
    if (this.isClosed) return;
    this.#outgoing.length = 0;
    this.#close(error);
  }

  #close(error: Error | undefined): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#unread.length = 0;
    this.#clock.setTimer(0, () => {
      this.leaveNetwork?.();
      this.handler.onClose(error);
      this.onGone?.();
    });
  }

  /** Tells the network that the connection is over. */
  leaveNetwork: (() => void) | undefined = undefined;

  toString(): string {
    return `${formatAddress(this.localAddress)} → ${formatAddress(this.remoteAddress)}`;
  }
}

function systemError(code: string, message: string): NodeJS.ErrnoException {
  return Object.assign(new Error(message), { code });
}
