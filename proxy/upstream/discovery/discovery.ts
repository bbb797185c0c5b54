/** Where a cluster's endpoints come from: each type calls its sink with whole assignments. */
import type { Assignment } from "../config/assignment.ts";

export interface Discovery {
  /** Called once; the sink may be called before it returns. */
  start(sink: DiscoverySink): void;
  close(): void;
}

export interface DiscoverySink {
  /** The endpoints as they are now; every address is one to connect to. */
  onAssignment(assignment: Assignment): void;
  /** The first answer is there, or will not come: nothing more to wait for. May be called repeatedly. */
  onInitialized(): void;
}

/** STATIC: the endpoints of the configuration. */
export function staticDiscovery(assignment: Assignment): Discovery {
  return {
    start(sink) {
      sink.onAssignment(assignment);
      sink.onInitialized();
    },
    close() {},
  };
}
