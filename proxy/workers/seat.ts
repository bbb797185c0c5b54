/** What a worker has that others of the same process share: given to the server in place of what it would open itself. */
import type { ManagementServers } from "../server/management-servers.ts";
import type { SecretProvider } from "../tls/types.ts";
import type { EjectedHost } from "../upstream/cluster.ts";
import type { SharedCells } from "./shared-cells.ts";

export interface WorkerSeat {
  readonly cells: SharedCells;
  readonly servers: ManagementServers;
  /** Undefined: the bootstrap asks for none. */
  readonly identity: (SecretProvider & { close(): void }) | undefined;
  /** The other workers are to eject it as well. */
  onEjected(ejected: EjectedHost): void;
  /** Says that the listeners of this worker accept; resolves when those of all workers do. */
  allAccept(): Promise<void>;
}
