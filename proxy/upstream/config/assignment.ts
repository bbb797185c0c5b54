/** `ClusterLoadAssignment` → the endpoints of a cluster. */
import { MessageReader } from "#protos/reader.ts";
import type { SocketAddress } from "#lib/connection.ts";
import type {
  ClusterLoadAssignment,
  ClusterLoadAssignment_Policy,
} from "#protos/gen/envoy/config/endpoint/v3/endpoint_pb.js";
import type {
  Endpoint,
  Endpoint_HealthCheckConfig,
  LbEndpoint,
  LocalityLbEndpoints,
} from "#protos/gen/envoy/config/endpoint/v3/endpoint_components_pb.js";
import type { Address } from "#protos/gen/envoy/config/core/v3/address_pb.js";
import { internalAddress } from "../../tls/internal-network.ts";
import { isIpAddress } from "./ip-address.ts";
import { fractionOf, metadataOf, type Fraction } from "../../config-values.ts";
import type { EdsHealth, HostHealthCheck } from "../host.ts";
import type { Locality, Metadata } from "../types.ts";

export interface Assignment {
  readonly clusterName: string;
  readonly localities: readonly LocalityEndpoints[];
  /** Percent; 140 when absent. */
  readonly overprovisioningFactor: number;
  readonly weightedPriorityHealth: boolean;
  /** Share of requests that are dropped before a host is chosen. */
  readonly dropOverload?: Fraction | undefined;
}

export interface LocalityEndpoints {
  readonly locality: Locality;
  readonly priority: number;
  /** 0: no weight. */
  readonly weight: number;
  readonly endpoints: readonly EndpointConfig[];
}

export interface EndpointConfig {
  /** With a name in place of an IP address in clusters of type STRICT_DNS and LOGICAL_DNS. */
  readonly address: SocketAddress;
  readonly hostname: string;
  readonly weight: number;
  readonly metadata: Metadata;
  readonly health: EdsHealth;
  readonly healthCheck?: HostHealthCheck | undefined;
  /** Where else it can be reached. */
  readonly additionalAddresses?: readonly SocketAddress[] | undefined;
}

const noAssignment: Assignment = {
  clusterName: "",
  localities: [],
  overprovisioningFactor: 140,
  weightedPriorityHealth: false,
};

/** Nothing at all: a cluster without endpoints. */
export function emptyAssignment(clusterName: string): Assignment {
  return { ...noAssignment, clusterName };
}

/** Reads an assignment; `allowsNames`: addresses may be host names. Problems are on the reader's list. */
export function parseAssignment(reader: MessageReader<ClusterLoadAssignment>, allowsNames: boolean): Assignment {
  const policy = reader.child("policy");
  const dropOverload = policy === undefined ? undefined : parseDropOverloads(policy);
  const overprovisioningFactor = policy?.get("overprovisioningFactor") ?? 140;
  const weightedPriorityHealth = policy?.get("weightedPriorityHealth") ?? false;
  policy?.finish();
  const named = reader.get("namedEndpoints");
  const assignment = {
    clusterName: reader.get("clusterName"),
    localities: reader.children("endpoints").map((locality) => parseLocality(locality, named, allowsNames)),
    overprovisioningFactor,
    weightedPriorityHealth,
    dropOverload,
  };
  reader.finish();
  const priorities = new Set(assignment.localities.map((locality) => locality.priority));
  for (let priority = 0; priority < priorities.size; priority++) {
    if (!priorities.has(priority)) {
      reader.invalid(
        "endpoints",
        `priorities must be without gaps from 0 on: there is no endpoint of priority ${priority}`,
      );
      break;
    }
  }
  return assignment;
}

/** Envoy takes one category. */
function parseDropOverloads(reader: MessageReader<ClusterLoadAssignment_Policy>): Fraction | undefined {
  const [first, second] = reader.children("dropOverloads");
  if (second !== undefined) reader.invalid("dropOverloads", "only one category of drop_overloads is supported");
  first?.ignore("category", "a name for load reports, which are not sent");
  const percent = first?.get("dropPercentage");
  first?.finish();
  return percent === undefined ? undefined : fractionOf(percent);
}

function parseLocality(
  reader: MessageReader<LocalityLbEndpoints>,
  named: Readonly<Record<string, Endpoint>>,
  allowsNames: boolean,
): LocalityEndpoints {
  const locality = reader.child("locality");
  const where = {
    region: locality?.get("region") ?? "",
    zone: locality?.get("zone") ?? "",
    subZone: locality?.get("subZone") ?? "",
  };
  locality?.finish();
  reader.ignore("proximity", "no balancing policy of Envoy's reads it");
  reader.ignore("metadata", "metadata of a locality is for reports only");
  const list = reader.get("lbConfig");
  let endpoints = reader.children("lbEndpoints");
  if (list.case === "loadBalancerEndpoints") {
    const inner = new MessageReader(list.value, reader.at("lbConfig"), reader.problems);
    endpoints = inner.children("lbEndpoints");
    inner.finish();
  } else if (list.case !== undefined) reader.unsupported("lbConfig");
  const result = {
    locality: where,
    priority: reader.get("priority"),
    weight: reader.get("loadBalancingWeight") ?? 0,
    endpoints: endpoints
      .map((endpoint) => parseEndpoint(endpoint, named, allowsNames))
      .filter((endpoint) => endpoint !== undefined),
  };
  reader.finish();
  return result;
}

