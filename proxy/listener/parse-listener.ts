/** `envoy.config.listener.v3.Listener` → `ListenerModel`. */
import { formatAddress } from "#lib/connection.ts";
import type { Parsed, Problem } from "#lib/problem.ts";
import { MessageReader } from "#protos/reader.ts";
import type { Listener } from "#protos/gen/envoy/config/listener/v3/listener_pb.js";
import { durationMs, metadataOf } from "../config-values.ts";
import type { NetworkFilterRegistry } from "../network/registry.ts";
import { parseAccessLogs } from "../observability/access-log/parse.ts";
import { FilterChainMatcher } from "./filter-chain-match.ts";
import { parseFilterChainMatcher } from "./filter-chain-matcher.ts";
import type { FilterChainModel, ListenAddress, ListenerFilterModel, ListenerModel } from "./model.ts";
import { parseSocketOptions } from "./socket-options.ts";
import { parseListenAddress } from "./parse-address.ts";
import { parseFilterChain } from "./parse-filter-chain.ts";
import { never, parseListenerFilter, type ListenerFilterSupport } from "./parse-listener-filters.ts";
import { PLAIN_PROXY_PROTOCOL } from "./proxy-protocol.ts";

export interface ListenerParsers extends ListenerFilterSupport {
  readonly filters: NetworkFilterRegistry;
}

const DIRECTIONS = ["unspecified", "inbound", "outbound"] as const;
const DEFAULT_LISTENER_FILTERS_TIMEOUT_MS = 15_000;

/** Reads and checks everything; opens nothing. */
export function parseListener(message: Listener, parsers: ListenerParsers): Parsed<ListenerModel> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message, "", problems);
  const isInternal = reader.get("listenerSpecifier").case === "internalListener";
  const addresses = isInternal ? internalOnly(reader, parsers) : parseAddresses(reader);
  const accessLogs = parseAccessLogs(reader.get("accessLog"), reader.at("accessLog"));
  problems.push(...accessLogs.problems);
  const defaultChain = reader.child("defaultFilterChain");
  const timeoutMs = durationMs(reader.get("listenerFiltersTimeout"));
  const [first] = addresses;
  const name = reader.get("name");
  const matcherReader = reader.child("filterChainMatcher");
  const chainMatcher = matcherReader === undefined ? undefined : parseFilterChainMatcher(matcherReader);
  const model: ListenerModel = {
    name,
    addresses,
    statName:
      reader.get("statPrefix") ||
      (isInternal ? `envoy_internal_${name}` : first === undefined ? name : formatAddress(first.address)),
    isInternal,
    bindToPort: reader.get("bindToPort") ?? true,
    useOriginalDst: reader.get("useOriginalDst") ?? false,
    listenerFilters: [
      ...impliedProxyProtocol(message),
      ...reader
        .children("listenerFilters")
        .map((child) => parseListenerFilter(child, parsers))
        .filter((filter) => filter !== undefined),
    ],
    listenerFiltersTimeoutMs: timeoutMs ?? DEFAULT_LISTENER_FILTERS_TIMEOUT_MS,
    continueOnListenerFiltersTimeout: reader.get("continueOnListenerFiltersTimeout"),
    filterChains: reader.children("filterChains").map((child) => parseFilterChain(child, parsers.filters)),
    defaultFilterChain: defaultChain === undefined ? undefined : parseFilterChain(defaultChain, parsers.filters),
    filterChainMatcher: chainMatcher,
    bufferLimitBytes: reader.get("perConnectionBufferLimitBytes"),
    accessLogs: accessLogs.value ?? [],
    trafficDirection: DIRECTIONS[reader.get("trafficDirection")] ?? "unspecified",
    drainType: reader.get("drainType") === 1 ? "modify-only" : "default",
    backlog: reader.get("tcpBacklogSize"),
    ...parseSocketOptions(reader, addresses),
    // Differs from Envoy, where this is the default: a port that another process has is refused unless sharing is asked for.
    reusePort: reader.get("enableReusePort") ?? reader.get("reusePort"),
    ignoresGlobalConnectionLimit: reader.get("ignoreGlobalConnLimit"),
    metadata: metadataOf(reader.child("metadata")),
  };
  readTheRest(reader);
  reader.finish();
  if (chainMatcher !== undefined) checkMatchedChains(model.filterChains, reader);
  if (model.filterChains.length === 0 && model.defaultFilterChain === undefined)
    reader.invalid("filterChains", "error adding listener: no filter chains specified");
  if (chainMatcher === undefined) refuseSameMatches(model.filterChains, reader);
  return problems.length > 0 ? { problems } : { value: model, problems };
}

