/**
 * An ordered byte stream with one handler. Implemented over `net.Socket`, `tls.TLSSocket` and an in-memory pipe;
 * nothing above it sees a Node socket.
 */

/** An IP endpoint, a Unix socket path, or a listener inside of this process (`path` is `envoy://<listener>/<endpoint>`). */
export type SocketAddress =
  | { readonly kind: "ip"; readonly address: string; readonly port: number }
  | { readonly kind: "pipe"; readonly path: string }
  | { readonly kind: "internal"; readonly listener: string; readonly path: string };

/** `ip:port`, `[v6]:port`, or the path. */
export function formatAddress(address: SocketAddress): string {
  if (address.kind !== "ip") return address.path;
  return address.address.includes(":") ? `[${address.address}]:${address.port}` : `${address.address}:${address.port}`;
}

/** Hears what happens on a connection. Replaced as protocol layers are peeled off (`Connection.handler`). */
export interface ConnectionHandler {
  /** Outgoing connections only: the transport (and, with TLS, the handshake) is ready. */
  onConnect?(): void;
  /**
   * Bytes from the peer. `chunk` is **borrowed**: it is valid only during this call, whoever keeps it copies it.
   */
  onData(chunk: Buffer): void;
  /** The peer ended its side (half-close). Nothing more will be read. Default: the connection is ended. */
  onEnd?(): void;
  /** What was written has been flushed, after `write` returned false. */
  onDrain?(): void;
  /** The connection is gone; called exactly once and last. `error` is absent for an orderly close. */
  onClose(error?: Error): void;
}

export interface Connection {
  readonly id: number;
  /** Set before data flows; may be replaced at any time (the next event goes to the new one). */
  handler: ConnectionHandler;
  /** Hears, after the handler, that the connection is gone: for the one who counts and drains connections. */
  onGone?: (() => void) | undefined;
  readonly localAddress: SocketAddress;
  readonly remoteAddress: SocketAddress;
  /** The peer itself, where a PROXY header has named another one. */
  readonly directRemoteAddress?: SocketAddress | undefined;
  /** Accepted connections: from now on it counts as coming from `remote`. */
  readdress?(remote: SocketAddress): void;
  /** Present after a TLS handshake. */
  readonly tls?: TlsInfo | undefined;
  /** Bytes written and not yet handed to the system. */
  readonly bufferedBytes: number;
  /** Bytes that `write` has taken so far; undefined where nobody counts them. */
  readonly bytesWritten?: number;
  readonly isClosed: boolean;
  /**
   * Queues bytes. A string is latin1 (one byte a character). A Buffer belongs to the connection from here on: the
   * caller copies borrowed ones first. Returns false when more than the high-water mark is buffered; `onDrain` follows.
   * `onReleased`: a Buffer is no longer needed and may be filled anew. It may come at any time later, or never.
   */
  write(data: string | Buffer, onReleased?: () => void): boolean;
  /** Half-closes after everything queued is flushed. */
  end(): void;
  /** Closes at once, dropping what is queued. `onClose` follows. */
  destroy(error?: Error): void;
  /** Resets at once (RST where the transport has it). */
  reset(): void;
  /** Stops `onData` until `resume`; nests not: one `resume` undoes any number of `pause`. */
  pause(): void;
  resume(): void;
  /** Puts bytes that were read back, to be delivered again to the (new) handler before anything else. */
  unshift(chunk: Buffer): void;
}

/** What a TLS handshake established. */
export interface TlsInfo {
  readonly version: string;
  readonly cipher: string;
  /** Server name that the client asked for. */
  readonly sni?: string | undefined;
  /** Negotiated ALPN protocol. */
  readonly alpn?: string | undefined;
  readonly resumed: boolean;
  /** The peer's certificate, if it showed one; `verified` says whether the chain was accepted. */
  readonly peer?: PeerCertificate | undefined;
  readonly local?: PeerCertificate | undefined;
}

export interface PeerCertificate {
  readonly verified: boolean;
  readonly uriSans: readonly string[];
  readonly dnsSans: readonly string[];
  /** RFC 2253. */
  readonly subject: string;
  readonly issuer: string;
  /** Hex, lower case. */
  readonly serialNumber: string;
  /** SHA-256 of the DER form, hex, lower case. */
  readonly sha256: string;
  readonly validFromMs: number;
  readonly validToMs: number;
  /** DER of the leaf. */
  readonly der: Uint8Array;
}
