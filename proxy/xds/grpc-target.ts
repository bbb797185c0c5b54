/** A static cluster of the bootstrap → where its management server is and how to talk to it. */
import type { SocketAddress } from "#lib/connection.ts";
import type { Parsed, Problem } from "#lib/problem.ts";
import { unpackAny } from "#protos/any.ts";
import type { Cluster } from "#protos/gen/envoy/config/cluster/v3/cluster_pb.js";
import type { Address } from "#protos/gen/envoy/config/core/v3/address_pb.js";
import type { UpstreamTlsContext } from "#protos/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js";
import { MessageReader } from "#protos/reader.ts";
import { parseUpstreamContext, type UpstreamContext } from "../tls/tls-context.ts";

export interface GrpcTarget {
  /** IP addresses, host names or socket files, to be tried in turn. */
  readonly addresses: readonly [SocketAddress, ...SocketAddress[]];
  /** Undefined: plaintext. */
  readonly tls: UpstreamContext | undefined;
}

const TLS_TYPE = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
const RAW_TYPE = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer";

/**
 * Reads endpoints and transport socket; everything else of the cluster is checked where clusters are parsed. Problems name
 * what a management server's cluster can't have: no fixed endpoints, or TLS that verifies nobody.
 */
export function grpcTargetOf(cluster: Cluster): Parsed<GrpcTarget> {
  const object = `cluster ${cluster.name}`;
  const problems: Problem[] = [];
  const fail = (path: string, message: string): Parsed<GrpcTarget> => ({
    problems: [...problems, { code: "invalid-value", level: "error", object, path, message }],
  });
  const addresses = addressesOf(cluster);
  const [first, ...others] = addresses;
  if (first === undefined) {
    return fail("load_assignment", "a management server needs at least one endpoint with a socket address or a pipe");
  }
  const target: [SocketAddress, ...SocketAddress[]] = [first, ...others];
  const socket = cluster.transportSocket;
  if (socket?.configType.case !== "typedConfig") return { value: { addresses: target, tls: undefined }, problems };
  const path = "transport_socket.typed_config";
  const opened = unpackAny(socket.configType.value, path);
  problems.push(...opened.problems.map((problem) => ({ ...problem, object })));
  if (opened.value === undefined) return { problems };
  if (opened.value.$typeName === RAW_TYPE) return { value: { addresses: target, tls: undefined }, problems };
  if (opened.value.$typeName !== TLS_TYPE) {
    return fail(path, `${opened.value.$typeName} is not supported for a management server; use TLS or raw_buffer`);
  }
  const tls = parseUpstreamContext(new MessageReader(opened.value as UpstreamTlsContext, path, problems));
  if (tls.validation?.trustedCa === undefined) {
    return fail(path, "the management server would not be verified: add validation_context.trusted_ca");
  }
  if (tls.validationSecret !== undefined || tls.certificates.some(({ kind }) => kind === "secret")) {
    return fail(path, "certificates for the management server's own connection come from files, not from SDS");
  }
  return problems.length > 0 ? { problems } : { value: { addresses: target, tls }, problems };
}

function addressesOf(cluster: Cluster): SocketAddress[] {
  const addresses: SocketAddress[] = [];
  for (const { lbEndpoints } of cluster.loadAssignment?.endpoints ?? []) {
    for (const { hostIdentifier } of lbEndpoints) {
      if (hostIdentifier.case !== "endpoint") continue;
      const address = socketAddressOf(hostIdentifier.value.address);
      if (address !== undefined) addresses.push(address);
    }
  }
  return addresses;
}

function socketAddressOf(message: Address | undefined): SocketAddress | undefined {
  const address = message?.address;
  if (address?.case === "pipe") return { kind: "pipe", path: address.value.path };
  if (address?.case !== "socketAddress" || address.value.portSpecifier.case !== "portValue") return undefined;
  return { kind: "ip", address: address.value.address, port: address.value.portSpecifier.value };
}
