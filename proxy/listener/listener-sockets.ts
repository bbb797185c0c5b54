/** The listening sockets of a proxy: a new version of a listener takes them over without closing them. */
import { formatAddress, type Connection, type SocketAddress } from "#lib/connection.ts";
import type { ListenError, ListeningSocket, ListenOptions, Runtime } from "#lib/runtime.ts";
import type { ListenAddress, ListenerModel } from "./model.ts";

/** Takes connections of a socket. */
export interface SocketOwner {
  readonly model: { readonly name: string };
  accept(raw: Connection): void;
}

interface SharedSocket {
  owner: SocketOwner;
  /** Undefined while it is being opened. */
  socket: ListeningSocket | undefined;
  isClosed: boolean;
}

/** What all sockets of a listener are made with. */
export type SocketSettings = Pick<ListenerModel, "backlog" | "socketOptions" | "mptcp" | "reusePort">;

function listenOptions(
  name: string,
  { address, ipv4Compat, mode }: ListenAddress,
  { backlog, socketOptions, mptcp, reusePort }: SocketSettings,
): ListenOptions {
  return {
    address,
    name,
    ipv4Compat,
    ...(backlog === undefined ? {} : { backlog }),
    ...(mode === 0 ? {} : { mode }),
    ...(socketOptions.length === 0 ? {} : { socketOptions }),
    ...(mptcp ? { mptcp } : {}),
    ...(reusePort ? { reusePort } : {}),
  };
}

export class ListenerSockets {
  readonly #runtime: Runtime;
  readonly #sockets = new Map<string, SharedSocket>();

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /**
   * Gives a socket to `owner`: the one that is open on the address, or a new one. Resolves when it accepts; rejects with
   * a `ListenError` when the address can't be had.
   */
  async take(owner: SocketOwner, index: number, listen: ListenAddress, settings: SocketSettings): Promise<void> {
    const key = socketKey(owner, index, listen.address);
    const open = this.#sockets.get(key);
    if (open !== undefined) {
      open.owner = owner;
      return;
    }
    const shared: SharedSocket = { owner, socket: undefined, isClosed: false };
    this.#sockets.set(key, shared);
    try {
      const socket = await this.#runtime.network.listen(
        listenOptions(`${owner.model.name} ${index}`, listen, settings),
        (raw) => shared.owner.accept(raw),
      );
      shared.socket = socket;
      if (shared.isClosed) await socket.close();
    } catch (error) {
      if (this.#sockets.get(key) === shared) this.#sockets.delete(key);
      throw error;
    }
  }

  /** Why an address can't be had now; undefined: it can, or this proxy has it already. */
  problem(owner: SocketOwner, index: number, listen: ListenAddress, settings: SocketSettings): ListenError | undefined {
    if (this.#sockets.has(socketKey(owner, index, listen.address))) return undefined;
    return this.#runtime.network.listenProblem?.(listenOptions(`${owner.model.name} ${index}`, listen, settings));
  }

  /** Closes a socket, unless somebody else has taken it over. */
  release(owner: SocketOwner, index: number, listen: ListenAddress): void {
    const key = socketKey(owner, index, listen.address);
    const open = this.#sockets.get(key);
    if (open === undefined || open.owner !== owner) return;
    this.#sockets.delete(key);
    open.isClosed = true;
    void open.socket?.close();
  }

  /** The address that is really bound, where that is known. */
  boundAddress(owner: SocketOwner, index: number, listen: ListenAddress): SocketAddress {
    return this.#sockets.get(socketKey(owner, index, listen.address))?.socket?.address ?? listen.address;
  }
}

/** Port 0 is a different port for every listener. */
function socketKey(owner: SocketOwner, index: number, address: SocketAddress): string {
  const text = formatAddress(address);
  return address.kind === "ip" && address.port === 0 ? `${text} ${owner.model.name} ${index}` : text;
}
