/** RTDS: runtime layers whose values a management server sends. */
import type { Problem } from "#lib/problem.ts";
import type { Logger } from "#lib/runtime.ts";
import type { Runtime as RuntimeResource } from "#protos/gen/envoy/service/runtime/v3/rtds_pb.js";
import type { StatsScope } from "../observability/stats.ts";
import { RuntimeLayerError, type RuntimeLayers } from "../runtime-layers.ts";
import type { XdsSource } from "../xds/sources.ts";
import { createSubscriptionStats } from "../xds/subscription-stats.ts";
import { TypeUrl, type XdsSubscription } from "../xds/types.ts";

/** One layer and where it comes from. */
export interface RuntimeSource {
  readonly layer: string;
  readonly resourceName: string;
  readonly source: XdsSource;
}

export interface RuntimeDiscoveryDeps {
  readonly layers: RuntimeLayers;
  /** `runtime.` */
  readonly scope: StatsScope;
  readonly log: Logger;
}

/** Subscribes to every layer; `onReady` once each has come, or did not in `initial_fetch_timeout`. */
export function subscribeRuntimeLayers(
  sources: readonly RuntimeSource[],
  { layers, scope, log }: RuntimeDiscoveryDeps,
  onReady: () => void,
): readonly XdsSubscription[] {
  if (sources.length === 0) {
    onReady();
    return [];
  }
  const waiting = new Set(sources);
  const stats = createSubscriptionStats(scope);
  const done = (source: RuntimeSource): void => {
    if (waiting.delete(source) && waiting.size === 0) onReady();
  };
  return sources.map((one) => {
    const { layer, resourceName, source } = one;
    const watcher = {
      stats,
      onResource({ message }: { readonly message: unknown }): readonly Problem[] {
        const problems = replace(layers, layer, (message as RuntimeResource).layer ?? {});
        if (problems.length === 0) log.info(`runtime layer '${layer}' is in force`);
        done(one);
        return problems;
      },
      onAbsent(reason: "removed" | "timeout"): void {
        if (reason === "removed") replace(layers, layer, {});
        else log.warning(`no runtime layer '${layer}' within initial_fetch_timeout; starting without it`);
        done(one);
      },
      onRejected: () => done(one),
    };
    return source.client.resource(TypeUrl.runtime, resourceName, watcher, source.initialFetchTimeoutMs);
  });
}

function replace(layers: RuntimeLayers, layer: string, values: Readonly<Record<string, unknown>>): readonly Problem[] {
  try {
    layers.replace(layer, values);
    return [];
  } catch (error) {
    if (!(error instanceof RuntimeLayerError)) throw error;
    return [{ code: "invalid-value", level: "error", path: "layer", message: error.message }];
  }
}