const healths: readonly EdsHealth[] = ["unknown", "healthy", "unhealthy", "draining", "timeout", "degraded"];

function parseEndpoint(
  reader: MessageReader<LbEndpoint>,
  named: Readonly<Record<string, Endpoint>>,
  allowsNames: boolean,
): EndpointConfig | undefined {
  const metadata = metadataOf(reader.child("metadata"));
  const weight = reader.get("loadBalancingWeight") ?? 1;
  const health = healths[reader.get("healthStatus")] ?? "unknown";
  const identifier = reader.get("hostIdentifier");
  const at = reader.at("hostIdentifier");
  reader.finish();
  const message = identifier.case === "endpointName" ? named[identifier.value] : identifier.value;
  if (message === undefined) {
    reader.invalid("hostIdentifier", "an endpoint needs an address (or the name of one in named_endpoints)");
    return undefined;
  }
  const endpoint = new MessageReader(message, at, reader.problems);
  endpoint.ignore("observabilityName", "only per-endpoint statistics of other proxies read it");
  const hostname = endpoint.get("hostname");
  const addressReader = endpoint.child("address");
  const checked = endpoint.child("healthCheckConfig");
  const additional = endpoint.children("additionalAddresses").flatMap((child) => {
    const own = child.child("address");
    child.finish();
    return (own === undefined ? undefined : parseAddress(own, false)) ?? [];
  });
  endpoint.finish();
  const address = addressReader === undefined ? undefined : parseAddress(addressReader, allowsNames);
  if (addressReader === undefined) endpoint.invalid("address", "an endpoint needs an address");
  if (address === undefined) return undefined;
  const healthCheck = checked === undefined ? undefined : parseHealthCheckConfig(checked, address);
  const base = { address, hostname, weight, metadata, health, healthCheck };
  return additional.length === 0 ? base : { ...base, additionalAddresses: additional };
}

/** Where a host is asked for its health, and by what name. */
function parseHealthCheckConfig(
  reader: MessageReader<Endpoint_HealthCheckConfig>,
  own: SocketAddress,
): HostHealthCheck {
  const port = reader.get("portValue");
  const child = reader.child("address");
  const other = child === undefined ? undefined : parseAddress(child, false);
  const config = { hostname: reader.get("hostname"), isDisabled: reader.get("disableActiveHealthCheck") };
  reader.finish();
  const address = other ?? own;
  if (port !== 0 && address.kind !== "ip")
    reader.invalid("portValue", "a host with a Unix domain socket has no port: remove it");
  if (port !== 0 && address.kind === "ip") return { ...config, address: { ...address, port } };
  return { ...config, address: other };
}

/** An address to connect to; undefined when it has problems. */
export function parseAddress(reader: MessageReader<Address>, allowsNames: boolean): SocketAddress | undefined {
  const specifier = reader.get("address");
  const at = reader.at("address");
  reader.finish();
  if (specifier.case === "pipe") {
    const pipe = new MessageReader(specifier.value, at, reader.problems);
    pipe.ignore("mode", "only listening sockets have a mode");
    const path = pipe.get("path");
    pipe.finish();
    return { kind: "pipe", path };
  }
  if (specifier.case === "envoyInternalAddress") {
    const internal = new MessageReader(specifier.value, at, reader.problems);
    const name = internal.get("addressNameSpecifier");
    const endpointId = internal.get("endpointId");
    internal.finish();
    if (name.case === "serverListenerName") return internalAddress(name.value, endpointId);
    internal.invalid("addressNameSpecifier", "server_listener_name must be set");
    return undefined;
  }
  if (specifier.case !== "socketAddress") {
    reader.invalid("address", "needs a socket_address, a pipe or an envoy_internal_address");
    return undefined;
  }
  const socket = new MessageReader(specifier.value, at, reader.problems);
  const address = socket.get("address");
  const port = socket.get("portSpecifier");
  if (socket.get("protocol") !== 0) socket.unsupported("protocol", "only TCP is supported");
  socket.ignore("resolverName", "names are resolved by the cluster's own resolver");
  socket.finish();
  if (port.case !== "portValue") {
    socket.invalid("portSpecifier", "port_value must be set");
    return undefined;
  }
  if (!allowsNames && !isIpAddress(address)) {
    socket.invalid(
      "address",
      `malformed IP address: ${address}. Consider setting resolver_name or setting cluster type to 'STRICT_DNS' or 'LOGICAL_DNS'`,
    );
    return undefined;
  }
  return { kind: "ip", address, port: port.value };
}
