/** The network filters that a proxy has. Importing a filter registers nothing: the list is given. */
import type { Message } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { Parsed } from "#lib/problem.ts";
import { typeUrlOf, unpackAny } from "#protos/any.ts";
import type { NetworkFilterFactory } from "./filter.ts";

export interface ParsedNetworkFilter {
  readonly factory: NetworkFilterFactory;
  readonly config: unknown;
}

export interface NetworkFilterRegistry {
  /** Opens and reads a filter's configuration; a type that no filter has is refused by name. */
  parse(config: Any, path: string, name: string): Parsed<ParsedNetworkFilter>;
  /** The same of a configuration that is open already. */
  parseMessage(message: Message, path: string, name: string): Parsed<ParsedNetworkFilter>;
  readonly factories: readonly NetworkFilterFactory[];
}

/** Makes a registry of these filters. The type of the configuration chooses the filter, its name is for people. */
export function createNetworkFilterRegistry(factories: readonly NetworkFilterFactory[]): NetworkFilterRegistry {
  const byTypeUrl = new Map(factories.flatMap((factory) => factory.typeUrls.map((url) => [url, factory] as const)));
  function parseMessage(message: Message, path: string, name: string): Parsed<ParsedNetworkFilter> {
    const typeUrl = typeUrlOfMessage(message);
    const factory = byTypeUrl.get(typeUrl);
    if (factory === undefined) {
      const known = factories.map((one) => one.name).join(", ");
      const text = `network filter '${name}' of type ${typeUrl} is not supported by this proxy; supported are ${known}`;
      return { problems: [{ code: "unsupported-field", level: "error", path, message: text }] };
    }
    const parsed = factory.parse(message, path);
    return parsed.value === undefined
      ? { problems: parsed.problems }
      : { value: { factory, config: parsed.value }, problems: parsed.problems };
  }
  return {
    factories,
    parseMessage,
    parse(config, path, name) {
      const opened = unpackAny(config, path);
      return opened.value === undefined ? { problems: opened.problems } : parseMessage(opened.value, path, name);
    },
  };
}

/** A TypedStruct of a type that nobody knows is named by that type. */
function typeUrlOfMessage(message: Message): string {
  const { typeUrl } = message as { readonly typeUrl?: unknown };
  return message.$typeName.endsWith(".TypedStruct") && typeof typeUrl === "string"
    ? typeUrl
    : typeUrlOf(message.$typeName);
}
