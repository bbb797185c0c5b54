/** A TCP connection that is a stream of an HTTP one: CONNECT (or POST) to a proxy behind the cluster. */
import type { Connection, ConnectionHandler, SocketAddress, TlsInfo } from "#lib/connection.ts";
import type { Protocol, ResetReason, StreamDecoder, StreamEncoder } from "../http/codec.ts";
import type { HeaderMap } from "../http/header-map.ts";
import type { StreamInfo } from "../stream-info.ts";
import type { Cluster, Host, PoolCallbacks, PoolFailureReason, PoolOptions, PoolRequest } from "../upstream/types.ts";
import type { TunnelingConfig } from "./tunnel-config.ts";

export const TUNNEL_HEADERS_STATE: string = "envoy.tcp_proxy.propagate_response_headers";
export const TUNNEL_TRAILERS_STATE: string = "envoy.tcp_proxy.propagate_response_trailers";

const NOWHERE: SocketAddress = { kind: "ip", address: "0.0.0.0", port: 0 };
const NO_BYTES = Buffer.alloc(0);

/** Opens it; `handler` hears `onConnect` when the proxy has agreed, `onClose` when it has not. */
export function connectTunnel(
  cluster: Cluster,
  host: Host,
  options: PoolOptions,
  config: TunnelingConfig,
  info: StreamInfo,
  handler: ConnectionHandler,
): Connection | "overflow" {
  const tunnel = new Tunnel(config, info, host, handler);
  return tunnel.open(cluster, { ...options, protocol: cluster.upstreamProtocol(undefined) }) ? tunnel : "overflow";
}

class Tunnel implements Connection, StreamDecoder, PoolCallbacks {
  readonly id = 0;
  handler: ConnectionHandler;
  isClosed = false;
  readonly #config: TunnelingConfig;
  readonly #info: StreamInfo;
  readonly #host: Host;
  #carrier: Connection | undefined = undefined;
  #encoder: StreamEncoder | undefined = undefined;
  #waiting: PoolRequest | undefined = undefined;
  #isHttp1 = false;
  #isOpening = true;
  #isOverflow = false;
  #isOpen = false;
  #hasEnded = false;
  #peerEnded = false;

  constructor(config: TunnelingConfig, info: StreamInfo, host: Host, handler: ConnectionHandler) {
    this.#config = config;
    this.#info = info;
    this.#host = host;
    this.handler = handler;
  }

  /** False: the circuit breaker is open. */
  open(cluster: Cluster, options: PoolOptions): boolean {
    const waiting = cluster.httpPool(this.#host, options).newStream(this, this);
    this.#isOpening = false;
    if (this.#encoder === undefined && !this.isClosed) this.#waiting = waiting;
    return !this.#isOverflow;
  }

  // The pool.

  onPoolReady(encoder: StreamEncoder, _host: Host, connection: Connection, protocol: Protocol): void {
    this.#waiting = undefined;
    this.#encoder = encoder;
    this.#carrier = connection;
    this.#isHttp1 = protocol !== "HTTP/2";
    encoder.sendHeaders(this.#config.requestHeaders(this.#info, connection.tls !== undefined), false);
  }

  onPoolFailure(reason: PoolFailureReason, failure: string): void {
    this.#waiting = undefined;
    if (reason === "overflow" && this.#isOpening) {
      this.#isOverflow = true;
      this.isClosed = true;
      return;
    }
    this.#close(new Error(failure === "" ? reason : failure));
  }

  // The answer.

  onHeaders(headers: HeaderMap, endStream: boolean): void {
    if (this.isClosed || this.#isOpen) return;
    const { status } = headers;
    if (this.#config.propagatesHeaders) this.#keep(TUNNEL_HEADERS_STATE, headers);
    // RFC 9110 §9.3.6: any 2xx; over HTTP/2 Envoy takes 200 alone.
    if (endStream || !(this.#isHttp1 ? status >= 200 && status < 300 : status === 200)) {
      this.#encoder?.reset("local reset");
      this.#close(new Error(`tunnel_response:${status}`));
      return;
    }
    this.#isOpen = true;
    this.handler.onConnect?.();
  }

  onData(chunk: Buffer, endStream: boolean): void {
    if (this.isClosed) return;
    if (chunk.length > 0) this.handler.onData(chunk);
    if (endStream) this.#onPeerEnd();
  }

  onTrailers(trailers: HeaderMap): void {
    if (this.isClosed) return;
    if (this.#config.propagatesTrailers) this.#keep(TUNNEL_TRAILERS_STATE, trailers);
    this.#onPeerEnd();
  }

  onReset(reason: ResetReason): void {
    this.#close(this.#isOpen ? undefined : new Error(reason));
  }

  onWritable(): void {
    if (!this.isClosed) this.handler.onDrain?.();
  }

  #keep(key: string, headers: HeaderMap): void {
    const values = headers.names.map((name, index) => [name, headers.values[index] ?? ""] as const);
    this.#info.filterState?.set(key, Object.fromEntries([[":status", String(headers.status)], ...values]));
  }

  #onPeerEnd(): void {
    if (this.#peerEnded) return;
    this.#peerEnded = true;
    if (this.handler.onEnd === undefined) this.end();
    else this.handler.onEnd();
    // A stream is over with its response; what is left of the request has nobody to read it.
    if (!this.#hasEnded) this.#encoder?.reset("local reset");
    this.#close(undefined);
  }

  #close(error: Error | undefined): void {
    if (this.isClosed) return;
    this.isClosed = true;
    if (this.#isOpening) queueMicrotask(() => this.handler.onClose(error));
    else this.handler.onClose(error);
  }

  // The connection.

  get localAddress(): SocketAddress {
    return this.#carrier?.localAddress ?? NOWHERE;
  }
  get remoteAddress(): SocketAddress {
    return this.#host.address;
  }
  get tls(): TlsInfo | undefined {
    return this.#carrier?.tls;
  }
  get bufferedBytes(): number {
    return this.#encoder?.canWrite === false ? (this.#carrier?.bufferedBytes ?? 0) : 0;
  }

  write(data: string | Buffer): boolean {
    if (this.isClosed || this.#hasEnded) return false;
    return this.#encoder?.sendData(data, false) ?? false;
  }

  end(): void {
    if (this.isClosed || this.#hasEnded) return;
    this.#hasEnded = true;
    this.#encoder?.sendData(NO_BYTES, true);
    // Only the end of the connection tells the other side.
    if (this.#isHttp1) this.#carrier?.end();
  }

  destroy(error?: Error): void {
    if (this.isClosed) return;
    this.#waiting?.cancel();
    this.#waiting = undefined;
    if (!this.#peerEnded) this.#encoder?.reset("local reset");
    this.#close(error);
  }

  reset(): void {
    this.destroy();
  }
  pause(): void {
    this.#encoder?.setReadDisabled(true);
  }
  resume(): void {
    this.#encoder?.setReadDisabled(false);
  }
  unshift(): void {
    throw new Error("a tunnel takes nothing back");
  }
}
