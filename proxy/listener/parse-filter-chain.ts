/** `filter_chains` → models: criteria, transport socket, network filters. */
import type { MessageReader } from "#protos/reader.ts";
import type {
  Filter,
  FilterChain,
  FilterChainMatch as FilterChainMatchMessage,
} from "#protos/gen/envoy/config/listener/v3/listener_components_pb.js";
import { durationMs, metadataOf } from "../config-values.ts";
import { parseCidrRanges } from "../http/cidr.ts";
import type { ExtensionConfigSource } from "#protos/gen/envoy/config/core/v3/config_source_pb.js";
import { parseExtensionDiscovery } from "../extension-configs.ts";
import type { NetworkFilterFactory } from "../network/filter.ts";
import type { NetworkFilterRegistry } from "../network/registry.ts";
import type { FilterChainMatch, SourceType } from "./filter-chain-match.ts";
import type { FilterChainModel, NetworkFilterModel } from "./model.ts";

/** Criteria that ask nothing. */
export const ANY_CONNECTION: FilterChainMatch = {
  destinationPort: undefined,
  prefixRanges: [],
  serverNames: [],
  transportProtocol: "",
  applicationProtocols: [],
  directSourcePrefixRanges: [],
  sourceType: "any",
  sourcePrefixRanges: [],
  sourcePorts: [],
};

const SOURCE_TYPES: readonly SourceType[] = ["any", "same-ip-or-loopback", "external"];

/** Problems go to the reader's list. */
export function parseFilterChain(
  reader: MessageReader<FilterChain>,
  registry: NetworkFilterRegistry,
): FilterChainModel {
  const match = reader.child("filterChainMatch");
  const filters = reader.children("filters");
  // Counts of the first chain, where the listener filters are made.
  reader.get("useProxyProto");
  if (reader.get("onDemandConfiguration") !== undefined) reader.unsupported("onDemandConfiguration");
  const model: FilterChainModel = {
    name: reader.get("name"),
    match: match === undefined ? ANY_CONNECTION : parseMatch(match),
    transportSocket: reader.get("transportSocket"),
    transportSocketPath: reader.at("transportSocket"),
    transportSocketConnectTimeoutMs: durationMs(reader.get("transportSocketConnectTimeout")) ?? 0,
    filters: filters
      .map((filter, index) => parseFilter(filter, index === filters.length - 1, registry))
      .filter((filter) => filter !== undefined),
    metadata: metadataOf(reader.child("metadata")),
    message: reader.message,
  };
  reader.finish();
  return model;
}

function parseMatch(reader: MessageReader<FilterChainMatchMessage>): FilterChainMatch {
  if (reader.get("addressSuffix") !== "" || reader.get("suffixLen") !== undefined)
    reader.unsupported("addressSuffix", "contains unimplemented fields: address_suffix and suffix_len, as in Envoy");
  const serverNames = reader.get("serverNames").map((name) => name.toLowerCase());
  for (const name of serverNames)
    if (name.lastIndexOf("*") > 0 || (name.startsWith("*") && !name.startsWith("*.")))
      reader.invalid("serverNames", `partial wildcards are not supported in "server_names": ${name}`);
  const match: FilterChainMatch = {
    destinationPort: reader.get("destinationPort"),
    prefixRanges: parseCidrRanges(reader.children("prefixRanges")),
    serverNames,
    transportProtocol: reader.get("transportProtocol"),
    applicationProtocols: reader.get("applicationProtocols"),
    directSourcePrefixRanges: parseCidrRanges(reader.children("directSourcePrefixRanges")),
    sourceType: SOURCE_TYPES[reader.get("sourceType")] ?? "any",
    sourcePrefixRanges: parseCidrRanges(reader.children("sourcePrefixRanges")),
    sourcePorts: reader.get("sourcePorts"),
  };
  reader.finish();
  return match;
}

function parseFilter(
  reader: MessageReader<Filter>,
  isLast: boolean,
  registry: NetworkFilterRegistry,
): NetworkFilterModel | undefined {
  const name = reader.get("name");
  const config = reader.get("configType");
  reader.finish();
  if (config.case !== "typedConfig") {
    if (config.case === undefined) reader.invalid("configType", `network filter '${name}' has no typed_config`);
    else if (config.case === "configDiscovery")
      return parseDiscovered(reader.oneof("configType", config.value), name, isLast, registry);
    else reader.unsupported("configType");
    return undefined;
  }
  const parsed = registry.parse(config.value, reader.at("configType"), name);
  reader.problems.push(...parsed.problems);
  const { value } = parsed;
  if (value === undefined) return undefined;
  if (value.factory.isTerminal && !isLast)
    reader.invalid(
      "name",
      `Error: terminal filter named ${name} of type ${value.factory.name} must be the last filter in a network filter chain`,
    );
  if (!value.factory.isTerminal && isLast)
    reader.invalid(
      "name",
      `Error: non-terminal filter named ${name} of type ${value.factory.name} is the last filter in a network filter chain`,
    );
  return { name, ...value };
}

function parseDiscovered(
  reader: MessageReader<ExtensionConfigSource>,
  name: string,
  isLast: boolean,
  registry: NetworkFilterRegistry,
): NetworkFilterModel | undefined {
  const factoryOf = (url: string): NetworkFilterFactory | undefined =>
    registry.factories.find(({ typeUrls }) => typeUrls.includes(url));
  const discovery = parseExtensionDiscovery(reader, name, (url) => factoryOf(url) !== undefined);
  const factories = [...discovery.typeUrls].map(factoryOf).filter((factory) => factory !== undefined);
  const [factory] = factories;
  if (factory === undefined) return undefined;
  if (factories.some(({ isTerminal }) => isTerminal !== isLast))
    reader.invalid("typeUrls", "the last filter of a chain must be terminal, and only that one");
  return { name, factory, config: undefined, discovery, registry };
}
