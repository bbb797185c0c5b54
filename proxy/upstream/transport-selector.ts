/** `transport_socket` and `transport_socket_matches` → the transport of a host, by its metadata. */
import type { Parsed } from "#lib/problem.ts";
import type { MessageReader } from "#protos/reader.ts";
import type { TransportSocket } from "#protos/gen/envoy/config/core/v3/base_pb.js";
import type { Cluster } from "#protos/gen/envoy/config/cluster/v3/cluster_pb.js";
import type { StatsScope } from "../observability/stats.ts";
import type { UpstreamTransport } from "../tls/types.ts";
import type { UpstreamHost } from "./host.ts";

/** What makes transports of `transport_socket` messages (proxy/tls/transport-factory.ts). */
export interface UpstreamTransportFactory {
  upstream(socket: TransportSocket | undefined, path: string, scope?: StatsScope): Parsed<UpstreamTransport>;
}

interface TransportMatch {
  readonly name: string;
  readonly criteria: readonly (readonly [string, unknown])[];
  readonly transport: UpstreamTransport;
}

/** Chooses by `envoy.transport_socket_match` of the endpoint; the first match wins, then the default. */
export class TransportSelector {
  readonly #matches: readonly TransportMatch[];
  readonly #default: UpstreamTransport;
  readonly #scope: StatsScope;

  constructor(matches: readonly TransportMatch[], otherwise: UpstreamTransport, scope: StatsScope) {
    this.#matches = matches;
    this.#default = otherwise;
    this.#scope = scope;
    this.wantsDownstream = this.all.some((transport) => transport.wantsDownstream === true);
  }

  /** One of them tells the upstream of the downstream connection. */
  readonly wantsDownstream: boolean;

  /** Resolved once for a host and its labels, and counted then: `<name of the match>.total_match_count`, as Envoy has it. */
  transportOf(host: UpstreamHost): UpstreamTransport {
    if (host.transport?.metadata === host.metadata) return host.transport.value;
    const { name, transport } = this.#match(host.metadata["envoy.transport_socket_match"]);
    this.#scope.scope(name).counter("total_match_count").inc();
    host.transport = { metadata: host.metadata, value: transport };
    return transport;
  }

  /** For health checks, which may be told to look for other labels than the endpoint's. Nothing is counted. */
  checkTransportOf(host: UpstreamHost, criteria: Readonly<Record<string, unknown>> | undefined): UpstreamTransport {
    return this.#match(criteria ?? host.metadata["envoy.transport_socket_match"]).transport;
  }

  get all(): readonly UpstreamTransport[] {
    return [this.#default, ...this.#matches.map((match) => match.transport)];
  }

  close(): void {
    for (const transport of this.all) transport.close();
  }

  #match(labels: Readonly<Record<string, unknown>> | undefined): {
    readonly name: string;
    readonly transport: UpstreamTransport;
  } {
    const match = this.#matches.find(({ criteria }) =>
      criteria.every(([key, value]) => isSameValue(labels?.[key], value)),
    );
    return match ?? { name: "default", transport: this.#default };
  }
}

/** Equality of JSON values. */
function isSameValue(a: unknown, b: unknown): boolean {
  return a === b || (typeof a === "object" && typeof b === "object" && JSON.stringify(a) === JSON.stringify(b));
}

/** Reads both fields; undefined when a transport has problems, which are on the reader's list. */
export function parseTransports(
  reader: MessageReader<Cluster>,
  factory: UpstreamTransportFactory,
  scope: StatsScope,
): TransportSelector | undefined {
  const made: UpstreamTransport[] = [];
  const open = (socket: TransportSocket | undefined, path: string): UpstreamTransport | undefined => {
    const parsed = factory.upstream(socket, path, scope);
    reader.problems.push(...parsed.problems);
    if (parsed.value !== undefined) made.push(parsed.value);
    return parsed.value;
  };
  const otherwise = open(reader.get("transportSocket"), reader.at("transportSocket"));
  const matches: TransportMatch[] = [];
  let isGood = otherwise !== undefined;
  for (const match of reader.children("transportSocketMatches")) {
    const name = match.get("name");
    const criteria = Object.entries(match.get("match") ?? {});
    const transport = open(match.get("transportSocket"), match.at("transportSocket"));
    match.finish();
    if (transport === undefined) isGood = false;
    else matches.push({ name, criteria, transport });
  }
  if (otherwise === undefined || !isGood) {
    for (const transport of made) transport.close();
    return undefined;
  }
  return new TransportSelector(matches, otherwise, scope);
}
