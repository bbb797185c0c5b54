/** HTTP filters by the type of their configuration. `standard-filters.ts` lists those of this proxy. */
import type { HttpFilterFactory } from "../filter.ts";

export interface HttpFilterRegistry {
  readonly all: readonly HttpFilterFactory[];
  /** The filter that takes a configuration of this type. */
  byTypeUrl(typeUrl: string): HttpFilterFactory | undefined;
}

/** A registry of `filters`; two that take the same type are a mistake of the programmer. */
export function createHttpFilterRegistry(filters: readonly HttpFilterFactory[]): HttpFilterRegistry {
  const byTypeUrl = new Map<string, HttpFilterFactory>();
  for (const filter of filters) {
    for (const typeUrl of filter.typeUrls) {
      if (byTypeUrl.has(typeUrl)) throw new Error(`two HTTP filters take ${typeUrl}`);
      byTypeUrl.set(typeUrl, filter);
    }
  }
  return { all: filters, byTypeUrl: (typeUrl) => byTypeUrl.get(typeUrl) };
}
