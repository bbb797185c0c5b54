/** Both ends of a connection inside of one process: no system call, and no copy that need not be. */
import type { Connection, ConnectionHandler, SocketAddress, TlsInfo } from "./connection.ts";
import type { Clock } from "./runtime.ts";

export interface MemoryPipeOptions {
  readonly clock: Pick<Clock, "atEndOfTurn">;
  readonly clientAddress: SocketAddress;
  readonly serverAddress: SocketAddress;
  /** Bytes on their way one way beyond which `write` returns false. Default 1 MiB, Envoy's. */
  readonly bufferBytes?: number | undefined;
  readonly ids: { next: number };
}

const DEFAULT_BUFFER_BYTES = 1024 * 1024;
const IDLE: ConnectionHandler = { onData() {}, onClose() {} };

/** Makes a pipe. The client's `onConnect` is up to whoever makes it. */
export function memoryPipe(options: MemoryPipeOptions): { readonly client: Connection; readonly server: Connection } {
  const { clientAddress, serverAddress } = options;
  const client = new MemoryConnection(options, clientAddress, serverAddress);
  const server = new MemoryConnection(options, serverAddress, clientAddress);
  client.peer = server;
  server.peer = client;
  return { client, server };
}

/** What is written is delivered to the peer at the end of the turn: no handler is called from within a write. */
class MemoryConnection implements Connection {
  readonly id: number;
  handler: ConnectionHandler = IDLE;
  onGone: (() => void) | undefined = undefined;
  readonly localAddress: SocketAddress;
  remoteAddress: SocketAddress;
  directRemoteAddress: SocketAddress | undefined = undefined;
  readonly tls: TlsInfo | undefined = undefined;
  isClosed = false;
  bytesWritten = 0;
  peer: MemoryConnection | undefined = undefined;
  readonly #clock: MemoryPipeOptions["clock"];
  readonly #limit: number;
  /** Written by the peer, not yet read here. */
  #unread: Buffer[] = [];
  #unreadBytes = 0;
  #isPaused = false;
  #isScheduled = false;
  #isDelivering = false;
  #hasEnded = false;
  #peerEnded = false;
  #endDelivered = false;
  #peerWaits = false;
  #closing: { readonly error: Error | undefined } | undefined = undefined;

  constructor({ ids, clock, bufferBytes }: MemoryPipeOptions, local: SocketAddress, remote: SocketAddress) {
    this.id = ids.next++;
    this.#clock = clock;
    this.#limit = bufferBytes ?? DEFAULT_BUFFER_BYTES;
    this.localAddress = local;
    this.remoteAddress = remote;
  }

  readdress(remote: SocketAddress): void {
    this.directRemoteAddress ??= this.remoteAddress;
    this.remoteAddress = remote;
  }

  /** What the peer has not read. */
  get bufferedBytes(): number {
    return this.peer === undefined ? 0 : this.peer.#unreadBytes;
  }

  write(data: string | Buffer, onReleased?: () => void): boolean {
    const { peer } = this;
    if (this.isClosed || this.#hasEnded || peer === undefined || peer.isClosed) return false;
    this.bytesWritten += data.length;
    // A buffer whose owner wants it back is copied.
    const bytes =
      typeof data === "string" ? Buffer.from(data, "latin1") : onReleased === undefined ? data : Buffer.from(data);
    onReleased?.();
    return peer.#receive(bytes);
  }

  end(): void {
    if (this.isClosed || this.#hasEnded) return;
    this.#hasEnded = true;
    const { peer } = this;
    if (peer !== undefined) {
      peer.#peerEnded = true;
      peer.#schedule();
    }
    this.#closeWhenBothEnded();
  }

  destroy(error?: Error): void {
    if (this.isClosed) return;
    const { peer } = this;
    this.#close(error);
    if (peer === undefined || peer.isClosed) return;
    // What was written before still arrives.
    peer.#peerEnded = true;
    peer.#closing = { error: undefined };
    peer.#schedule();
  }

  reset(): void {
    if (this.isClosed) return;
    const { peer } = this;
    this.#close(undefined);
    if (peer === undefined || peer.isClosed) return;
    peer.#unread = [];
    peer.#unreadBytes = 0;
    peer.#close(Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" }));
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#schedule();
  }

  unshift(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#unread.unshift(Buffer.from(chunk));
    this.#unreadBytes += chunk.length;
    this.#schedule();
  }

  #receive(bytes: Buffer): boolean {
    if (bytes.length > 0) {
      this.#unread.push(bytes);
      this.#unreadBytes += bytes.length;
      this.#schedule();
    }
    if (this.#unreadBytes < this.#limit) return true;
    this.#peerWaits = true;
    return false;
  }

  #schedule(): void {
    if (this.#isScheduled || this.isClosed) return;
    this.#isScheduled = true;
    this.#clock.atEndOfTurn(() => {
      this.#isScheduled = false;
      this.#deliver();
    });
  }

  #deliver(): void {
    if (this.#isDelivering) return;
    this.#isDelivering = true;
    try {
      while (!this.#isPaused && !this.isClosed) {
        const chunk = this.#unread.shift();
        if (chunk === undefined) break;
        this.#unreadBytes -= chunk.length;
        this.handler.onData(chunk);
      }
    } finally {
      this.#isDelivering = false;
    }
    if (this.isClosed) return;
    this.#wakePeer();
    if (this.#isPaused || this.#unread.length > 0 || !this.#peerEnded) return;
    if (!this.#endDelivered) {
      this.#endDelivered = true;
      if (this.handler.onEnd === undefined) this.end();
      else this.handler.onEnd();
    }
    if (this.#closing !== undefined) this.#close(this.#closing.error);
    else this.#closeWhenBothEnded();
  }

  #wakePeer(): void {
    if (!this.#peerWaits || this.#unreadBytes > 0) return;
    this.#peerWaits = false;
    const { peer } = this;
    if (peer !== undefined && !peer.isClosed) peer.handler.onDrain?.();
  }

  #closeWhenBothEnded(): void {
    const { peer } = this;
    if (peer === undefined || !this.#hasEnded || !peer.#hasEnded || !this.#endDelivered || !peer.#endDelivered) return;
    this.#close(undefined);
    peer.#close(undefined);
  }

  #close(error: Error | undefined): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#clock.atEndOfTurn(() => {
      this.handler.onClose(error);
      this.onGone?.();
    });
  }
}
