/** What is set at several levels and composed for each route: header operations and per-filter configuration. */
import type { MessageReader } from "#protos/reader.ts";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { HeaderValueOption } from "#protos/gen/envoy/config/core/v3/base_pb.js";
import { composeMutations, parseHeaderMutations } from "./header-mutations.ts";
import type { PerFilterConfig, RouteConfigParsers } from "./per-filter-config.ts";
import type { HeaderMutations } from "./types.ts";

/** One level: a weighted cluster, a route, a virtual host, or the whole route configuration. */
export interface RouteLevel {
  readonly request: HeaderMutations | undefined;
  readonly response: HeaderMutations | undefined;
  readonly perFilter: PerFilterConfig | undefined;
}

/** The fields that all levels share. */
export interface LevelFields {
  readonly requestHeadersToAdd: readonly MessageReader<HeaderValueOption>[];
  readonly requestHeadersToRemove: readonly string[];
  readonly responseHeadersToAdd: readonly MessageReader<HeaderValueOption>[];
  readonly responseHeadersToRemove: readonly string[];
  readonly typedPerFilterConfig: Readonly<Record<string, Any>>;
}

/** Compiles a level; `path` is that of its message. */
export function parseLevel(
  fields: LevelFields,
  path: string,
  problems: MessageReader<HeaderValueOption>["problems"],
  filters: RouteConfigParsers,
): RouteLevel {
  const at = path === "" ? "" : `${path}.`;
  return {
    request: parseHeaderMutations({
      add: fields.requestHeadersToAdd,
      remove: fields.requestHeadersToRemove,
      removeAt: `${at}request_headers_to_remove`,
      problems,
    }),
    response: parseHeaderMutations({
      add: fields.responseHeadersToAdd,
      remove: fields.responseHeadersToRemove,
      removeAt: `${at}response_headers_to_remove`,
      problems,
    }),
    perFilter: filters.parse(fields.typedPerFilterConfig, `${at}typed_per_filter_config`, problems),
  };
}

/** Levels from the most specific on, put together. */
export interface ComposedLevels {
  readonly requestMutations: HeaderMutations | undefined;
  readonly responseMutations: HeaderMutations | undefined;
  readonly perFilter: (name: string) => unknown;
}

/** `levels`: most specific first. Mutations run in that order, or against it with `most_specific_header_mutations_wins`. */
export function composeLevels(levels: readonly RouteLevel[], mostSpecificWins: boolean): ComposedLevels {
  const ordered = mostSpecificWins ? levels.toReversed() : levels;
  const configs = levels.map((level) => level.perFilter).filter((config) => config !== undefined);
  return {
    requestMutations: composeMutations(ordered.map((level) => level.request)),
    responseMutations: composeMutations(ordered.map((level) => level.response)),
    perFilter: perFilterLookup(configs),
  };
}

function perFilterLookup(configs: readonly PerFilterConfig[]): (name: string) => unknown {
  const [first, ...rest] = configs;
  if (first === undefined) return () => undefined;
  if (rest.length === 0) return (name) => first.get(name);
  const merged = new Map<string, unknown>();
  for (const config of configs.toReversed()) for (const [name, value] of config) merged.set(name, value);
  return (name) => merged.get(name);
}
