/** A connection behind network filters that change what passes: for the terminal filter it looks like any other. */
import type { Connection, ConnectionHandler, SocketAddress, TlsInfo } from "#lib/connection.ts";
import type { ConnectionFilter } from "./filter.ts";

/**
 * Runs `onRead` of the filters in order and `onWrite` in reverse order. A filter that has no hooks (any more) costs
 * nothing: `release` takes it out, and without filters the inner handler hears the connection itself.
 */
export class FilteredConnection implements Connection, ConnectionHandler {
  readonly #inner: Connection;
  /** Replaced, never changed: a filter may release itself while it reads. */
  #filters: readonly ConnectionFilter[];
  #handler: ConnectionHandler = { onData() {}, onClose() {} };

  constructor(inner: Connection, filters: readonly ConnectionFilter[]) {
    this.#inner = inner;
    this.#filters = filters;
    inner.handler = this;
  }

  /** Takes a filter out of the way. */
  release(filter: ConnectionFilter): void {
    this.#filters = this.#filters.filter((other) => other !== filter);
    if (this.#filters.length === 0) this.#inner.handler = this.#handler;
  }

  get handler(): ConnectionHandler {
    return this.#handler;
  }

  set handler(handler: ConnectionHandler) {
    this.#handler = handler;
    if (this.#filters.length === 0) this.#inner.handler = handler;
  }

  /** Lets bytes that a filter has held back go on to those behind it. */
  passOn(from: ConnectionFilter, chunk: Buffer): void {
    this.#pass(chunk, this.#filters.slice(this.#filters.indexOf(from) + 1));
  }

  onData(chunk: Buffer): void {
    this.#pass(chunk, this.#filters);
  }

  #pass(chunk: Buffer, filters: readonly ConnectionFilter[]): void {
    let rest: Buffer | undefined = chunk;
    for (const filter of filters) {
      if (filter.onRead === undefined) continue;
      rest = filter.onRead(rest);
      if (rest === undefined || rest.length === 0) return;
    }
    this.#handler.onData(rest);
  }

  onEnd(): void {
    if (this.#handler.onEnd === undefined) this.#inner.end();
    else this.#handler.onEnd();
  }

  onDrain(): void {
    this.#handler.onDrain?.();
  }

  onClose(error?: Error): void {
    this.#handler.onClose(error);
  }

  write(data: string | Buffer, onReleased?: () => void): boolean {
    if (this.#filters.length === 0) return this.#inner.write(data, onReleased);
    let bytes: Buffer | undefined = typeof data === "string" ? Buffer.from(data, "latin1") : data;
    for (const filter of this.#filters.toReversed()) {
      if (filter.onWrite === undefined) continue;
      bytes = filter.onWrite(bytes);
      if (bytes === undefined || bytes.length === 0) return true;
    }
    return this.#inner.write(bytes);
  }

  get id(): number {
    return this.#inner.id;
  }
  get localAddress(): SocketAddress {
    return this.#inner.localAddress;
  }
  get remoteAddress(): SocketAddress {
    return this.#inner.remoteAddress;
  }
  get directRemoteAddress(): SocketAddress | undefined {
    return this.#inner.directRemoteAddress;
  }
  get tls(): TlsInfo | undefined {
    return this.#inner.tls;
  }
  get bufferedBytes(): number {
    return this.#inner.bufferedBytes;
  }
  get isClosed(): boolean {
    return this.#inner.isClosed;
  }
  end(): void {
    this.#inner.end();
  }
  destroy(error?: Error): void {
    this.#inner.destroy(error);
  }
  reset(): void {
    this.#inner.reset();
  }
  pause(): void {
    this.#inner.pause();
  }
  resume(): void {
    this.#inner.resume();
  }
  unshift(chunk: Buffer): void {
    this.#inner.unshift(chunk);
  }
}
