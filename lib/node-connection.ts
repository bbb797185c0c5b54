/** `Connection` over Node's sockets, at their native speed. */
import net from "node:net";
import type { Connection, ConnectionHandler, SocketAddress, TlsInfo } from "./connection.ts";
import type { ConnectOptions } from "./runtime.ts";

/** Counts connections; one a network, so that ids are unique in a process. */
export interface ConnectionIds {
  next: number;
}

const NO_ADDRESS: SocketAddress = { kind: "ip", address: "0.0.0.0", port: 0 };

/** Before a handler is set: what arrives is kept, the end is answered by an end. */
const NO_HANDLER: ConnectionHandler = { onData() {}, onClose() {} };

/**
 * One class over `net.Socket` and `tls.TLSSocket`. An event costs one call from the socket's own to the handler's.
 * Half-open is allowed: the socket must have been made with `allowHalfOpen`.
 */
export class NodeConnection implements Connection {
  readonly id: number;
  handler: ConnectionHandler;
  onGone: (() => void) | undefined = undefined;
  localAddress: SocketAddress;
  remoteAddress: SocketAddress;
  directRemoteAddress: SocketAddress | undefined = undefined;
  tls: TlsInfo | undefined = undefined;
  isClosed = false;
  bytesWritten = 0;
  /** The Node socket, for those that wrap it in another transport (TLS) or ask the system about it. */
  readonly socket: net.Socket;
  /** What a TLS socket runs over: a reset happens there. */
  carrier: { reset(): void } | undefined = undefined;
  #unread: Buffer[] | undefined = undefined;
  #isPaused = false;
  /** The stream itself holds bytes: what comes after them takes the same way. */
  #isHeldBack = false;
  #error: Error | undefined = undefined;
  #isDetached = false;

  constructor(
    id: number,
    socket: net.Socket,
    localAddress: SocketAddress,
    remoteAddress: SocketAddress,
    handler: ConnectionHandler = NO_HANDLER,
  ) {
    this.id = id;
    this.socket = socket;
    this.localAddress = localAddress;
    this.remoteAddress = remoteAddress;
    this.handler = handler;
  }

  /** Once connected: asks the system for the own address. */
  learnLocalAddress(): void {
    this.localAddress = localAddressOf(this.socket, this.remoteAddress);
  }

  readdress(remote: SocketAddress): void {
    this.directRemoteAddress ??= this.remoteAddress;
    this.remoteAddress = remote;
  }

