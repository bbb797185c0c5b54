/** Servers of several Gateways on the ports of one proxy: what joins, and what conflicts (rules 99, 100). */
import type { Protocol } from "../model/service.ts";
import { type GatewayServer, isPlainHttp } from "./gateway-server.ts";
import { report, type View } from "./view.ts";

/** Servers that share a port, a protocol and an address. */
export interface ServerPort {
  /** The port that is listened on. */
  readonly number: number;
  readonly protocol: Protocol;
  readonly bind: string;
  readonly routeName: string;
  readonly servers: readonly GatewayServer[];
}

export interface MergedGateway {
  readonly ports: readonly ServerPort[];
  readonly serversByRouteName: ReadonlyMap<string, readonly GatewayServer[]>;
}

interface PortInMaking {
  readonly number: number;
  readonly protocol: Protocol;
  readonly bind: string;
  routeName: string;
  readonly servers: GatewayServer[];
}

/** Oldest Gateway first: what conflicts with a server that is there already is left out. */
export class GatewayMerge {
  readonly #view: View;
  readonly #ports = new Map<string, PortInMaking>();
  readonly #byRouteName = new Map<string, GatewayServer[]>();
  readonly #taken = new Set<number>();
  /** The plaintext port that was first on a number. */
  readonly #plaintext = new Map<number, PortInMaking>();
  readonly #tlsHosts = new Map<number, Map<string, string>>();
  readonly #tlsBinds = new Map<number, Set<string>>();

  constructor(view: View) {
    this.#view = view;
  }

  result(): MergedGateway {
    return { ports: [...this.#ports.values()], serversByRouteName: this.#byRouteName };
  }

  add(number: number, server: GatewayServer): void {
    if (server.tls !== undefined && !this.#claimHosts(number, server)) return;
    if (!this.#taken.has(number)) this.#open(number, server);
    else {
      const plaintext = this.#plaintext.get(number);
      if (plaintext !== undefined) this.#joinPlaintext(number, server, plaintext);
      else this.#joinTls(number, server);
    }
  }

  #open(number: number, server: GatewayServer): void {
    this.#taken.add(number);
    const port = this.#portAt(number, server);
    port.routeName = server.routeName;
    port.servers.push(server);
    if (server.tls === undefined || isPlainHttp(server)) this.#plaintext.set(number, port);
    if (server.routeName !== "") this.#byRouteName.set(server.routeName, [server]);
  }

  /** Plaintext HTTP joins plaintext HTTP; on another address everything goes. */
  #joinPlaintext(number: number, server: GatewayServer, current: PortInMaking): void {
    if (current.bind === server.bind) {
      if (!isPlainHttp(server) || !isPlainHttp(current)) {
        this.#refuse(
          server,
          `port ${number} has a ${current.protocol} server already; only plaintext HTTP can join it`,
        );
        return;
      }
      current.servers.push(server);
    } else {
      const port = this.#portAt(number, server);
      port.routeName = server.routeName;
      port.servers.push(server);
    }
    if (server.routeName === "") return;
    const known = this.#byRouteName.get(server.routeName);
    if (known === undefined) this.#byRouteName.set(server.routeName, [server]);
    else known.push(server);
  }

  /** Servers with TLS are told apart by SNI. */
  #joinTls(number: number, server: GatewayServer): void {
    if (server.routeName !== "" && this.#byRouteName.has(server.routeName)) {
      this.#refuse(
        server,
        `another server has the port name ${server.spec.port?.name ?? ""}; each HTTPS server needs its own`,
      );
      return;
    }
    if (server.routeName !== "") this.#byRouteName.set(server.routeName, [server]);
    const binds = this.#tlsBinds.get(number) ?? new Set<string>();
    const isNewBind = !binds.has(server.bind);
    this.#tlsBinds.set(number, binds.add(server.bind));
    if (server.tls === undefined && !isNewBind) {
      this.#refuse(server, `port ${number} has servers with TLS; one without tls can't join them`);
      return;
    }
    this.#portAt(number, server).servers.push(server);
  }

  #portAt(number: number, { protocol, bind }: GatewayServer): PortInMaking {
    const key = `${number}|${protocol}|${bind}`;
    const known = this.#ports.get(key);
    if (known !== undefined) return known;
    const port: PortInMaking = { number, protocol, bind, routeName: "", servers: [] };
    this.#ports.set(key, port);
    return port;
  }

  /** Envoy takes no two filter chains with one SNI: a server that repeats a host is left out whole. */
  #claimHosts(number: number, server: GatewayServer): boolean {
    const known = this.#tlsHosts.get(number) ?? new Map<string, string>();
    this.#tlsHosts.set(number, known);
    const repeated = server.hosts.filter((host) => known.get(host) === server.bind);
    if (repeated.length > 0) {
      this.#refuse(server, `port ${number} has a server with TLS for ${repeated.join(", ")} already`);
      return false;
    }
    for (const host of server.hosts) known.set(host, server.bind);
    return true;
  }

  #refuse(server: GatewayServer, why: string): void {
    const message = `The server is left out at ${this.#view.proxy.name}: ${why}.`;
    report(this.#view, "warning", "gateway-conflict", server.object, server.path, message);
  }
}
