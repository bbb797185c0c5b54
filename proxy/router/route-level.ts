/** What is set at several levels and composed for each route: header operations and per-filter configuration. */
import type { MessageReader } from "#protos/reader.ts";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { HeaderValueOption } from "#protos/gen/envoy/config/core/v3/base_pb.js";
import { composeMutations, parseHeaderMutations } from "./header-mutations.ts";
import type { PerFilterConfig, RouteConfigParsers } from "./per-filter-config.ts";
import { disabledFilter, enabledFilter, type HeaderMutations } from "./types.ts";

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
  readonly filters: RouteFilterConfigs;
}

/** `typed_per_filter_config` of all levels of a route. */
export interface RouteFilterConfigs {
  perFilter(name: string): unknown;
  perFilterLevels(name: string): readonly unknown[];
  isFilterEnabled(name: string): boolean;
}

/** `levels`: most specific first. Mutations run in that order, or against it with `most_specific_header_mutations_wins`. */
export function composeLevels(levels: readonly RouteLevel[], mostSpecificWins: boolean): ComposedLevels {
  const ordered = mostSpecificWins ? levels.toReversed() : levels;
  const configs = levels.map((level) => level.perFilter).filter((config) => config !== undefined);
  return {
    requestMutations: composeMutations(ordered.map((level) => level.request)),
    responseMutations: composeMutations(ordered.map((level) => level.response)),
    filters: configs.length === 0 ? noFilterConfigs : new LevelledFilterConfigs(configs),
  };
}

const noFilterConfigs: RouteFilterConfigs = {
  perFilter: () => undefined,
  perFilterLevels: () => [],
  isFilterEnabled: () => false,
};

interface FilterLevels {
  readonly inForce: unknown;
  readonly all: readonly unknown[];
  readonly isEnabled: boolean;
}

/** Put together when the configuration arrives: a request looks one name up. */
class LevelledFilterConfigs implements RouteFilterConfigs {
  readonly #byName: ReadonlyMap<string, FilterLevels>;

  /** Most specific first. */
  constructor(configs: readonly PerFilterConfig[]) {
    const names = new Set(configs.flatMap((config) => [...config.keys()]));
    this.#byName = new Map([...names].map((name) => [name, levelsOf(configs, name)]));
  }

  perFilter(name: string): unknown {
    return this.#byName.get(name)?.inForce;
  }

  perFilterLevels(name: string): readonly unknown[] {
    return this.#byName.get(name)?.all ?? [];
  }

  isFilterEnabled(name: string): boolean {
    return this.#byName.get(name)?.isEnabled ?? false;
  }
}

function levelsOf(configs: readonly PerFilterConfig[], name: string): FilterLevels {
  const said = configs.map((config) => config.get(name)).filter((value) => value !== undefined);
  const all = said.filter((value) => value !== disabledFilter && value !== enabledFilter);
  const isEnabled = said[0] !== disabledFilter;
  return { inForce: isEnabled ? all[0] : disabledFilter, all, isEnabled };
}
