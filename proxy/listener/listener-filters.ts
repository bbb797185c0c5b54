/** What listener filters find out about a connection before its filter chain is chosen. */
import type { Connection, SocketAddress } from "#lib/connection.ts";

/** One accepted connection as its listener filters see it; they write what they find. */
export interface AcceptedFacts {
  /** Where the client meant to go: restored by `original_dst`. */
  localAddress: SocketAddress;
  isLocalAddressRestored: boolean;
  /** Of the client, as a PROXY header may have named it. */
  readonly remoteAddress: SocketAddress;
  /** Of the peer itself. */
  readonly directRemoteAddress: SocketAddress;
  /** "" until something is known; then `tls` or `raw_buffer`. */
  transportProtocol: string;
  serverName: string;
  applicationProtocols: readonly string[];
  /** Of the connection, from its first byte on. */
  readonly filterState: Map<string, unknown>;
  readonly dynamicMetadata: Map<string, Record<string, unknown>>;
  setMetadata(namespace: string, key: string, value: unknown): void;
  /** The connection counts as coming from there. */
  readdress(remote: SocketAddress): void;
}

/**
 * `more`: call again when more bytes have arrived. `close`: the connection is not wanted. `refuse`: it is reset, and the
 * filter has counted it itself. A number: done, and so many bytes are taken away.
 */
export type Inspection = "done" | "more" | "close" | "refuse" | number;

export interface ListenerFilter {
  readonly name: string;
  /** `filter_disabled`, by destination port. */
  readonly isDisabled: (destinationPort: number) => boolean;
  /** Asks the system about the connection; needs no bytes. */
  readonly onAccept?: (facts: AcceptedFacts, connection: Connection) => void;
  /** Looks at everything that has arrived. Absent: the filter wants no bytes. */
  readonly inspect?: (bytes: Buffer, facts: AcceptedFacts) => Inspection;
}
