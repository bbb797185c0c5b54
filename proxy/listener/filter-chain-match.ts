/** Which filter chain takes a connection: Envoy's order of criteria as nested tables. Pure. */
import { parseIp, type CidrRange } from "../http/cidr.ts";

/** One `filter_chain_match`; empty lists and strings ask nothing. */
export interface FilterChainMatch {
  readonly destinationPort: number | undefined;
  readonly prefixRanges: readonly CidrRange[];
  /** Lower case; `*.example.com` for the names below. */
  readonly serverNames: readonly string[];
  /** `tls`, `raw_buffer`, or "". */
  readonly transportProtocol: string;
  readonly applicationProtocols: readonly string[];
  readonly directSourcePrefixRanges: readonly CidrRange[];
  readonly sourceType: SourceType;
  readonly sourcePrefixRanges: readonly CidrRange[];
  readonly sourcePorts: readonly number[];
}

export type SourceType = "any" | "same-ip-or-loopback" | "external";

/** What is known of a connection when its chain is chosen. Addresses without port; "" for what is no IP. */
export interface ConnectionFacts {
  readonly destinationAddress: string;
  readonly destinationPort: number;
  readonly serverName: string;
  readonly transportProtocol: string;
  readonly applicationProtocols: readonly string[];
  /** Of the peer itself, whatever the PROXY protocol said. */
  readonly directSourceAddress: string;
  readonly sourceAddress: string;
  readonly sourcePort: number;
}

/**
 * Ranges, the longest prefix first. Chains that name none stand under `all`: a chain that names the range of all
 * addresses comes before them, and hides them.
 */
interface RangeTable<T> {
  readonly ranges: { readonly range: CidrRange; readonly value: T }[];
  all: T | undefined;
}

type BySourcePort<C> = Map<number, C>;
type BySourceIp<C> = RangeTable<BySourcePort<C>>;
type BySourceType<C> = Record<SourceType, BySourceIp<C> | undefined>;
type ByDirectSource<C> = RangeTable<BySourceType<C>>;
type ByApplication<C> = Map<string, ByDirectSource<C>>;
type ByTransport<C> = Map<string, ByApplication<C>>;
type ByServerName<C> = Map<string, ByTransport<C>>;
type ByDestinationIp<C> = RangeTable<ByServerName<C>>;
type ByPort<C> = Map<number, ByDestinationIp<C>>;

const ANY_PORT = 0;
const ANY_TEXT = "";

/**
 * Finds chains. At each step the most specific entry is taken and nothing is tried again elsewhere: a chain that fits
 * in a later step only under a less specific entry is not found, as in Envoy.
 */
export class FilterChainMatcher<C> {
  readonly #ports: ByPort<C> = new Map();

  /** Returns the chain that has the same criteria already; undefined when the chain was added. */
  add(match: FilterChainMatch, chain: C): C | undefined {
    let taken: C | undefined;
    this.#leaves(match, (ports, port) => {
      const other = ports.get(port);
      if (other !== undefined) taken ??= other;
      else ports.set(port, chain);
    });
    return taken;
  }

  /** The chain for a connection; undefined: the default chain, if there is one. */
  find(facts: ConnectionFacts): C | undefined {
    // An entry for the port, whether or not a chain in it fits, hides the chains without a port.
    const byIp = this.#ports.get(facts.destinationPort) ?? this.#ports.get(ANY_PORT);
    const byName = byIp === undefined ? undefined : lookUp(byIp, facts.destinationAddress);
    const byTransport = byName === undefined ? undefined : byServerName(byName, facts.serverName);
    const byApplication = byTransport?.get(facts.transportProtocol) ?? byTransport?.get(ANY_TEXT);
    const byDirectSource = byApplication === undefined ? undefined : byProtocol(byApplication, facts);
    const byType = byDirectSource === undefined ? undefined : lookUp(byDirectSource, facts.directSourceAddress);
    const bySource = byType === undefined ? undefined : bySourceType(byType, facts);
    const byPort = bySource === undefined ? undefined : lookUp(bySource, facts.sourceAddress);
    return byPort?.get(facts.sourcePort) ?? byPort?.get(ANY_PORT);
  }

  /** Visits every combination of the criteria. */
  #leaves(match: FilterChainMatch, visit: (ports: BySourcePort<C>, port: number) => void): void {
    const byIp = entry(this.#ports, match.destinationPort ?? ANY_PORT, () => rangeTable<ByServerName<C>>());
    const names = match.serverNames.length === 0 ? [ANY_TEXT] : match.serverNames.map(withoutStar);
    const protocols = match.applicationProtocols.length === 0 ? [ANY_TEXT] : match.applicationProtocols;
    for (const byName of rangeEntries(byIp, match.prefixRanges, () => new Map() as ByServerName<C>))
      for (const name of names) {
        const byTransport = entry(byName, name, () => new Map() as ByTransport<C>);
        const byApplication = entry(byTransport, match.transportProtocol, () => new Map() as ByApplication<C>);
        for (const protocol of protocols) {
          const direct = entry(byApplication, protocol, () => rangeTable<BySourceType<C>>());
          for (const byType of rangeEntries(direct, match.directSourcePrefixRanges, noTypes<C>)) {
            const bySource = (byType[match.sourceType] ??= rangeTable());
            const ports = match.sourcePorts.length === 0 ? [ANY_PORT] : match.sourcePorts;
            for (const byPort of rangeEntries(bySource, match.sourcePrefixRanges, () => new Map() as BySourcePort<C>))
              for (const port of ports) visit(byPort, port);
          }
        }
      }
  }
}