/** The deprecated `use_proxy_proto` of the first filter chain stands for the listener filter. */
function impliedProxyProtocol({ filterChains }: Listener): readonly ListenerFilterModel[] {
  if (filterChains[0]?.useProxyProto !== true) return [];
  return [{ kind: { name: "proxy_protocol", config: PLAIN_PROXY_PROTOCOL }, isDisabled: never }];
}

/** An internal listener is known by its name. */
function internalOnly(reader: MessageReader<Listener>, parsers: ListenerParsers): readonly ListenAddress[] {
  if (!parsers.hasInternalListeners)
    reader.unsupported(
      "listenerSpecifier",
      "an internal listener needs the bootstrap extension envoy.bootstrap.internal_listener",
    );
  if (reader.get("name") === "") reader.invalid("name", "an internal listener is reached by its name: it needs one");
  const address = reader.get("address")?.address;
  const named = address?.case === "envoyInternalAddress" ? address.value.addressNameSpecifier.value : undefined;
  if (address !== undefined && named !== reader.message.name)
    reader.invalid("address", "an internal listener has no address but its name");
  if (reader.get("additionalAddresses").length > 0)
    reader.invalid("additionalAddresses", "an internal listener has no address but its name");
  return [];
}

function parseAddresses(reader: MessageReader<Listener>): readonly ListenAddress[] {
  const readers = [reader.child("address")];
  if (readers[0] === undefined) reader.invalid("address", "a listener needs an address");
  for (const additional of reader.children("additionalAddresses")) {
    readers.push(additional.child("address"));
    additional.finish();
  }
  return readers
    .map((child) => (child === undefined ? undefined : parseListenAddress(child)))
    .filter((address) => address !== undefined);
}

/** Fields that change nothing here, or that are not there. */
function readTheRest(reader: MessageReader<Listener>): void {
  reader.ignore("connectionBalanceConfig", "one event loop accepts everything: it is always balanced");
  reader.ignore("maxConnectionsToAcceptPerSocketEvent", "Node accepts one connection a callback");
  reader.ignore("reusePort", "the deprecated name of enable_reuse_port, read with it");
  reader.ignore("bypassOverloadManager", "there is no overload manager that could refuse connections");
  if (reader.get("udpListenerConfig") !== undefined) reader.unsupported("udpListenerConfig", "UDP is not supported");
  if (reader.get("apiListener") !== undefined)
    reader.unsupported("apiListener", "API listeners are for clients in a library of Envoy's");
}

/** Chains are chosen by their names; a `filter_chain_match` of theirs says nothing then, as in Envoy. */
function checkMatchedChains(chains: readonly FilterChainModel[], reader: MessageReader<Listener>): void {
  const names = new Set<string>();
  for (const [index, { name }] of chains.entries()) {
    if (name === "" || names.has(name))
      reader.problems.push({
        code: "invalid-value",
        level: "error",
        path: `filter_chains[${index}].name`,
        message: `filter_chain_matcher needs chains with names of their own, and '${name}' is not`,
      });
    names.add(name);
  }
}

/** */
function refuseSameMatches(chains: readonly FilterChainModel[], reader: MessageReader<Listener>): void {
  const matcher = new FilterChainMatcher<FilterChainModel>();
  for (const [index, chain] of chains.entries()) {
    const other = matcher.add(chain.match, chain);
    if (other === undefined) continue;
    reader.problems.push({
      code: "invalid-value",
      level: "error",
      path: `filter_chains[${index}].filter_chain_match`,
      message: `filter chain '${chain.name}' has the same matching rules defined as '${other.name}'`,
    });
  }
}
