/**
 * `istio.metadata_exchange` for TCP: where both sides have agreed on the ALPN protocol, each says who it is before
 * anything else. On filter chains it learns the client, on clusters the server.
 */
import type { Message } from "@bufbuild/protobuf";
import type { Connection } from "#lib/connection.ts";
import type { Parsed, Problem } from "#lib/problem.ts";
import { MessageReader } from "#protos/reader.ts";
import type { MetadataExchange } from "#protos/gen/envoy/tcp/metadataexchange/config/metadata_exchange_pb.js";
import type { NodeInfo } from "../http/filter.ts";
import { DOWNSTREAM_PEER, UPSTREAM_PEER } from "../observability/peer.ts";
import type { Counter, StatsScope } from "../observability/stats.ts";
import type { ConnectionFilter, NetworkFilterFactory } from "./filter.ts";
import { FilteredConnection } from "./filtered-connection.ts";
import { encodeExchange, readExchange } from "./metadata-exchange-codec.ts";

export interface MetadataExchangeConfig {
  /** The ALPN protocol under which it happens: `istio-peer-exchange`. */
  readonly protocol: string;
  readonly additionalLabels: readonly string[];
}

export function parseMetadataExchange(message: Message, path: string): Parsed<MetadataExchangeConfig> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message as MetadataExchange, path, problems);
  reader.ignore("enableDiscovery", "asks a service that only ambient meshes have; without it, it finds nobody");
  const value = { protocol: reader.get("protocol"), additionalLabels: reader.get("additionalLabels") };
  reader.finish();
  return problems.length > 0 ? { problems } : { value, problems };
}

export const metadataExchange: NetworkFilterFactory<MetadataExchangeConfig> = {
  name: "istio.metadata_exchange",
  typeUrls: ["type.googleapis.com/envoy.tcp.metadataexchange.config.MetadataExchange"],
  isTerminal: false,
  parse: parseMetadataExchange,
  create(config, context) {
    const side = createExchangeSide(config, context.node, context.rootScope);
    return (downstream) =>
      side.start(downstream.connection, downstream.filterState, DOWNSTREAM_PEER, () => downstream.connection);
  },
};

/** One side of exchanges with one configuration. */
export interface ExchangeSide {
  /** A filter for the connection; undefined where the protocol was not agreed on: then nothing is exchanged. */
  start(
    connection: Connection,
    filterState: Map<string, unknown>,
    key: typeof DOWNSTREAM_PEER | typeof UPSTREAM_PEER,
    outer: () => Connection,
  ): ConnectionFilter | undefined;
  /** Upstream: the connection to use from now on, which exchanges before the first byte passes. */
  wrap(connection: Connection, filterState: Map<string, unknown>): Connection;
}

/** What is sent is made here, once. */
export function createExchangeSide(config: MetadataExchangeConfig, node: NodeInfo, root: StatsScope): ExchangeSide {
  const scope = root.scope("metadata_exchange");
  const stats = {
    found: scope.counter("alpn_protocol_found"),
    notFound: scope.counter("alpn_protocol_not_found"),
    noInitialHeader: scope.counter("initial_header_not_found"),
    noHeader: scope.counter("header_not_found"),
    added: scope.counter("metadata_added"),
  };
  let own: Buffer | undefined;
  const side: ExchangeSide = {
    start(connection, filterState, key, outer) {
      if (connection.tls?.alpn !== config.protocol) {
        stats.notFound.inc();
        return undefined;
      }
      stats.found.inc();
      own ??= encodeExchange(node, config.additionalLabels);
      return new Exchange(connection, own, filterState, key, outer, stats);
    },
    wrap(connection, filterState) {
      let outer = connection;
      const filter = side.start(connection, filterState, UPSTREAM_PEER, () => outer);
      if (filter !== undefined) {
        const { handler } = connection;
        outer = new FilteredConnection(connection, [filter]);
        outer.handler = handler;
      }
      return outer;
    },
  };
  return side;
}

interface ExchangeStats {
  readonly noInitialHeader: Counter;
  readonly noHeader: Counter;
  readonly added: Counter;
}

/** One connection. We speak when the first byte passes in either direction, as Envoy does. */
class Exchange implements ConnectionFilter {
  readonly #connection: Connection;
  readonly #own: Buffer;
  readonly #filterState: Map<string, unknown>;
  readonly #key: string;
  readonly #outer: () => Connection;
  readonly #stats: ExchangeStats;
  #isTold = false;
  /** What came so far; undefined once the peer's header is through. */
  #held: Buffer | undefined = Buffer.alloc(0);

  constructor(
    connection: Connection,
    own: Buffer,
    filterState: Map<string, unknown>,
    key: string,
    outer: () => Connection,
    stats: ExchangeStats,
  ) {
    this.#connection = connection;
    this.#own = own;
    this.#filterState = filterState;
    this.#key = key;
    this.#outer = outer;
    this.#stats = stats;
  }

  onNewConnection(): "continue" {
    return "continue";
  }

  onRead(chunk: Buffer): Buffer | undefined {
    this.#tell();
    if (this.#held === undefined) return chunk;
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    const reading = readExchange(bytes);
    if (reading.kind === "more") {
      this.#held = Buffer.from(bytes);
      return undefined;
    }
    this.#held = undefined;
    this.#stepAside();
    if (reading.kind === "no-header") {
      this.#stats.noInitialHeader.inc();
      return bytes;
    }
    if (reading.peer === undefined) this.#stats.noHeader.inc();
    else {
      this.#filterState.set(this.#key, reading.peer);
      this.#stats.added.inc();
    }
    return reading.rest;
  }

  onWrite(chunk: Buffer): Buffer {
    this.#tell();
    return chunk;
  }

  #tell(): void {
    if (this.#isTold) return;
    this.#isTold = true;
    this.#connection.write(Buffer.from(this.#own));
  }

  /** Both sides have spoken: from here on bytes pass without us. */
  #stepAside(): void {
    const outer = this.#outer();
    if (outer instanceof FilteredConnection) outer.release(this);
  }
}
