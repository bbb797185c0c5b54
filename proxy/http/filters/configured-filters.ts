/** `http_filters` of a connection manager → filters with their parsed configurations, in order. */
import { unpackAny } from "#protos/any.ts";
import { MessageReader } from "#protos/reader.ts";
import type { HttpFilter } from "#protos/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js";
import type { ExtensionConfigSource } from "#protos/gen/envoy/config/core/v3/config_source_pb.js";
import type { Problem } from "#lib/problem.ts";
import type { HttpFilterFactory } from "../filter.ts";
import { parseExtensionDiscovery, type ExtensionDiscovery } from "../../extension-configs.ts";
import { configuredType, type HttpFilterRegistry } from "./registry.ts";

export interface ConfiguredFilter {
  /** What it is called in this chain. */
  readonly name: string;
  readonly factory: HttpFilterFactory;
  readonly config: unknown;
  /** `disabled`: takes part only where a route enables it. */
  readonly isDisabled: boolean;
  /** `config_discovery`: the configuration comes over ECDS, `factory` is that of the first type that may come. */
  readonly discovery?: ExtensionDiscovery | undefined;
  readonly registry?: HttpFilterRegistry | undefined;
}

/** A filter that this proxy does not have is refused by name: a request must not pass where it would have been judged. */
export function parseHttpFilters(
  messages: readonly HttpFilter[],
  path: string,
  registry: HttpFilterRegistry,
  problems: Problem[],
): readonly ConfiguredFilter[] {
  const filters: ConfiguredFilter[] = [];
  for (const [index, message] of messages.entries()) {
    const reader = new MessageReader(message, `${path}[${index}]`, problems);
    const filter = parseOne(reader, registry);
    reader.finish();
    if (filter !== undefined) filters.push(filter);
  }
  const terminal = filters.findIndex(({ factory }) => factory.isTerminal === true);
  if (problems.length === 0 && terminal !== filters.length - 1) {
    const text =
      terminal < 0
        ? "the last filter must be terminal: envoy.filters.http.router"
        : `${filters[terminal]?.name} is terminal and must be the last filter`;
    problems.push({ code: "invalid-value", level: "error", path, message: text });
  }
  return filters;
}

function parseOne(reader: MessageReader<HttpFilter>, registry: HttpFilterRegistry): ConfiguredFilter | undefined {
  const name = reader.get("name");
  const configType = reader.get("configType");
  const at = reader.at("configType");
  const isOptional = reader.get("isOptional");
  const isDisabled = reader.get("disabled");
  if (configType.case !== "typedConfig") {
    if (configType.case === "configDiscovery")
      return parseDiscovered(reader.oneof("configType", configType.value), name, isDisabled, registry);
    reader.invalid("configType", `filter ${name} has no typed_config`);
    return undefined;
  }
  const opened = unpackAny(configType.value, at);
  const typeUrl = opened.value === undefined ? configType.value.typeUrl : configuredType(opened.value);
  const factory = registry.byTypeUrl(typeUrl);
  if (factory === undefined || opened.value === undefined) {
    if (isOptional) return undefined;
    reader.problems.push({
      code: "unsupported-filter",
      level: "error",
      path: at,
      message: `HTTP filter ${name} (${typeUrl}) is not supported by this proxy: requests would pass without it; ${wayOut(typeUrl)}`,
    });
    return undefined;
  }
  const parsed = factory.parse(opened.value, at);
  reader.problems.push(...parsed.problems);
  if (isDisabled && factory.isTerminal === true)
    reader.invalid("disabled", `filter ${name} makes the response and can't be disabled`);
  return parsed.value === undefined ? undefined : { name, factory, config: parsed.value, isDisabled };
}

/** What to do in the place of a filter that this proxy does not have. */
const waysOut: Readonly<Record<string, string>> = {
  "lua.v3.Lua": "header_mutation, local_ratelimit and ext_authz do most of what scripts are written for",
  "wasm.v3.Wasm": "move what the plugin does behind ext_authz, or run a real Envoy as the sidecar of this workload",
  "composite.v3.Composite": "configure the filters themselves, disabled, and enable them by route",
  "grpc_json_transcoder.v3.GrpcJsonTranscoder": "transcode in the application, or in front of the mesh",
  "grpc_http1_bridge.v3.Config": "use grpc_web, or HTTP/2 from end to end",
  "decompressor.v3.Decompressor": "let the application read content-encoding, or leave accept-encoding out",
};

function wayOut(typeUrl: string): string {
  const found = Object.entries(waysOut).find(([type]) => typeUrl.endsWith(`.${type}`));
  return found?.[1] ?? "remove it, or mark it is_optional";
}

function parseDiscovered(
  reader: MessageReader<ExtensionConfigSource>,
  name: string,
  isDisabled: boolean,
  registry: HttpFilterRegistry,
): ConfiguredFilter | undefined {
  const discovery = parseExtensionDiscovery(reader, name, (url) => registry.byTypeUrl(url) !== undefined);
  const factories = [...discovery.typeUrls].map((url) => registry.byTypeUrl(url)).filter((one) => one !== undefined);
  const [factory] = factories;
  if (factory === undefined) return undefined;
  if (factories.some((other) => other.isTerminal !== factory.isTerminal))
    reader.invalid("typeUrls", "some of the filters make the response and others do not: give each a name of its own");
  if (discovery.defaultConfig !== undefined) {
    const opened = unpackAny(discovery.defaultConfig, reader.at("defaultConfig"));
    const parsed = opened.value && registry.byMessage(opened.value)?.parse(opened.value, reader.at("defaultConfig"));
    reader.problems.push(...(parsed?.problems ?? []));
  }
  return { name, factory, config: undefined, isDisabled, discovery, registry };
}
