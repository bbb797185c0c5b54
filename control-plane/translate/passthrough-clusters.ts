/** The clusters that every sidecar has: BlackHoleCluster, PassthroughCluster, InboundPassthroughCluster; a gateway the first. */
import { circuitBreakers, connectTimeout, upstreamConnectionOptions } from "./connection-pool.ts";
import { compact, type JsonObject } from "./json.ts";
import { BLACK_HOLE, INBOUND_PASSTHROUGH, PASSTHROUGH } from "./names.ts";
import { metadataExchange } from "./network-filters.ts";
import { meshDefault } from "./traffic-policy.ts";
import { passthroughProtocol } from "./upstream-protocol.ts";
import type { View } from "./view.ts";

/** Source address of what goes to the application itself: iptables lets it pass. */
export const INBOUND_SOURCE: JsonObject = { sourceAddress: { address: "127.0.0.6", portValue: 0 } };

export function passthroughClusters(view: View): readonly JsonObject[] {
  const blackHole = {
    name: BLACK_HOLE,
    altStatName: `${BLACK_HOLE};`,
    type: "STATIC",
    connectTimeout: connectTimeout(undefined, view.mesh.meshConfig),
  };
  if (view.proxy.type !== "sidecar") return [blackHole];
  return [
    blackHole,
    compact({ ...passthrough(view, PASSTHROUGH), filters: metadataExchange(view) }),
    { ...passthrough(view, INBOUND_PASSTHROUGH), upstreamBindConfig: INBOUND_SOURCE },
  ];
}

function passthrough(view: View, name: string): JsonObject {
  const { meshConfig } = view.mesh;
  const pool = meshDefault(meshConfig).connectionPool;
  return compact({
    name,
    // istiod gives both the same name for statistics.
    altStatName: `${PASSTHROUGH};`,
    type: "ORIGINAL_DST",
    lbPolicy: "CLUSTER_PROVIDED",
    connectTimeout: connectTimeout(pool, meshConfig),
    circuitBreakers: circuitBreakers(pool),
    upstreamConnectionOptions: upstreamConnectionOptions(pool, meshConfig),
    typedExtensionProtocolOptions: passthroughProtocol(),
  });
}
