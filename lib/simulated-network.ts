/** A network in memory: hosts with addresses, listening sockets, names, and everything that goes wrong between them. */
import { formatAddress, type Connection, type ConnectionHandler, type SocketAddress } from "./connection.ts";
import {
  ListenError,
  type ConnectOptions,
  type ListeningSocket,
  type ListenOptions,
  type Network,
  type Random,
  type ResolvedAddress,
} from "./runtime.ts";
import type { SimulatedClock } from "./simulated-clock.ts";
import { SimulatedConnection, type Wire } from "./simulated-connection.ts";

/** How a link behaves. Absent: no latency, no jitter, no loss. */
export interface LinkConditions {
  readonly latencyMs?: number;
  /** Up to so much on top, evenly spread. */
  readonly jitterMs?: number;
  /** Chance in [0, 1] that a segment is lost and has to be sent again. */
  readonly loss?: number;
}

/** The name of every address, in `link`, `partition`, `heal` and `reset`. */
export const ANYWHERE = "*";

interface Listener {
  readonly host: string;
  readonly address: SocketAddress;
  readonly onConnection: (connection: Connection) => void;
}

const LOOPBACK = /^127\.|^::1$/;
const WILDCARD = new Set(["0.0.0.0", "::"]);

/** All hosts of one simulation. `at` gives the network as one host sees it. */
export class SimulatedNetwork implements Wire {
  /** Name → addresses, or the error of the look-up. A name that is not here gives ENOTFOUND. */
  readonly names: Map<string, readonly ResolvedAddress[] | Error> = new Map();
  /** Time that a look-up takes. */
  resolveLatencyMs = 0;
  readonly #clock: SimulatedClock;
  readonly #random: Random;
  readonly #listeners = new Map<string, Listener>();
  /** Address → the host that has it. */
  readonly #owners = new Map<string, string>();
  readonly #links = new Map<string, LinkConditions>();
  readonly #partitions = new Set<string>();
  readonly #open = new Set<SimulatedConnection>();
  #nextId = 1;
  #nextPort = 40_000;

