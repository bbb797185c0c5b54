/** HTTP filters by the type of their configuration. `standard-filters.ts` lists those of this proxy. */
import type { Message } from "@bufbuild/protobuf";
import { typeUrlOf } from "#protos/any.ts";
import type { TypedStruct } from "#protos/gen/xds/type/v3/typed_struct_pb.js";
import type { HttpFilterFactory } from "../filter.ts";

export interface HttpFilterRegistry {
  readonly all: readonly HttpFilterFactory[];
  /** The filter that takes a configuration of this type. */
  byTypeUrl(typeUrl: string): HttpFilterFactory | undefined;
  /** The same by the configuration itself; a TypedStruct without descriptor stands for its type. */
  byMessage(message: Message): HttpFilterFactory | undefined;
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
  return {
    all: filters,
    byTypeUrl: (typeUrl) => byTypeUrl.get(typeUrl),
    byMessage: (message) => byTypeUrl.get(configuredType(message)),
  };
}

/** For a TypedStruct of a type without descriptor, the type that it stands for. */
export function configuredType(message: { readonly $typeName: string }): string {
  if (message.$typeName === "udpa.type.v1.TypedStruct" || message.$typeName === "xds.type.v3.TypedStruct")
    return (message as TypedStruct).typeUrl;
  return typeUrlOf(message.$typeName);
}