  /** Listens to the socket. `data` is left out where the socket hands its bytes over by `onread`. */
  attach(withData: boolean): void {
    const socket = this.socket;
    if (withData) {
      socket.on("data", this.#onData);
      this.#takeShortcut();
    }
    socket.on("end", this.#onEnd);
    socket.on("drain", this.#onDrain);
    socket.on("error", this.#onError);
    socket.on("close", this.#onClose);
  }

  /**
   * Gives the socket up to another owner, paused, with bytes that were put back unread first in it.
   * Nothing is heard of this connection again.
   */
  detach(): net.Socket {
    const socket = this.socket;
    socket.pause();
    this.#isDetached = true;
    socket.off("data", this.#onData);
    // The prototype's own again.
    if (Object.hasOwn(socket, "push")) delete (socket as Partial<net.Socket>).push;
    socket.off("end", this.#onEnd);
    socket.off("drain", this.#onDrain);
    socket.off("error", this.#onError);
    socket.off("close", this.#onClose);
    const unread = this.#unread;
    this.#unread = undefined;
    if (unread !== undefined) socket.unshift(Buffer.concat(unread));
    return socket;
  }

  /**
   * A socket gives what it has read to its `push`, which passes it on as a `data` event at the price of a tenth of a
   * small request. While nothing is held back the bytes go to the handler from there. Should a Node ever not call
   * `push`, the event still comes.
   */
  #takeShortcut(): void {
    const { socket } = this;
    const push = socket.push.bind(socket);
    socket.push = (chunk: unknown, encoding?: BufferEncoding): boolean => {
      if (chunk === null || this.#isPaused || this.#isHeldBack || this.isClosed) {
        if (chunk !== null) this.#isHeldBack = true;
        return push(chunk, encoding);
      }
      this.deliver(chunk as Buffer);
      return true;
    };
  }

  get bufferedBytes(): number {
    return this.socket.writableLength;
  }

  /** For `onread` and the `data` event; returns nothing, keeps nothing. */
  deliver(chunk: Buffer): void {
    if (this.#unread !== undefined) {
      this.#unread.push(Buffer.from(chunk));
      return;
    }
    this.handler.onData(chunk);
  }

  write(data: string | Buffer, onReleased?: () => void): boolean {
    this.bytesWritten += data.length;
    return typeof data === "string" ? this.socket.write(data, "latin1") : this.socket.write(data, onReleased);
  }

  end(): void {
    this.socket.end();
  }

  destroy(error?: Error): void {
    this.socket.destroy(error);
  }

  reset(): void {
    // A connection that is not a TCP one has no RST to send.
    const direct = this.directRemoteAddress ?? this.remoteAddress;
    if (this.localAddress.kind !== "ip" || direct.kind !== "ip") this.socket.destroy();
    else if (this.carrier === undefined) this.socket.resetAndDestroy();
    else this.carrier.reset();
  }

  pause(): void {
    this.#isPaused = true;
    this.socket.pause();
  }

  resume(): void {
    this.#isPaused = false;
    if (this.#unread !== undefined) this.#scheduleUnread();
    else this.socket.resume();
  }

  unshift(chunk: Buffer): void {
    if (chunk.length === 0) return;
    const copy = Buffer.from(chunk);
    if (this.#unread === undefined) {
      this.#unread = [copy];
      if (!this.#isPaused) this.#scheduleUnread();
    } else this.#unread.unshift(copy);
  }

  #scheduleUnread(): void {
    process.nextTick(NodeConnection.#flushUnread, this);
  }

  static #flushUnread(this: void, connection: NodeConnection): void {
    while (connection.#unread !== undefined && !connection.#isPaused && !connection.isClosed) {
      const chunk = connection.#unread.shift();
      if (connection.#unread.length === 0) connection.#unread = undefined;
      if (chunk !== undefined) connection.handler.onData(chunk);
    }
    if (connection.#unread === undefined && !connection.#isPaused && !connection.#isDetached) {
      connection.socket.resume();
      if (connection.#sawEnd) connection.#onEnd();
    }
  }

  #sawEnd = false;

  readonly #onData = (chunk: Buffer): void => {
    if (this.#isHeldBack && this.socket.readableLength === 0) this.#isHeldBack = false;
    this.deliver(chunk);
  };

  readonly #onEnd = (): void => {
    // The peer's end must not overtake bytes that were put back.
    if (this.#unread !== undefined) {
      this.#sawEnd = true;
      return;
    }
    this.#sawEnd = false;
    const { handler } = this;
    if (handler.onEnd === undefined) this.socket.end();
    else handler.onEnd();
  };

  readonly #onDrain = (): void => this.handler.onDrain?.();

  readonly #onError = (error: Error): void => {
    this.#error = error;
  };

  readonly #onClose = (): void => {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#unread = undefined;
    this.handler.onClose(this.#error);
    this.onGone?.();
  };
}

/**
 * One buffer takes the bytes of every outgoing socket: libuv asks for it, reads and calls back in one go.
 * (On Windows reads are started ahead, so there each socket has its own.)
 */
const READ_BYTES = 65_536;

/** What an outgoing socket is made with; `tls.connect` takes the same. */
export interface SocketParams {
  readonly path?: string;
  readonly host?: string;
  readonly port?: number;
  readonly family?: number;
  readonly localAddress?: string;
  readonly noDelay: boolean;
  readonly allowHalfOpen: true;
  readonly autoSelectFamily: false;
  readonly onread: { readonly buffer: Buffer; readonly callback: (length: number, buffer: Uint8Array) => boolean };
}

/** Opens the outgoing sockets of a network. */
export class NodeConnector {
  readonly ids: ConnectionIds;
  readonly #shared: Buffer | undefined = process.platform === "win32" ? undefined : Buffer.allocUnsafeSlow(READ_BYTES);

  constructor(ids: ConnectionIds) {
    this.ids = ids;
  }

  connect(options: ConnectOptions, handler: ConnectionHandler): NodeConnection {
    const connection = this.open(options, handler, (params) => net.connect(params as net.NetConnectOpts));
    connection.socket.once("connect", () => {
      connection.learnLocalAddress();
      connection.handler.onConnect?.();
    });
    return connection;
  }

  /** A connection over the socket that `make` opens; whoever calls hears when it is ready and says `onConnect`. */
  open(
    { address, localAddress, keepAlive, bufferBytes }: ConnectOptions,
    handler: ConnectionHandler,
    make: (params: SocketParams) => net.Socket,
  ): NodeConnection {
    const callback = (length: number, buffer: Uint8Array): boolean => {
      connection.deliver((buffer as Buffer).subarray(0, length));
      return true;
    };
    const common = {
      noDelay: address.kind === "ip",
      allowHalfOpen: true,
      autoSelectFamily: false,
      ...(bufferBytes === undefined ? {} : { highWaterMark: bufferBytes }),
      onread: { buffer: this.#shared ?? Buffer.allocUnsafeSlow(READ_BYTES), callback },
    } as const;
    const socket = make(
      address.kind !== "ip"
        ? { path: systemPath(address.path), ...common }
        : {
            host: address.address,
            port: address.port,
            family: net.isIPv6(address.address) ? 6 : 4,
            ...common,
            ...(localAddress === undefined ? {} : { localAddress }),
          },
    );
    if (keepAlive !== undefined && address.kind === "ip") {
      const { idleMs, intervalMs, probes } = keepAlive;
      socket.once("connect", () => socket.setKeepAlive(true, idleMs, intervalMs, probes));
    }
    const connection = new NodeConnection(this.ids.next++, socket, NO_ADDRESS, address, handler);
    connection.attach(false);
    return connection;
  }
}

/**
 * Wraps a socket that a server accepted, and that must not have been read from (`pauseOnConnect`). Node offers `onread` to
 * outgoing sockets only; without it every read makes a new buffer, which costs an upload twice what carrying it does.
 * So the system's handle goes to a socket of our own making. Should a Node ever keep it elsewhere, the first one is used.
 */
export function acceptedConnection(ids: ConnectionIds, accepted: net.Socket, listening: SocketAddress): NodeConnection {
  const socket = accepted as net.Socket & { _handle?: object | null };
  const handle = socket._handle;
  if (handle === undefined || handle === null || acceptedBytes === undefined) {
    const connection = accept(ids, accepted, listening);
    connection.attach(true);
    accepted.resume();
    return connection;
  }
  socket._handle = null;
  const callback = (length: number, buffer: Uint8Array): boolean => {
    connection.deliver((buffer as Buffer).subarray(0, length));
    return true;
  };
  const options = { handle, allowHalfOpen: true, onread: { buffer: acceptedBytes, callback } };
  const connection = accept(ids, new net.Socket(options as net.SocketConstructorOpts), listening);
  connection.attach(false);
  return connection;
}

const acceptedBytes: Buffer | undefined = process.platform === "win32" ? undefined : Buffer.allocUnsafeSlow(READ_BYTES);

function accept(ids: ConnectionIds, socket: net.Socket, listening: SocketAddress): NodeConnection {
  const remote: SocketAddress =
    socket.remoteAddress === undefined
      ? listening.kind === "pipe"
        ? { kind: "pipe", path: "" }
        : NO_ADDRESS
      : { kind: "ip", address: plainAddress(socket.remoteAddress), port: socket.remotePort ?? 0 };
  return new NodeConnection(ids.next++, socket, localAddressOf(socket, listening), remote);
}

function localAddressOf(socket: net.Socket, other: SocketAddress): SocketAddress {
  if (other.kind !== "ip") return other;
  return { kind: "ip", address: plainAddress(socket.localAddress ?? "0.0.0.0"), port: socket.localPort ?? 0 };
}

/** An IPv4 peer of a dual-stack socket is written as IPv4. */
function plainAddress(address: string): string {
  return address.startsWith("::ffff:") && address.includes(".") ? address.slice(7) : address;
}

/** `@name` is Linux's abstract namespace, as in Envoy. */
export function systemPath(path: string): string {
  return path.startsWith("@") ? `\0${path.slice(1)}` : path;
}
