/** `inbound|port||`: from the sidecar to its own application (rules 93, 94, 114). */
import type { ServiceModel } from "../model/service.ts";
import { circuitBreakers, connectTimeout, upstreamConnectionOptions } from "./connection-pool.ts";
import { type InboundEndpoint, type InboundPort, inboundPorts } from "./inbound-ports.ts";
import { compact, type JsonObject } from "./json.ts";
import { configPath, inboundCluster } from "./names.ts";
import { INBOUND_SOURCE } from "./passthrough-clusters.ts";
import { placedInbound } from "./placed-inbound.ts";
import { destinationRuleOf } from "./scope.ts";
import { effectivePolicy } from "./traffic-policy.ts";
import { upstreamProtocol } from "./upstream-protocol.ts";
import type { View } from "./view.ts";

export function inboundClusters(view: View): readonly JsonObject[] {
  if (view.proxy.placement !== undefined) {
    return placedInbound(view).map(({ inbound, app }) =>
      inboundClusterOf(view, inbound, staticTo(inbound.targetPort, { kind: "ip", ...app })),
    );
  }
  return inboundPorts(view).map((inbound) => inboundClusterOf(view, inbound, reachedBy(view, inbound)));
}

/** No time at all would pass that long: the hosts of an ORIGINAL_DST cluster are never cleaned up. */
const NEVER = "9223372035s";

function reachedBy(view: View, { targetPort, endpoint, sidecar }: InboundPort): JsonObject {
  if (endpoint !== undefined) {
    // What goes to the pod's own address must not be captured again.
    const isLoopback = endpoint.kind === "ip" && isLocalhost(endpoint.address);
    return { ...staticTo(targetPort, endpoint), ...(!isLoopback && { upstreamBindConfig: INBOUND_SOURCE }) };
  }
  if (sidecar === undefined && view.mesh.meshConfig.inboundTrafficPolicy === "LOCALHOST") {
    return staticTo(targetPort, { kind: "ip", address: "127.0.0.1", port: targetPort });
  }
  return {
    type: "ORIGINAL_DST",
    lbPolicy: "CLUSTER_PROVIDED",
    cleanupInterval: NEVER,
    upstreamBindConfig: INBOUND_SOURCE,
  };
}

function isLocalhost(address: string): boolean {
  return address.startsWith("127.") || address === "::1";
}

function staticTo(port: number, to: InboundEndpoint): JsonObject {
  const address =
    to.kind === "pipe" ? { pipe: { path: to.path } } : { socketAddress: { address: to.address, portValue: to.port } };
  return {
    type: "STATIC",
    loadAssignment: { clusterName: inboundCluster(port), endpoints: [{ lbEndpoints: [{ endpoint: { address } }] }] },
  };
}

function inboundClusterOf(view: View, inbound: InboundPort, target: JsonObject): JsonObject {
  const { meshConfig } = view.mesh;
  const { service, port, targetPort } = inbound;
  const rule = service && destinationRuleOf(view.mesh, view.scope, service, undefined);
  const pool = inbound.pool ?? effectivePolicy(rule, "", port.number, meshConfig).connectionPool;
  const name = inboundCluster(targetPort);
  const config = rule?.trafficPolicy === undefined ? undefined : configPath(rule.object);
  return compact({
    name,
    altStatName: `${name};`,
    ...target,
    connectTimeout: connectTimeout(pool, meshConfig),
    circuitBreakers: circuitBreakers(pool),
    commonLbConfig: {},
    upstreamConnectionOptions: upstreamConnectionOptions(pool, meshConfig),
    typedExtensionProtocolOptions: upstreamProtocol({ protocol: port.protocol, pool, meshConfig, isInbound: true })
      .options,
    metadata: service && { filterMetadata: { istio: compact({ config, services: [nameOf(service)] }) } },
  });
}

function nameOf({ host, name, namespace }: ServiceModel): JsonObject {
  return { host, name, namespace };
}
