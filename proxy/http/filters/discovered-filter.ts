/** An HTTP filter whose configuration comes over ECDS: new streams get the newest, none at all is answered with 500. */
import type { Problem } from "#lib/problem.ts";
import type { ExtensionDiscovery } from "../../extension-configs.ts";
import { ResponseFlag } from "../../stream-info.ts";
import type { FilterFactoryContext, StreamFilterFactory } from "../filter.ts";
import type { FilterChainEntry } from "../filter-chain.ts";
import type { HttpFilterRegistry } from "./registry.ts";

export interface DiscoveredFilter {
  readonly name: string;
  readonly isDisabled: boolean;
  readonly discovery: ExtensionDiscovery;
  readonly registry: HttpFilterRegistry;
}

/** The place of the filter in its chain. */
export function discoveredEntry(filter: DiscoveredFilter, context: FilterFactoryContext): FilterChainEntry {
  const { name, isDisabled, discovery, registry } = filter;
  const entry = { name, isDisabled, create: withoutConfig };
  context.extensionConfigs?.subscribe(discovery, {
    kind: "http_filter",
    onConfig(message): readonly Problem[] {
      if (message === undefined) {
        entry.create = withoutConfig;
        return [];
      }
      const factory = registry.byMessage(message);
      const parsed = factory?.parse(message, "typed_config");
      if (factory === undefined || parsed?.value === undefined) return parsed?.problems ?? [];
      entry.create = factory.create(parsed.value, context, name);
      return parsed.problems;
    },
  });
  return entry;
}

const withoutConfig: StreamFilterFactory = (stream) => ({
  decodeHeaders() {
    stream.sendLocalReply({ status: 500, details: "", flag: ResponseFlag.NoFilterConfigFound });
    return "stop";
  },
});
