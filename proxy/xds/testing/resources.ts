/** Small valid resources for tests. */
import { createMessage } from "#protos/registry.ts";
import type { Cluster } from "#protos/gen/envoy/config/cluster/v3/cluster_pb.js";
import type { ClusterLoadAssignment } from "#protos/gen/envoy/config/endpoint/v3/endpoint_pb.js";
import type { Node } from "#protos/gen/envoy/config/core/v3/base_pb.js";
import type { RouteConfiguration } from "#protos/gen/envoy/config/route/v3/route_pb.js";

export function cluster(name: string, altStatName = ""): Cluster {
  return createMessage<Cluster>("envoy.config.cluster.v3.Cluster", { name, altStatName });
}

export function assignment(clusterName: string): ClusterLoadAssignment {
  return createMessage<ClusterLoadAssignment>("envoy.config.endpoint.v3.ClusterLoadAssignment", { clusterName });
}

export function route(name: string, vhostHeader = ""): RouteConfiguration {
  return createMessage<RouteConfiguration>("envoy.config.route.v3.RouteConfiguration", { name, vhostHeader });
}

export function testNode(): Node {
  return createMessage<Node>("envoy.config.core.v3.Node", {
    id: "sidecar~10.0.0.1~a.default~default.svc.cluster.local",
  });
}
