/** The contract of a network filter. The last one of a chain is terminal: it takes the connection over. */
import type { Connection, SocketAddress } from "#lib/connection.ts";
import type { Parsed } from "#lib/problem.ts";
import type { Message } from "@bufbuild/protobuf";
import type { FilterFactoryContext } from "../http/filter.ts";
import type { StreamInfo } from "../stream-info.ts";

export interface NetworkFilterFactory<Config = unknown> {
  readonly name: string;
  readonly typeUrls: readonly string[];
  readonly isTerminal: boolean;
  parse(message: Message, path: string): Parsed<Config>;
  /** Once per configuration. */
  create(config: Config, context: NetworkFilterContext): ConnectionFilterFactory;
}

export interface NetworkFilterContext extends FilterFactoryContext {
  /** `listener.<address>.` */
  readonly listenerScope: FilterFactoryContext["scope"];
  readonly isDraining: () => boolean;
  /** Route configurations by name over RDS; calls back at once when it is there, and on every update. */
  readonly routes: RouteConfigProvider;
  readonly filterChainName: string;
  /** `per_connection_buffer_limit_bytes` of the listener; absent: 1 MiB. */
  readonly bufferLimitBytes?: number | undefined;
}

/** Where a connection manager gets a named RouteConfiguration from. */
export interface RouteConfigProvider {
  /** `scope` is the connection manager's (`http.<stat_prefix>.`): below it the subscription counts as `rds.<name>.` */
  subscribe(
    name: string,
    onUpdate: (table: import("../router/types.ts").RouteTable) => void,
    scope?: FilterFactoryContext["scope"],
  ): { close(): void };
}

export type ConnectionFilterFactory = (downstream: DownstreamConnection) => ConnectionFilter | undefined;

/** A downstream connection with what listener filters found. */
export interface DownstreamConnection {
  readonly connection: Connection;
  readonly startMs: number;
  /** Before redirection (`SO_ORIGINAL_DST`), or the local address. */
  readonly originalDestination: SocketAddress;
  readonly filterChainName: string;
  readonly requestedServerName: string;
  /** ALPN or what the HTTP inspector found. */
  readonly applicationProtocol: string | undefined;
  readonly dynamicMetadata: Map<string, Record<string, unknown>>;
  readonly filterState: Map<string, unknown>;
  /**
   * What access logs and statistics read of the connection as a whole. The terminal filter of a TCP chain (the TCP
   * proxy) fills in cluster, host, bytes, flags and times; its maps are the two above.
   */
  readonly info: StreamInfo;
}

/** Non-terminal filters see data pass; a terminal filter has set `connection.handler` in `onNewConnection`. */
export interface ConnectionFilter {
  /** `stop`: the next filter is started only after `resume` given to `onNewConnection`. */
  onNewConnection(resume: () => void): "continue" | "stop";
  /** Non-terminal only. Downstream → upstream bytes; returns what to pass on (same chunk, less, or more); undefined: hold back. */
  onRead?(chunk: Buffer): Buffer | undefined;
  /** Non-terminal only. Upstream → downstream bytes. */
  onWrite?(chunk: Buffer): Buffer | undefined;
  onClose?(): void;
  /** The listener is being shut down: finish what is in flight, take nothing new, close. */
  drain?(): void;
}
