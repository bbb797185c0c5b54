/** The network of one worker: every worker listens on the same ports, and the system spreads connections over them. */
import type { Connection } from "#lib/connection.ts";
import { NodeNetwork } from "#lib/node-network.ts";
import type { ListenError, ListeningSocket, ListenOptions } from "#lib/runtime.ts";

/** Agrees with the other workers on the port of a listener that leaves it open. */
export interface PortAgreement {
  /** 0: bind to any port, and say with `bound` which it is. */
  portOf(key: string): Promise<number>;
  /** 0: none could be had. */
  bound(key: string, port: number): void;
  released(key: string): void;
}

export class WorkerNetwork extends NodeNetwork {
  readonly #isFirst: boolean;
  readonly #agreement: PortAgreement;

  /** `isFirst`: of the workers this one has what can't be shared. */
  constructor(isFirst: boolean, agreement: PortAgreement) {
    super();
    this.#isFirst = isFirst;
    this.#agreement = agreement;
  }

  override async listen(
    options: ListenOptions,
    onConnection: (connection: Connection) => void,
  ): Promise<ListeningSocket> {
    const { address, name = "" } = options;
    // Differs from Envoy: a socket file is served by one worker, Envoy's workers all accept from it.
    if (address.kind !== "ip") return this.#isFirst ? super.listen(options, onConnection) : unopened(options);
    const shared = { ...options, reusePort: true };
    if (address.port !== 0) return super.listen(shared, onConnection);
    const key = `${name} ${address.address}`;
    const agreed = await this.#agreement.portOf(key);
    try {
      const socket = await super.listen({ ...shared, address: { ...address, port: agreed } }, onConnection);
      if (agreed === 0 && socket.address.kind === "ip") this.#agreement.bound(key, socket.address.port);
      return {
        address: socket.address,
        close: () => {
          this.#agreement.released(key);
          return socket.close();
        },
      };
    } catch (error) {
      if (agreed === 0) this.#agreement.bound(key, 0);
      this.#agreement.released(key);
      throw error;
    }
  }

  override listenProblem(options: ListenOptions): ListenError | undefined {
    return super.listenProblem({ ...options, reusePort: true });
  }
}

function unopened({ address }: ListenOptions): ListeningSocket {
  return { address, close: () => Promise.resolve() };
}