  constructor(clock: SimulatedClock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  /** The network as the host with this address sees it; 127.0.0.0/8 and `::1` are the host's own. */
  at(host: string): Network {
    this.#owners.set(host, host);
    return {
      hostAddress: host,
      listen: async (options, onConnection) => this.#listen(host, options, onConnection),
      connect: (options, handler) => this.#connect(host, options, handler),
      resolve: (hostname, family) => this.#resolve(hostname, family),
    };
  }

  /** Sets the conditions between two addresses, both ways; either may be `ANYWHERE`. */
  link(a: string, b: string, conditions: LinkConditions): void {
    this.#links.set(pairKey(a, b), conditions);
  }

  /** Nothing passes between the two until `heal`; what is sent meanwhile is sent again, as TCP does. */
  partition(a: string, b: string): void {
    this.#partitions.add(pairKey(a, b));
  }

  heal(a: string, b: string): void {
    this.#partitions.delete(pairKey(a, b));
  }

  /** Resets every open connection between the two; returns how many. */
  reset(a: string, b: string): number {
    let count = 0;
    for (const connection of this.#open) {
      const local = hostOf(connection.localAddress);
      const remote = hostOf(connection.remoteAddress);
      if (!isPair(a, b, local, remote) || connection.isClosed) continue;
      connection.failWith("ECONNRESET", "read ECONNRESET");
      count++;
    }
    return count;
  }

  /** Ends of connections that are open. */
  get openConnections(): number {
    return this.#open.size;
  }

  delayMs(from: SocketAddress, to: SocketAddress): number {
    const { latencyMs = 0, jitterMs = 0 } = this.#conditions(from, to);
    return latencyMs + (jitterMs === 0 ? 0 : this.#random.float() * jitterMs);
  }

  isLost(from: SocketAddress, to: SocketAddress): boolean {
    const a = hostOf(from);
    const b = hostOf(to);
    if (this.#partitions.size > 0 && candidates(a, b).some((key) => this.#partitions.has(key))) return true;
    const { loss = 0 } = this.#conditions(from, to);
    return loss > 0 && this.#random.float() < loss;
  }

  #conditions(from: SocketAddress, to: SocketAddress): LinkConditions {
    if (this.#links.size > 0)
      for (const key of candidates(hostOf(from), hostOf(to))) {
        const found = this.#links.get(key);
        if (found !== undefined) return found;
      }
    return {};
  }

  #listen(host: string, options: ListenOptions, onConnection: Listener["onConnection"]): ListeningSocket {
    const { address } = options;
    const bound: SocketAddress =
      address.kind !== "ip" || address.port !== 0 ? address : { ...address, port: this.#nextPort++ };
    if (bound.kind === "ip" && !WILDCARD.has(bound.address) && !LOOPBACK.test(bound.address)) {
      const owner = this.#owners.get(bound.address);
      if (owner !== undefined && owner !== host)
        throw new ListenError(
          "EADDRNOTAVAIL",
          bound,
          `cannot bind '${formatAddress(bound)}': ${owner} has that address`,
        );
      this.#owners.set(bound.address, host);
    }
    const key = listenKey(host, bound);
    if (this.#listeners.has(key))
      throw new ListenError(
        "EADDRINUSE",
        bound,
        `cannot bind '${formatAddress(bound)}': the address is already in use`,
      );
    const listener: Listener = { host, address: bound, onConnection };
    this.#listeners.set(key, listener);
    return {
      address: bound,
      close: () => {
        if (this.#listeners.get(key) === listener) this.#listeners.delete(key);
        return Promise.resolve();
      },
    };
  }

  #find(fromHost: string, target: SocketAddress): Listener | undefined {
    if (target.kind !== "ip") return this.#listeners.get(listenKey(fromHost, target));
    const host = LOOPBACK.test(target.address) ? fromHost : this.#owners.get(target.address);
    if (host === undefined) return undefined;
    const exact = this.#listeners.get(listenKey(host, target));
    if (exact !== undefined) return exact;
    const wildcard = target.address.includes(":") ? "::" : "0.0.0.0";
    return this.#listeners.get(listenKey(host, { ...target, address: wildcard }));
  }

  #connect(host: string, options: ConnectOptions, handler: ConnectionHandler): Connection {
    const { address: target } = options;
    const source = options.localAddress ?? (isLoopback(target) && !LOOPBACK.test(host) ? "127.0.0.1" : host);
    const local: SocketAddress =
      target.kind !== "ip" ? target : { kind: "ip", address: source, port: this.#nextPort++ };
    const client = this.#end(local, target);
    client.handler = handler;
    client.sendSyn(() => {
      if (client.isClosed) return;
      const backMs = this.delayMs(target, local);
      const listener = this.#find(host, target);
      if (listener === undefined) {
        this.#clock.setTimer(backMs, () =>
          client.failWith("ECONNREFUSED", `connect ECONNREFUSED ${formatAddress(target)}`),
        );
        return;
      }
      const server = this.#end(target, local);
      server.peer = client;
      client.peer = server;
      server.holdUntil(this.#clock.monotonic() + backMs);
      // The client is connected before anything that the server writes at once can reach it.
      this.#clock.setTimer(backMs, () => {
        if (!client.isClosed) client.handler.onConnect?.();
      });
      listener.onConnection(server);
    });
    return client;
  }

  #end(local: SocketAddress, remote: SocketAddress): SimulatedConnection {
    const end = new SimulatedConnection(this.#nextId++, this.#clock, this, local, remote);
    this.#open.add(end);
    end.leaveNetwork = () => this.#open.delete(end);
    return end;
  }

  #resolve(hostname: string, family?: 4 | 6): Promise<readonly ResolvedAddress[]> {
    return new Promise((resolve, reject) => {
      this.#clock.setTimer(this.resolveLatencyMs, () => {
        const found = this.#lookUp(hostname);
        const fitting = found instanceof Error ? [] : found.filter((a) => family === undefined || a.family === family);
        if (found instanceof Error) reject(found);
        else if (fitting.length === 0) reject(notFound(hostname));
        else resolve(fitting);
      });
    });
  }

  #lookUp(hostname: string): readonly ResolvedAddress[] | Error {
    if (/^[\d.]+$/.test(hostname)) return [{ address: hostname, family: 4 }];
    if (hostname.includes(":")) return [{ address: hostname, family: 6 }];
    const found = this.names.get(hostname);
    if (found !== undefined) return found;
    return hostname === "localhost" ? [{ address: "127.0.0.1", family: 4 }] : notFound(hostname);
  }
}

function notFound(hostname: string): Error {
  return Object.assign(new Error(`getaddrinfo ENOTFOUND ${hostname}`), { code: "ENOTFOUND" });
}

function hostOf(address: SocketAddress): string {
  return address.kind === "ip" ? address.address : address.path;
}

function isLoopback(address: SocketAddress): boolean {
  return address.kind === "ip" && LOOPBACK.test(address.address);
}

function listenKey(host: string, address: SocketAddress): string {
  return `${host} ${formatAddress(address)}`;
}

function pairKey(a: string, b: string): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}

/** Most specific first. */
function candidates(a: string, b: string): string[] {
  return [pairKey(a, b), pairKey(a, ANYWHERE), pairKey(b, ANYWHERE), pairKey(ANYWHERE, ANYWHERE)];
}

function isPair(a: string, b: string, local: string, remote: string): boolean {
  const fits = (name: string, host: string): boolean => name === ANYWHERE || name === host;
  return (fits(a, local) && fits(b, remote)) || (fits(b, local) && fits(a, remote));
}
