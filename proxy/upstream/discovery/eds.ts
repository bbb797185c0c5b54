/** EDS over ADS. */
import type { Problem } from "#lib/problem.ts";
import { MessageReader } from "#protos/reader.ts";
import type { ClusterLoadAssignment } from "#protos/gen/envoy/config/endpoint/v3/endpoint_pb.js";
import type { StatsScope } from "../../observability/stats.ts";
import { createSubscriptionStats } from "../../xds/subscription-stats.ts";
import { TypeUrl, type XdsClient, type XdsSubscription } from "../../xds/types.ts";
import type { MembershipStats } from "../cluster-stats.ts";
import { emptyAssignment, parseAssignment, type Assignment } from "../config/assignment.ts";
import type { Discovery } from "./discovery.ts";

/** Subscribes to one ClusterLoadAssignment; `scope` is `cluster.<name>.`. */
export function edsDiscovery(
  xds: XdsClient,
  serviceName: string,
  initialFetchTimeoutMs: number,
  stats: MembershipStats,
  scope: StatsScope,
): Discovery {
  let subscription: XdsSubscription | undefined;
  return {
    start(sink) {
      subscription = xds.resource(
        TypeUrl.endpoint,
        serviceName,
        {
          stats: createSubscriptionStats(scope),
          onResource(resource) {
            const problems: Problem[] = [];
            const assignment = readAssignment(resource.message as ClusterLoadAssignment, serviceName, problems);
            if (assignment === undefined) {
              return problems;
            }
            sink.onAssignment(assignment);
            sink.onInitialized();
            return problems;
          },
          onAbsent(reason) {
            if (reason === "removed") {
              stats.updateEmpty.inc();
              sink.onAssignment(emptyAssignment(serviceName));
            }
            sink.onInitialized();
          },
        },
        initialFetchTimeoutMs,
      );
    },
    close() {
      subscription?.close();
    },
  };
}

/** undefined with problems of level `error`. */
function readAssignment(
  message: ClusterLoadAssignment,
  serviceName: string,
  problems: Problem[],
): Assignment | undefined {
  const assignment = parseAssignment(new MessageReader(message, "", problems), false);
  if (assignment.clusterName !== serviceName) {
    const text = `Unexpected EDS cluster (expecting ${serviceName}): ${assignment.clusterName}`;
    problems.push({ code: "invalid-value", level: "error", path: "cluster_name", message: text });
  }
  return problems.some((problem) => problem.level === "error") ? undefined : assignment;
}
