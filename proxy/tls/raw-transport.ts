/** `envoy.transport_sockets.raw_buffer`: bytes as they are. */
import type { Connection, ConnectionHandler } from "#lib/connection.ts";
import { dial, type Dialer } from "./dial.ts";
import { transportReason } from "./failure-reason.ts";
import { TransportError } from "./transport-error.ts";
import type { DownstreamTransport, UpstreamTransport } from "./types.ts";

export const RAW_DOWNSTREAM: DownstreamTransport = {
  isSecure: false,
  isReady: true,
  onReady: (callback) => callback(),
  accept: (raw, onReady) => onReady(raw),
  close() {},
};

/** One for all clusters. */
export function rawUpstream(dialer: Dialer): UpstreamTransport {
  return {
    isSecure: false,
    isUnverified: false,
    isReady: true,
    onReady: (callback) => callback(),
    connect(target, handler) {
      const connecting = new Connecting(handler);
      const connection = dial(dialer, target, connecting);
      connecting.connection = connection;
      return connection;
    },
    close() {},
  };
}

/** Gives a failure to connect Envoy's words; gone once connected. */
class Connecting implements ConnectionHandler {
  connection: Connection | undefined;
  readonly #inner: ConnectionHandler;

  constructor(inner: ConnectionHandler) {
    this.#inner = inner;
  }

  onConnect(): void {
    const { connection } = this;
    if (connection?.handler === this) connection.handler = this.#inner;
    this.#inner.onConnect?.();
  }

  onData(): void {
    // Nothing arrives before the connection is made.
  }

  onClose(error?: NodeJS.ErrnoException): void {
    this.#inner.onClose(
      error === undefined || error.code === undefined ? error : new TransportError(transportReason(error), error),
    );
  }
}
