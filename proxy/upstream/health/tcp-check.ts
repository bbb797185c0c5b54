/** TCP health checks: a connection, or a payload that is answered by another (L-59). */
import type { Connection, ConnectionHandler } from "#lib/connection.ts";
import { networkFailure, type CheckEnvironment, type CheckSession } from "./check-session.ts";
import { matchesPayload, type CheckOutcome, type TcpCheckConfig } from "./health-check-config.ts";

const good: CheckOutcome = { kind: "success", isDegraded: false };

/** More than this is not kept while nothing matches: a server that talks on must not cost memory. */
const MAX_KEPT_BYTES = 1024 * 1024;

export class TcpCheck implements CheckSession {
  readonly #config: TcpCheckConfig;
  readonly #environment: CheckEnvironment;
  readonly #reuses: boolean;
  #connection: Connection | undefined = undefined;
  #isConnected = false;
  #received: Buffer = Buffer.alloc(0);

  constructor(config: TcpCheckConfig, environment: CheckEnvironment, reuses: boolean) {
    this.#config = config;
    this.#environment = environment;
    this.#reuses = reuses;
  }

  check(): void {
    this.#received = Buffer.alloc(0);
    if (this.#connection === undefined) this.#connect();
    else if (this.#isConnected) this.#send();
  }

  abort(): void {
    this.close();
  }

  close(): void {
    const connection = this.#connection;
    this.#connection = undefined;
    this.#isConnected = false;
    connection?.destroy();
  }

  #connect(): void {
    // Of a connection that was given up nothing more is heard.
    const isCurrent = (): boolean => this.#connection === connection;
    const handler: ConnectionHandler = {
      onConnect: () => {
        if (isCurrent()) this.#onConnect();
      },
      onData: (chunk) => {
        if (isCurrent()) this.#onData(chunk);
      },
      onEnd: () => {
        if (isCurrent()) this.#fail();
      },
      onClose: () => {
        if (isCurrent()) this.#fail();
      },
    };
    const connection = this.#environment.connect(handler);
    this.#connection = connection;
  }

  #onConnect(): void {
    this.#isConnected = true;
    this.#send();
    if (this.#config.receive.length > 0) return;
    // Whether it can be connected to is all that is asked; the payload goes out all the same.
    const connection = this.#connection;
    this.#connection = undefined;
    this.#isConnected = false;
    connection?.end();
    this.#environment.onOutcome(good);
  }

  #onData(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    if (!matchesPayload(this.#config.receive, this.#received)) {
      if (this.#received.length > MAX_KEPT_BYTES) this.#fail();
      return;
    }
    this.#received = Buffer.alloc(0);
    if (!this.#reuses) this.close();
    this.#environment.onOutcome(good);
  }

  #fail(): void {
    this.close();
    this.#environment.onOutcome(networkFailure);
  }

  #send(): void {
    if (this.#config.send !== undefined) this.#connection?.write(Buffer.from(this.#config.send));
  }
}
