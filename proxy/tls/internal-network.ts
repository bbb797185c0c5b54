/** Listeners inside of this process (`envoy.bootstrap.internal_listener`): connected to through memory. */
import type { Connection, ConnectionHandler, SocketAddress } from "#lib/connection.ts";
import { memoryPipe } from "#lib/memory-connection.ts";
import type { Clock } from "#lib/runtime.ts";
import { TransportError } from "./transport-error.ts";

/** What the client side of an internal connection gives along (`internal_upstream`). */
export interface Passthrough {
  readonly filterState: ReadonlyMap<string, unknown> | undefined;
  readonly metadata: ReadonlyMap<string, Readonly<Record<string, unknown>>>;
}

export const NOTHING_PASSED: Passthrough = { filterState: undefined, metadata: new Map() };

export type InternalAccept = (raw: Connection, passthrough: Passthrough) => void;

type InternalAddress = Extract<SocketAddress, { readonly kind: "internal" }>;

/** `envoy_internal_address` as an address: `envoy://<listener>/<endpoint id>`. */
export function internalAddress(listener: string, endpointId: string): InternalAddress {
  return { kind: "internal", listener, path: `envoy://${listener}/${endpointId}` };
}

const CLIENT_ADDRESS: SocketAddress = internalAddress("internal_client_address", "");

/** The internal listeners of one proxy. */
export class InternalNetwork {
  readonly #clock: Pick<Clock, "atEndOfTurn">;
  readonly #bufferBytes: number | undefined;
  readonly #listeners = new Map<string, InternalAccept>();
  readonly #ids = { next: 1 };

  /** `bufferBytes`: what may be on its way one way. */
  constructor(clock: Pick<Clock, "atEndOfTurn">, bufferBytes?: number) {
    this.#clock = clock;
    this.#bufferBytes = bufferBytes;
  }

  /** From now on `accept` gets the connections to `name`; the function that is returned ends that, unless another has taken over. */
  listen(name: string, accept: InternalAccept): () => void {
    this.#listeners.set(name, accept);
    return () => {
      if (this.#listeners.get(name) === accept) this.#listeners.delete(name);
    };
  }

  /** Connects at the end of the turn; without such a listener the handler hears why not. */
  connect(address: InternalAddress, passthrough: Passthrough, handler: ConnectionHandler): Connection {
    const { client, server } = memoryPipe({
      clock: this.#clock,
      clientAddress: CLIENT_ADDRESS,
      serverAddress: address,
      bufferBytes: this.#bufferBytes,
      ids: this.#ids,
    });
    client.handler = handler;
    this.#clock.atEndOfTurn(() => {
      if (client.isClosed) return;
      const accept = this.#listeners.get(address.listener);
      if (accept === undefined) {
        client.destroy(new TransportError(`no internal listener '${address.listener}' is there`));
        return;
      }
      client.handler.onConnect?.();
      accept(server, passthrough);
    });
    return client;
  }
}
