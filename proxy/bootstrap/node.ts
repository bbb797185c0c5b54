/** What the proxy says of itself. */
import { clone } from "@bufbuild/protobuf";
import type { BuildVersion, Node } from "#protos/gen/envoy/config/core/v3/base_pb.js";
import { createMessage, schema } from "#protos/registry.ts";

const USER_AGENT = "glassmesh";
const VERSION = { majorNumber: 0, minorNumber: 1, patch: 0 };

/** What a management server may count on (names of Envoy's documentation). */
const CLIENT_FEATURES = ["xds.config.supports-resource-ttl", "xds.config.resource-in-sotw"];

/** The bootstrap's node with the user agent and the client features that Envoy adds too. */
export function completeNode(node: Node | undefined): Node {
  const nodeSchema = schema<Node>("envoy.config.core.v3.Node");
  const complete = node === undefined ? createMessage<Node>("envoy.config.core.v3.Node") : clone(nodeSchema, node);
  if (complete.userAgentName === "") complete.userAgentName = USER_AGENT;
  if (complete.userAgentVersionType.case === undefined) {
    const version = createMessage<BuildVersion>("envoy.config.core.v3.BuildVersion", { version: VERSION });
    complete.userAgentVersionType = { case: "userAgentBuildVersion", value: version };
  }
  complete.clientFeatures = [...new Set([...complete.clientFeatures, ...CLIENT_FEATURES])];
  return complete;
}
