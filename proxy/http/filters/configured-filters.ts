/** `http_filters` of a connection manager → filters with their parsed configurations, in order. */
import { unpackAny, typeUrlOf } from "#protos/any.ts";
import { MessageReader } from "#protos/reader.ts";
import type { TypedStruct } from "#protos/gen/xds/type/v3/typed_struct_pb.js";
import type { HttpFilter } from "#protos/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js";
import type { Problem } from "#lib/problem.ts";
import type { HttpFilterFactory } from "../filter.ts";
import type { HttpFilterRegistry } from "./registry.ts";

export interface ConfiguredFilter {
  /** What it is called in this chain. */
  readonly name: string;
  readonly factory: HttpFilterFactory;
  readonly config: unknown;
  /** `disabled`: takes part only where a route enables it. */
  readonly isDisabled: boolean;
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
      reader.unsupported(
        "configType",
        `filter ${name}: extension configuration discovery is not supported by this proxy`,
      );
    else reader.invalid("configType", `filter ${name} has no typed_config`);
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
      message: `HTTP filter ${name} (${typeUrl}) is not supported by this proxy: requests would pass without it`,
    });
    return undefined;
  }
  const parsed = factory.parse(opened.value, at);
  reader.problems.push(...parsed.problems);
  if (isDisabled && factory.isTerminal === true)
    reader.invalid("disabled", `filter ${name} makes the response and can't be disabled`);
  return parsed.value === undefined ? undefined : { name, factory, config: parsed.value, isDisabled };
}

/** For a TypedStruct of a type without descriptor, the type that it stands for. */
function configuredType(message: { readonly $typeName: string }): string {
  if (message.$typeName === "udpa.type.v1.TypedStruct" || message.$typeName === "xds.type.v3.TypedStruct")
    return (message as TypedStruct).typeUrl;
  return typeUrlOf(message.$typeName);
}