function noTypes<C>(): BySourceType<C> {
  return { any: undefined, "same-ip-or-loopback": undefined, external: undefined };
}

function rangeTable<T>(): RangeTable<T> {
  return { ranges: [], all: undefined };
}

function entry<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}

function rangeEntries<T>(table: RangeTable<T>, ranges: readonly CidrRange[], make: () => T): T[] {
  if (ranges.length === 0) return [(table.all ??= make())];
  return ranges.map((range) => {
    const bits = networkBits(range);
    const same = table.ranges.find(
      ({ range: other }) =>
        other.family === range.family && other.prefixLength === range.prefixLength && networkBits(other) === bits,
    );
    if (same !== undefined) return same.value;
    const value = make();
    table.ranges.push({ range, value });
    table.ranges.sort((a, b) => b.range.prefixLength - a.range.prefixLength);
    return value;
  });
}

/** The bits that count. */
function networkBits({ family, bits, prefixLength }: CidrRange): bigint {
  return bits >> BigInt((family === 4 ? 32 : 128) - prefixLength);
}

function lookUp<T>(table: RangeTable<T>, address: string): T | undefined {
  if (table.ranges.length === 0) return table.all;
  const ip = parseIp(address);
  if (ip !== undefined)
    for (const { range, value } of table.ranges)
      if (range.family === ip.family && networkBits(range) === networkBits({ ...range, bits: ip.bits })) return value;
  return table.all;
}

/** `*.example.com` is kept as `.example.com`. */
function withoutStar(name: string): string {
  return name.startsWith("*.") ? name.slice(1) : name;
}

function byServerName<C>(names: ByServerName<C>, serverName: string): ByTransport<C> | undefined {
  const exact = names.get(serverName);
  if (exact !== undefined) return exact;
  for (
    let dot = serverName.indexOf(".", 1);
    dot > 0 && dot < serverName.length - 1;
    dot = serverName.indexOf(".", dot + 1)
  ) {
    const below = names.get(serverName.slice(dot));
    if (below !== undefined) return below;
  }
  return names.get(ANY_TEXT);
}

function byProtocol<C>(
  protocols: ByApplication<C>,
  { applicationProtocols }: ConnectionFacts,
): ByDirectSource<C> | undefined {
  for (const protocol of applicationProtocols) {
    const found = protocols.get(protocol);
    if (found !== undefined) return found;
  }
  return protocols.get(ANY_TEXT);
}

function bySourceType<C>(types: BySourceType<C>, facts: ConnectionFacts): BySourceIp<C> | undefined {
  const { sourceAddress } = facts;
  const isLocal =
    sourceAddress === facts.destinationAddress || sourceAddress.startsWith("127.") || sourceAddress === "::1";
  return (isLocal ? types["same-ip-or-loopback"] : types.external) ?? types.any;
}
