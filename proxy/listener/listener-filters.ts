/** What listener filters find out about a connection before its filter chain is chosen. */
import type { Connection, SocketAddress } from "#lib/connection.ts";

/** One accepted connection as its listener filters see it; they write what they find. */
export interface AcceptedFacts {
  /** Where the client meant to go: restored by `original_dst`. */
  localAddress: SocketAddress;
  isLocalAddressRestored: boolean;
  readonly remoteAddress: SocketAddress;
  /** "" until something is known; then `tls` or `raw_buffer`. */
  transportProtocol: string;
  serverName: string;
  applicationProtocols: readonly string[];
}

/** `more`: call again when more bytes have arrived. `close`: the connection is not wanted. */
export type Inspection = "done" | "more" | "close";

export interface ListenerFilter {
  readonly name: string;
  /** `filter_disabled`, by destination port. */
  readonly isDisabled: (destinationPort: number) => boolean;
  /** Asks the system about the connection; needs no bytes. */
  readonly onAccept?: (facts: AcceptedFacts, connection: Connection) => void;
  /** Looks at everything that has arrived. Absent: the filter wants no bytes. */
  readonly inspect?: (bytes: Buffer, facts: AcceptedFacts) => Inspection;
}
