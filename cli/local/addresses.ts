/**
 * Where everything of a local mesh listens.
 *
 * `addresses`: each instance has a loopback address of its own, `127.x.y.1`, on which its sidecar serves the container
 * ports, and one more per Service (`127.x.y.10` and up) on which it serves that Service's ports to its application.
 * `ports`: where only 127.0.0.1 is loopback (macOS), ports stand for addresses: everything is 127.0.0.1 with a free port.
 * A port that can't be bound (below 1024 without root, or taken) is replaced by a free one in either shape.
 */
import net from "node:net";
import type { PlacedAddress, PlacedInbound, PlacedOutbound, Placement } from "#control-plane/model/proxy-node.ts";
import type { PlannedInstance, PlannedService } from "./planned.ts";

export type AddressShape = "addresses" | "ports";

export interface InstanceAddresses {
  readonly ip: string;
  readonly admin: PlacedAddress;
  readonly placement: Placement;
}

/** A mesh has a second octet of its own, the first from here that is free: below lie the addresses that people use by hand. */
const FIRST_OCTET = 40;
const LAST_OCTET = 250;
const FIRST_VIP = 10;
const RESERVATION_PORT = 15_999;

export class AddressBook {
  readonly shape: AddressShape;
  readonly #octet: number;
  /** Holds the octet against other meshes for as long as this process lives. */
  readonly #reservation: net.Server | undefined;
  readonly #taken = new Set<string>();
  #instances = 0;

  private constructor(shape: AddressShape, octet: number, reservation: net.Server | undefined) {
    this.shape = shape;
    this.#octet = octet;
    this.#reservation = reservation;
  }

  static async open(shape: AddressShape): Promise<AddressBook> {
    if (shape === "ports") return new AddressBook(shape, 0, undefined);
    for (let octet = FIRST_OCTET; octet <= LAST_OCTET; octet++) {
      const reservation = await listen(`127.${octet}.255.254`, RESERVATION_PORT);
      if (reservation !== undefined) return new AddressBook(shape, octet, reservation);
    }
    return new AddressBook("ports", 0, undefined);
  }

  close(): void {
    this.#reservation?.close();
  }

  /** A free port of 127.0.0.1. */
  claim(): Promise<PlacedAddress> {
    return this.#claim("127.0.0.1", 0);
  }

  /** Addresses for a new instance, for the services known now. */
  async place(
    instance: PlannedInstance,
    services: readonly PlannedService[],
    callLog: string,
  ): Promise<InstanceAddresses> {
    const block = this.#nextBlock();
    const ip = this.shape === "addresses" ? `${block}.1` : "127.0.0.1";
    const inbound = [];
    for (const port of instance.ports) inbound.push(await this.#inbound(ip, port.number, instance));
    return {
      ip,
      admin: await this.#claim("127.0.0.1", 0),
      placement: {
        inbound,
        outbound: instance.hasSidecar && !instance.isGateway ? await this.outbound(block, services, []) : [],
        httpProxy: await this.#claim(ip, this.shape === "addresses" ? 15_002 : 0),
        callLog,
      },
    };
  }

  /** A gateway whose ports changed keeps those that it has. */
  async withPorts(addresses: InstanceAddresses, instance: PlannedInstance): Promise<InstanceAddresses> {
    const { ip, placement } = addresses;
    const inbound = [];
    for (const { number } of instance.ports) {
      inbound.push(
        placement.inbound.find(({ port }) => port === number) ?? (await this.#inbound(ip, number, instance)),
      );
    }
    return { ...addresses, placement: { ...placement, inbound } };
  }

  async #inbound(ip: string, port: number, { local, isGateway }: PlannedInstance): Promise<PlacedInbound> {
    const bind = await this.#claim(ip, this.shape === "addresses" ? port : 0);
    // Behind a gateway's port is nothing but the gateway.
    if (isGateway) return { port, bind, app: bind };
    const app = local?.address;
    return { port, bind, app: app === undefined ? await this.#claim("127.0.0.1", 0) : parseAddress(app) };
  }

  /** Listeners for the ports of every service; those of `known` stay where they are. */
  async outbound(
    block: string,
    services: readonly PlannedService[],
    known: readonly PlacedOutbound[],
  ): Promise<readonly PlacedOutbound[]> {
    const placed: PlacedOutbound[] = [];
    for (const [index, service] of services.entries()) {
      for (const port of service.ports) {
        const old = known.find((entry) => entry.host === service.host && entry.port === port.number);
        const own = this.shape === "addresses" && index < 240;
        const bind =
          old?.bind ?? (await this.#claim(own ? `${block}.${FIRST_VIP + index}` : "127.0.0.1", own ? port.number : 0));
        placed.push({ host: service.host, port: port.number, bind });
      }
    }
    return placed;
  }

  #nextBlock(): string {
    return `127.${this.#octet}.${this.#instances++}`;
  }

  /** The wished port if it can be bound now, else a free one. */
  async #claim(address: string, port: number): Promise<PlacedAddress> {
    if (port !== 0 && !this.#taken.has(`${address}:${port}`) && (await canBind(address, port)) !== undefined) {
      this.#taken.add(`${address}:${port}`);
      return { address, port };
    }
    for (;;) {
      const free = await canBind(address, 0);
      if (free === undefined) throw new Error(`no free port on ${address}`);
      if (this.#taken.has(`${address}:${free}`)) continue;
      this.#taken.add(`${address}:${free}`);
      return { address, port: free };
    }
  }
}

/** `addresses` where 127.0.0.2 can be bound. */
export async function detectShape(): Promise<AddressShape> {
  return (await canBind("127.0.0.2", 0)) === undefined ? "ports" : "addresses";
}

/** The block of an instance's address, to place further services beside it. */
export function blockOf(ip: string): string {
  return ip.slice(0, ip.lastIndexOf("."));
}

/** The port that was bound, and is free again. */
async function canBind(address: string, port: number): Promise<number | undefined> {
  const server = await listen(address, port);
  const bound = server?.address();
  if (server === undefined || typeof bound !== "object" || bound === null) return undefined;
  await new Promise((resolve) => server.close(resolve));
  return bound.port;
}

function listen(address: string, port: number): Promise<net.Server | undefined> {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once("error", () => resolve(undefined));
    server.listen({ host: address, port, exclusive: true }, () => resolve(server));
  });
}

function parseAddress(text: string): PlacedAddress {
  const colon = text.lastIndexOf(":");
  return { address: text.slice(0, colon).replace(/^localhost$/, "127.0.0.1"), port: Number(text.slice(colon + 1)) };
}
