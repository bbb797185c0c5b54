/** An xDS node → ProxyNode (§4.6). */
import type { Parsed, Problem } from "#lib/problem.ts";
import { fieldsOf, listOf, numberOf, stringMapOf, stringOf, type Fields } from "./read-fields.ts";
import { effectiveProxyConfig } from "./effective-proxy-config.ts";
import type { MeshIndex } from "./mesh-index.ts";
import type { WorkloadInstance } from "./service.ts";
import type { PlacedAddress, Placement, ProxyNode } from "./proxy-node.ts";
import { localityFromText } from "./workloads.ts";

/** What `envoy.config.core.v3.Node` tells; the protobuf message has this shape. */
export interface NodeMessage {
  readonly id: string;
  readonly metadata?: Fields | undefined;
  readonly locality?: { readonly region: string; readonly zone: string; readonly subZone: string } | undefined;
  readonly extensions?: readonly { readonly name: string }[] | undefined;
}

/** The annotation of a Pod that says where `glassmesh up` put its workload. */
export const PLACEMENT_ANNOTATION = "glassmesh.dev/placement";

/** Reads what the proxy said about itself. A proxy that isn't in the mesh is none of our business: it still gets an answer. */
export function proxyNodeFrom(node: NodeMessage): Parsed<ProxyNode> {
  const parts = node.id.split("~");
  const [type = "", ip = "", fullName = "", dnsDomain = ""] = parts;
  const wrong = (message: string): Parsed<ProxyNode> => ({
    problems: [{ code: "invalid-node", level: "error", path: "node.id", message, object: `node ${node.id}` }],
  });
  if (parts.length !== 4) {
    return wrong(`node id ${JSON.stringify(node.id)} must have four parts, type~ip~name.namespace~domain.`);
  }
  if (type !== "sidecar" && type !== "router" && type !== "waypoint") {
    return wrong(`node type ${JSON.stringify(type)} must be sidecar, router or waypoint.`);
  }
  const metadata = fieldsOf(node.metadata);
  const dot = fullName.lastIndexOf(".");
  const instanceIps = (stringOf(metadata["INSTANCE_IPS"]) ?? "").split(",").filter((item) => item !== "");
  const labels = { ...stringMapOf(metadata["STATIC_LABELS"]), ...stringMapOf(metadata["LABELS"]) };
  const mode = metadata["INTERCEPTION_MODE"];
  const { locality, extensions } = node;
  return {
    value: {
      id: node.id,
      type,
      ipAddresses: instanceIps.length > 0 ? instanceIps : [ip].filter((item) => item !== ""),
      name: stringOf(metadata["NAME"]) ?? (dot < 0 ? fullName : fullName.slice(0, dot)),
      namespace: stringOf(metadata["NAMESPACE"]) ?? (dot < 0 ? "default" : fullName.slice(dot + 1)),
      dnsDomain,
      labels,
      serviceAccount: stringOf(metadata["SERVICE_ACCOUNT"]) ?? "",
      clusterId: stringOf(metadata["CLUSTER_ID"]) ?? "",
      network: stringOf(metadata["NETWORK"]) ?? "",
      locality:
        locality !== undefined && (locality.region !== "" || locality.zone !== "" || locality.subZone !== "")
          ? { region: locality.region, zone: locality.zone, subZone: locality.subZone }
          : localityFromText(labels["istio-locality"] ?? ""),
      interceptionMode: mode === "NONE" || mode === "TPROXY" ? mode : "REDIRECT",
      metadata,
      extensions:
        extensions === undefined || extensions.length === 0 ? undefined : new Set(extensions.map(({ name }) => name)),
    },
    problems: [],
  };
}

/** The node as it stands in this mesh: labels, locality and placement of its Pod count over what it said. */
export function withMesh(
  node: ProxyNode,
  mesh: MeshIndex,
): { readonly node: ProxyNode; readonly problems: readonly Problem[] } {
  const workload = mesh.workload(node.namespace, node.name);
  if (workload === undefined) return { node, problems: [] };
  const text = workload.object.metadata.annotations[PLACEMENT_ANNOTATION];
  const placement = text === undefined ? undefined : placementFrom(text);
  const problems: Problem[] = [];
  if (text !== undefined && placement === undefined) {
    problems.push({
      code: "invalid-value",
      level: "error",
      path: `metadata.annotations["${PLACEMENT_ANNOTATION}"]`,
      message:
        "must be JSON with inbound, outbound and httpProxy, each with addresses and ports; the workload gets no listeners of its own.",
      object: `Pod ${node.namespace}/${node.name}`,
      source: workload.object.source.locate(`metadata.annotations["${PLACEMENT_ANNOTATION}"]`),
    });
  }
  const hasLocality = node.locality.region !== "" || node.locality.zone !== "";
  return {
    node: {
      ...node,
      labels: { ...node.labels, ...workload.labels },
      serviceAccount: node.serviceAccount || workload.serviceAccount,
      locality: hasLocality ? node.locality : workload.locality,
      placement,
      // Nobody injects on one machine: what an injector would have written is in force at once, and follows changes.
      metadata:
        placement === undefined ? node.metadata : { ...node.metadata, PROXY_CONFIG: proxyConfigOf(workload, mesh) },
    },
    problems,
  };
}

function proxyConfigOf({ namespace, labels, object }: WorkloadInstance, mesh: MeshIndex): Fields {
  return effectiveProxyConfig(mesh, { namespace, labels, annotations: object.metadata.annotations });
}

/** JSON of the annotation → Placement, or undefined where it is none. */
export function placementFrom(text: string): Placement | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  const root = fieldsOf(json);
  const httpProxy = addressFrom(root["httpProxy"]);
  const inbound = listOf(root["inbound"])
    .map(fieldsOf)
    .map((item) => {
      const [port, bind, app] = [numberOf(item["port"]), addressFrom(item["bind"]), addressFrom(item["app"])];
      return port === undefined || bind === undefined || app === undefined ? undefined : { port, bind, app };
    });
  const outbound = listOf(root["outbound"])
    .map(fieldsOf)
    .map((item) => {
      const [host, port, bind] = [stringOf(item["host"]), numberOf(item["port"]), addressFrom(item["bind"])];
      return host === undefined || port === undefined || bind === undefined ? undefined : { host, port, bind };
    });
  if (httpProxy === undefined) return undefined;
  const callLog = stringOf(root["callLog"]);
  const known = { callLog, inbound: inbound.filter(isPresent), outbound: outbound.filter(isPresent), httpProxy };
  return known.inbound.length === inbound.length && known.outbound.length === outbound.length ? known : undefined;
}

function addressFrom(value: unknown): PlacedAddress | undefined {
  const { address, port } = fieldsOf(value);
  return typeof address === "string" && typeof port === "number" ? { address, port } : undefined;
}

function isPresent<T>(value: T | undefined): value is T {
  return value !== undefined;
}
