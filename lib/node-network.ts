/** `Network` over Node's sockets and the system's resolver. */
import { lookup } from "node:dns/promises";
import { chmodSync, unlinkSync } from "node:fs";
import net from "node:net";
import { networkInterfaces } from "node:os";
import { formatAddress, type Connection, type ConnectionHandler, type SocketAddress } from "./connection.ts";
import {
  bindProblem,
  hasBoundSockets,
  intValue,
  openBoundSocket,
  type BoundSocketOptions,
} from "./node-bound-socket.ts";
import { acceptedConnection, NodeConnector, systemPath, type ConnectionIds } from "./node-connection.ts";
import {
  ListenError,
  type ConnectOptions,
  type ListeningSocket,
  type ListenOptions,
  type Network,
  type ResolvedAddress,
  type SocketOption,
} from "./runtime.ts";

/** Makes the network of a real process. */
export function nodeNetwork(): Network {
  return new NodeNetwork();
}

/** The system's network. TLS asks for it by its class, to shake hands on the sockets themselves. */
export class NodeNetwork implements Network {
  readonly connector: NodeConnector = new NodeConnector({ next: 1 });
  #hostAddress: string | undefined = undefined;

  get hostAddress(): string {
    this.#hostAddress ??=
      Object.values(networkInterfaces())
        .flatMap((entries) => entries ?? [])
        .find(({ family, internal }) => family === "IPv4" && !internal)?.address ?? "127.0.0.1";
    return this.#hostAddress;
  }

  listen(options: ListenOptions, onConnection: (connection: Connection) => void): Promise<ListeningSocket> {
    return listen(this.connector.ids, options, onConnection);
  }

  listenProblem(options: ListenOptions): ListenError | undefined {
    const { address } = options;
    return address.kind === "ip" && hasBoundSockets() ? bindProblem(boundOptions(address, options)) : undefined;
  }

  connect(options: ConnectOptions, handler: ConnectionHandler): Connection {
    return this.connector.connect(options, handler);
  }

  async resolve(hostname: string, family?: 4 | 6): Promise<readonly ResolvedAddress[]> {
    const found = await lookup(hostname, { all: true, order: "verbatim", ...(family === undefined ? {} : { family }) });
    return found.map((entry) => ({ address: entry.address, family: entry.family === 6 ? 6 : 4 }));
  }
}

function listen(
  ids: ConnectionIds,
  options: ListenOptions,
  onConnection: Parameters<Network["listen"]>[1],
): Promise<ListeningSocket> {
  const { address } = options;
  // A socket file outlives its process; Envoy removes it before it binds.
  if (address.kind === "pipe") removeStaleSocket(address.path);
  return new Promise((resolve, reject) => {
    const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: address.kind === "ip" });
    const refuse = (error: NodeJS.ErrnoException): void => reject(listenError(error, address));
    server.once("error", refuse);
    server.listen(
      {
        ...(address.kind !== "ip"
          ? { path: systemPath(address.path) }
          : needsOwnSocket(options)
            ? { fd: openBoundSocket(boundOptions(address, options)) }
            : { host: address.address, port: address.port, ipv6Only: options.ipv4Compat !== true }),
        ...(options.backlog === undefined ? {} : { backlog: options.backlog }),
        ...(options.reusePort === true ? { reusePort: true } : {}),
      },
      () => {
        server.off("error", refuse);
        // Out of descriptors while accepting: the connection is lost, the listener stays.
        server.on("error", () => {});
        if (address.kind === "pipe" && options.mode !== undefined) chmodSync(address.path, options.mode);
        const bound = boundAddress(server, address);
        server.on("connection", (socket) => onConnection(acceptedConnection(ids, socket, bound)));
        resolve({
          address: bound,
          // Node calls back only when the last connection is gone; the socket itself is closed within the call.
          close: () => {
            if (server.listening) server.close();
            return Promise.resolve();
          },
        });
      },
    );
  });
}

/** Linux. */
const SO_REUSEPORT: SocketOption = { level: 1, name: 15, value: intValue(1) };

function needsOwnSocket({ socketOptions = [], mptcp = false }: ListenOptions): boolean {
  return socketOptions.length > 0 || mptcp;
}

function boundOptions(
  address: BoundSocketOptions["address"],
  { ipv4Compat = false, socketOptions = [], mptcp = false, reusePort = false }: ListenOptions,
): BoundSocketOptions {
  return { address, ipv4Compat, options: reusePort ? [...socketOptions, SO_REUSEPORT] : socketOptions, mptcp };
}

function boundAddress(server: net.Server, asked: SocketAddress): SocketAddress {
  const address = server.address();
  if (address === null || typeof address === "string") return asked;
  return { kind: "ip", address: address.address, port: address.port };
}

function removeStaleSocket(path: string): void {
  if (path.startsWith("@")) return;
  try {
    unlinkSync(path);
  } catch {
    // It is not there, or it can't be removed: then binding says why.
  }
}

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: "the address is already in use: stop the process that has it, or choose another port",
  EACCES: "permission denied: ports below 1024 need privileges, choose a higher one",
  EADDRNOTAVAIL: "no interface of this machine has that address",
};

function listenError(error: NodeJS.ErrnoException, address: SocketAddress): ListenError {
  const code = error.code ?? "EUNKNOWN";
  return new ListenError(code, address, `cannot bind '${formatAddress(address)}': ${REASONS[code] ?? error.message}`);
}
