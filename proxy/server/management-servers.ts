/** The management servers of one proxy, loaded when they are first needed: they speak gRPC. */
import { MeshError } from "#lib/problem.ts";
import type { Runtime } from "#lib/runtime.ts";
import type { BootstrapModel } from "../bootstrap/model.ts";
import { standardHttpFilters } from "../http/filters/standard-filters.ts";
import { builtInNetworkFilters } from "../network/built-in.ts";
import { istioStatsTcp } from "../observability/istio-stats/network-filter.ts";
import type { StatsStore } from "../observability/stats-store.ts";
import { withAnnouncedExtensions } from "../server/announced-extensions.ts";
import type { XdsSources } from "../xds/sources.ts";
import type { XdsClient } from "../xds/types.ts";

export interface ManagementServers {
  /** The aggregated stream; undefined: there is none, or nothing is loaded. */
  readonly ads: XdsClient | undefined;
  /** What is loaded already. */
  readonly loaded: XdsSources | undefined;
  /** Rejects with a `MeshError` that says why they can't be used. */
  load(): Promise<XdsSources>;
  close(): void;
}

const CONNECTION_MANAGER = { name: "envoy.filters.network.http_connection_manager" };

/** Nothing is loaded yet. */
export function createManagementServers(
  runtime: Runtime,
  bootstrap: BootstrapModel,
  store: StatsStore,
): ManagementServers {
  let loaded: XdsSources | undefined;
  return {
    get ads() {
      return loaded?.ads;
    },
    get loaded() {
      return loaded;
    },
    async load() {
      loaded ??= await openSources(runtime, bootstrap, store);
      return loaded;
    },
    close: () => loaded?.close(),
  };
}

async function openSources(runtime: Runtime, bootstrap: BootstrapModel, store: StatsStore): Promise<XdsSources> {
  const { createXdsSources } = await import("../xds/sources.ts");
  const node = withAnnouncedExtensions(bootstrap.node, {
    http: standardHttpFilters().all,
    network: [CONNECTION_MANAGER, ...builtInNetworkFilters, istioStatsTcp],
  });
  const { value, problems } = createXdsSources({ runtime, scope: store.root, bootstrap: { ...bootstrap, node } });
  if (value === undefined) throw new MeshError("management-server", "the management server can't be used", problems);
  return value;
}
