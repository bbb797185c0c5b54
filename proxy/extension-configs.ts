/** ECDS: configurations of filters that come by name, after the listener that uses them (`config_discovery`). */
import type { Message } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { Problem } from "#lib/problem.ts";
import type { MessageReader } from "#protos/reader.ts";
import { typeUrlOf, unpackAny } from "#protos/any.ts";
import type { ExtensionConfigSource } from "#protos/gen/envoy/config/core/v3/config_source_pb.js";
import { durationMs } from "./config-values.ts";

/** Where a filter's configuration comes from. */
export interface ExtensionDiscovery {
  readonly name: string;
  /** What may come. */
  readonly typeUrls: ReadonlySet<string>;
  /** 0: for ever. */
  readonly initialFetchTimeoutMs: number;
  /** In force while nothing (good) has come. */
  readonly defaultConfig: Any | undefined;
  /** It is in force at once: nothing waits. */
  readonly appliesDefaultWithoutWarming: boolean;
}

/** Gives configurations to filters. */
export interface ExtensionConfigProvider {
  /**
   * `onConfig` hears of every configuration, perhaps during this call; what it returns refuses it. Undefined: there is none
   * (any more), and no default; the filter fails then.
   */
  subscribe(discovery: ExtensionDiscovery, subscriber: ExtensionSubscriber): { close(): void };
}

export interface ExtensionSubscriber {
  /** `http_filter`, `tcp_filter`: part of the names of statistics. */
  readonly kind: "http_filter" | "network_filter";
  onConfig(message: Message | undefined): readonly Problem[];
}

const DEFAULT_FETCH_TIMEOUT_MS = 15_000;

/** Reads `config_discovery`; `isKnown` says which types this proxy has a filter for. */
export function parseExtensionDiscovery(
  reader: MessageReader<ExtensionConfigSource>,
  name: string,
  isKnown: (typeUrl: string) => boolean,
): ExtensionDiscovery {
  const source = reader.child("configSource");
  const specifier = source?.get("configSourceSpecifier");
  const initialFetchTimeoutMs = durationMs(source?.get("initialFetchTimeout")) ?? DEFAULT_FETCH_TIMEOUT_MS;
  source?.get("resourceApiVersion");
  source?.finish();
  if (source === undefined) reader.invalid("configSource", "is required: where the configuration comes from");
  else if (specifier?.case !== "ads" && specifier?.case !== "self")
    source.unsupported(
      "configSourceSpecifier",
      "extension configurations come over ADS (ads: {}); other sources are not supported by this proxy",
    );
  const typeUrls = reader.get("typeUrls").map((url) => (url.includes("/") ? url : `type.googleapis.com/${url}`));
  for (const url of typeUrls)
    if (!isKnown(url))
      reader.invalid(
        "typeUrls",
        `Error: no filter factory found for a required type URL ${url}: this proxy has no such filter`,
      );
  const defaultConfig = reader.get("defaultConfig");
  const appliesDefaultWithoutWarming = reader.get("applyDefaultConfigWithoutWarming");
  reader.finish();
  if (appliesDefaultWithoutWarming && defaultConfig === undefined)
    reader.invalid(
      "applyDefaultConfigWithoutWarming",
      `Error: filter config ${name} applied without warming but has no default config.`,
    );
  const discovery = {
    name,
    typeUrls: new Set(typeUrls),
    initialFetchTimeoutMs,
    defaultConfig,
    appliesDefaultWithoutWarming,
  };
  if (defaultConfig !== undefined) {
    const opened = openExtension(defaultConfig, discovery, reader.at("defaultConfig"));
    if (!Array.isArray(opened)) return discovery;
    reader.problems.push(...opened);
  }
  return discovery;
}

/** Opens a configuration whose type must be one of those asked for. */
export function openExtension(
  config: Any | undefined,
  { name, typeUrls }: ExtensionDiscovery,
  path: string,
): Message | readonly Problem[] {
  if (config === undefined)
    return [{ code: "invalid-value", level: "error", path, message: `extension ${name} has no typed_config` }];
  const { value, problems } = unpackAny(config, path);
  if (value === undefined) return problems;
  const named = (value as { readonly typeUrl?: unknown }).typeUrl;
  const typeUrl =
    value.$typeName.endsWith(".TypedStruct") && typeof named === "string" ? named : typeUrlOf(value.$typeName);
  if (typeUrls.has(typeUrl)) return value;
  const message = `Error: filter config has type URL ${typeUrl} but expect ${[...typeUrls].join(", ")}.`;
  return [{ code: "invalid-value", level: "error", path, message }];
}
