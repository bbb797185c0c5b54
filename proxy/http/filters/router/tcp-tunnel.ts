/**
 * CONNECT that ends here (`connect_config`, R-105): a TCP connection to the host that looks to the router like a stream
 * of a pool. The answer, 200, is our own; what follows are the bytes as they are, both ways.
 */
import type { Connection, ConnectionHandler } from "#lib/connection.ts";
import type { ConnectConfig } from "../../../router/types.ts";
import type { Cluster, Host, HttpPool, PoolCallbacks, PoolOptions, PoolRequest } from "../../../upstream/types.ts";
import type { StreamDecoder, StreamEncoder } from "../../codec.ts";
import { HeaderMap } from "../../header-map.ts";

/** True: the request is a tunnel that ends at this proxy. */
export function endsTunnel(config: ConnectConfig | undefined, headers: HeaderMap): config is ConnectConfig {
  if (config === undefined) return false;
  return headers.method === "CONNECT" || (config.allowsPost && headers.method === "POST");
}

/** A pool of one connection for one request. `header` is written before everything else. */
export function tcpTunnelPool(
  cluster: Cluster,
  host: Host,
  options: PoolOptions,
  header: () => Buffer | undefined,
): HttpPool {
  return {
    newStream: (decoder, callbacks) => new TcpTunnel(decoder, callbacks, host, header).open(cluster, options),
  };
}

const EMPTY = Buffer.alloc(0);

class TcpTunnel implements ConnectionHandler, StreamEncoder, PoolRequest {
  readonly #decoder: StreamDecoder;
  readonly #callbacks: PoolCallbacks;
  readonly #host: Host;
  readonly #header: () => Buffer | undefined;
  #connection: Connection | undefined = undefined;
  #isConnected = false;
  #isOver = false;
  /** The upstream has ended its side, or we have said so. */
  #hasEnded = false;

  constructor(decoder: StreamDecoder, callbacks: PoolCallbacks, host: Host, header: () => Buffer | undefined) {
    this.#decoder = decoder;
    this.#callbacks = callbacks;
    this.#host = host;
    this.#header = header;
  }

  open(cluster: Cluster, options: PoolOptions): PoolRequest | undefined {
    const connection = cluster.tcpConnect(this.#host, options, this);
    if (connection === "overflow") {
      this.#isOver = true;
      this.#callbacks.onPoolFailure("overflow", "", this.#host);
      return undefined;
    }
    this.#connection = connection;
    return this;
  }

  cancel(): void {
    this.reset();
  }

  // The connection.

  onConnect(): void {
    const connection = this.#connection;
    if (connection === undefined || this.#isOver) return;
    this.#isConnected = true;
    this.#callbacks.onPoolReady(this, this.#host, connection, "HTTP/1.1");
  }

  onData(chunk: Buffer): void {
    if (!this.#isOver && !this.#hasEnded) this.#decoder.onData(chunk, false);
  }

  onEnd(): void {
    if (this.#isOver || this.#hasEnded) return;
    this.#hasEnded = true;
    this.#decoder.onData(EMPTY, true);
  }

  onDrain(): void {
    if (!this.#isOver) this.#decoder.onWritable();
  }

  onClose(error?: Error): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (!this.#isConnected)
      this.#callbacks.onPoolFailure(
        error?.message === "connection timeout" ? "connection timeout" : "remote connection failure",
        error?.message === "connection timeout" ? "" : (error?.message ?? ""),
        this.#host,
      );
    else if (!this.#hasEnded) this.#decoder.onReset("connection termination", "");
  }

  // The request.

  sendHeaders(_headers: HeaderMap, endStream: boolean): void {
    const connection = this.#connection;
    if (connection === undefined || this.#isOver) return;
    const header = this.#header();
    if (header !== undefined) connection.write(header);
    if (endStream) connection.end();
    // After what has been kept of the request, which goes out within this turn.
    queueMicrotask(() => {
      if (this.#isOver) return;
      const answer = new HeaderMap();
      answer.status = 200;
      this.#decoder.onHeaders(answer, false);
    });
  }

  sendData(chunk: Buffer | string, endStream: boolean): boolean {
    const connection = this.#connection;
    if (connection === undefined || this.#isOver) return true;
    // The chunk is lent.
    const isWritable = chunk.length === 0 || connection.write(typeof chunk === "string" ? chunk : Buffer.from(chunk));
    if (endStream) connection.end();
    return isWritable;
  }

  sendTrailers(): void {
    this.#connection?.end();
  }

  sendInformational(): void {
    throw new Error("a client sends no informational response");
  }

  reset(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#connection?.destroy();
  }

  setReadDisabled(disabled: boolean): void {
    if (disabled) this.#connection?.pause();
    else this.#connection?.resume();
  }

  get canWrite(): boolean {
    return (this.#connection?.bufferedBytes ?? 0) === 0;
  }
}
