/** Network filters that several listeners and clusters share. */
import { any, compact, type JsonObject, typedStruct } from "./json.ts";
import { accessLogs } from "./access-log.ts";
import { proxyOptions } from "./proxy-options.ts";
import { statsFilters } from "./metrics.ts";
import { hasExtension, type View } from "./view.ts";

const METADATA_EXCHANGE: JsonObject = {
  name: "istio.metadata_exchange",
  typedConfig: typedStruct("envoy.tcp.metadataexchange.config.MetadataExchange", {
    protocol: "istio-peer-exchange",
    enable_discovery: true,
  }),
};

/** Istio's exchange of peer metadata over TCP; empty where the proxy has no such filter. */
export function metadataExchange(view: View): readonly JsonObject[] | undefined {
  const has = hasExtension(
    view,
    "istio.metadata_exchange",
    "envoy.filters.network.metadata_exchange",
    "envoy.filters.network.upstream.metadata_exchange",
  );
  return has ? [METADATA_EXCHANGE] : undefined;
}

export type Direction = "inbound" | "outbound";

/** Istio's metrics. Without a Host header's say on the server's side. */
export function statsFilter(view: View, direction: Direction): readonly JsonObject[] {
  if (!hasExtension(view, "istio.stats", "envoy.filters.http.istio_stats", "envoy.filters.network.istio_stats")) {
    return [];
  }
  return statsFilters(view, direction === "inbound" ? "SERVER" : "CLIENT");
}

export interface TcpProxyInput {
  readonly direction: Direction;
  readonly statPrefix: string;
  /** `cluster` or `weightedClusters`. */
  readonly target: JsonObject;
  readonly idleTimeout?: string | undefined;
  /** How long a client's connection may live. */
  readonly maxDuration?: string | undefined;
  readonly hashPolicy?: readonly JsonObject[] | undefined;
  readonly tunnelingConfig?: JsonObject | undefined;
  /** False for the chain that catches loops: it is neither logged nor kept. */
  readonly isLogged?: boolean;
}

export function tcpProxy(view: View, input: TcpProxyInput): JsonObject {
  const logs = input.isLogged === false ? undefined : accessLogs(view, input.direction, "tcp");
  return {
    name: "envoy.filters.network.tcp_proxy",
    typedConfig: any(
      "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
      compact({
        statPrefix: input.statPrefix,
        ...input.target,
        accessLog: logs,
        idleTimeout: input.idleTimeout ?? (input.isLogged === false ? undefined : proxyOptions(view).idleTimeout),
        maxDownstreamConnectionDuration: input.maxDuration,
        hashPolicy: input.hashPolicy,
        tunnelingConfig: input.tunnelingConfig,
      }),
    ),
  };
}

/** MongoDB's statistics, ahead of the proxying itself. */
export function mongoProxy(view: View, statPrefix: string): readonly JsonObject[] {
  const name = "envoy.filters.network.mongo_proxy";
  if (!hasExtension(view, name)) return [];
  return [{ name, typedConfig: any("envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy", { statPrefix }) }];
}
