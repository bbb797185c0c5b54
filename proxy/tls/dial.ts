/** The raw connection under an upstream transport: of the system's network, or to an internal listener. */
import type { Connection, ConnectionHandler } from "#lib/connection.ts";
import type { ConnectOptions, Runtime } from "#lib/runtime.ts";
import { NOTHING_PASSED, type InternalNetwork } from "./internal-network.ts";
import type { UpstreamTarget } from "./types.ts";

export interface Dialer {
  readonly runtime: Runtime;
  readonly internal: InternalNetwork;
}

/** What the network needs of a target. */
export function connectOptions({ address, localAddress, keepAlive, bufferBytes }: UpstreamTarget): ConnectOptions {
  return {
    address,
    ...(localAddress === undefined ? {} : { localAddress }),
    ...(bufferBytes === undefined ? {} : { bufferBytes }),
    ...(keepAlive === undefined ? {} : { keepAlive }),
  };
}

/** True: the connection is not a plain one of the system's, so that TLS has to run over it rather than on its socket. */
export function needsDial({ address, prelude }: UpstreamTarget): boolean {
  return address.kind === "internal" || prelude !== undefined;
}

/** Opens it; a `prelude` is written before `handler` hears of the connection. */
export function dial({ runtime, internal }: Dialer, target: UpstreamTarget, handler: ConnectionHandler): Connection {
  const { address, prelude } = target;
  const opening = prelude === undefined ? undefined : new Opening(handler, prelude);
  const first = opening ?? handler;
  const connection =
    address.kind === "internal"
      ? internal.connect(address, target.passthrough ?? NOTHING_PASSED, first)
      : runtime.network.connect(connectOptions(target), first);
  if (opening !== undefined) opening.connection = connection;
  return connection;
}

/** Writes the prelude, then it is out of the way. */
class Opening implements ConnectionHandler {
  connection: Connection | undefined;
  readonly #inner: ConnectionHandler;
  readonly #prelude: (raw: Connection) => void;

  constructor(inner: ConnectionHandler, prelude: (raw: Connection) => void) {
    this.#inner = inner;
    this.#prelude = prelude;
  }

  onConnect(): void {
    const { connection } = this;
    if (connection === undefined) return;
    connection.handler = this.#inner;
    this.#prelude(connection);
    this.#inner.onConnect?.();
  }

  onData(): void {
    // Nothing arrives before the connection is made.
  }

  onClose(error?: Error): void {
    this.#inner.onClose(error);
  }
}
