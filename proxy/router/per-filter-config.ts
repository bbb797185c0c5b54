/** `typed_per_filter_config` of one level, parsed by the filters themselves. */
import { MessageReader } from "#protos/reader.ts";
import { unpackAny } from "#protos/any.ts";
import { typeUrlOf } from "#protos/type-url.ts";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { FilterConfig } from "#protos/gen/envoy/config/route/v3/route_components_pb.js";
import type { Problem } from "#lib/problem.ts";
import type { HttpFilterFactory } from "../http/filter.ts";
import { disabledFilter, enabledFilter } from "./types.ts";

/** Parsed values by the name that the filter has in the chain. */
export type PerFilterConfig = ReadonlyMap<string, unknown>;

/** Which filter reads which type of per-route configuration. */
export class RouteConfigParsers {
  readonly #byTypeUrl = new Map<string, HttpFilterFactory>();

  constructor(filters: Iterable<HttpFilterFactory>) {
    for (const filter of filters)
      for (const typeUrl of filter.routeTypeUrls ?? []) this.#byTypeUrl.set(typeUrl, filter);
  }

  /** Reads one level; undefined when it is empty. */
  parse(configs: Readonly<Record<string, Any>>, path: string, problems: Problem[]): PerFilterConfig | undefined {
    const names = Object.keys(configs);
    if (names.length === 0) return undefined;
    const parsed = new Map<string, unknown>();
    for (const name of names) {
      const value = this.#parseOne(configs[name] as Any, `${path}["${name}"]`, problems);
      if (value !== undefined) parsed.set(name, value);
    }
    return parsed;
  }

  #parseOne(any: Any, path: string, problems: Problem[], isOptional = false): unknown {
    const opened = unpackAny(any, path);
    if (opened.value === undefined) {
      if (!isOptional) problems.push(...opened.problems);
      return undefined;
    }
    const message = opened.value;
    if (message.$typeName === "envoy.config.route.v3.FilterConfig")
      return this.#parseWrapper(new MessageReader(message as FilterConfig, path, problems));
    const typeUrl = typeUrlOf(message.$typeName);
    const factory = this.#byTypeUrl.get(typeUrl);
    if (factory?.parseRoute === undefined) {
      if (isOptional) return undefined;
      const text = `no HTTP filter of this proxy takes ${typeUrl} as its per-route configuration`;
      problems.push({ code: "unsupported-field", level: "error", path, message: text });
      return undefined;
    }
    const parsed = factory.parseRoute(message, path);
    problems.push(...parsed.problems);
    return parsed.value;
  }

  #parseWrapper(reader: MessageReader<FilterConfig>): unknown {
    const config = reader.get("config");
    const isOptional = reader.get("isOptional");
    const isDisabled = reader.get("disabled");
    const at = reader.at("config");
    reader.finish();
    if (isDisabled) return disabledFilter;
    if (config === undefined) {
      reader.invalid("config", "is required; `config: {}` has the filter take part as it is configured in the chain");
      return undefined;
    }
    if (config.typeUrl === "") return enabledFilter;
    // What an optional filter of another proxy is told still says that it takes part.
    return this.#parseOne(config, at, reader.problems, isOptional) ?? enabledFilter;
  }
}
