/** What a transport is told of the host that it connects to. */
import type { UpstreamTarget, UpstreamTransport } from "../../tls/types.ts";
import type { Connection, ConnectionHandler } from "#lib/connection.ts";
import { addressOrder, connectToFirst } from "./happy-eyeballs.ts";
import { sourceAddress } from "../config/parse-bind.ts";
import type { UpstreamHost } from "../host.ts";
import type { PoolOptions } from "../types.ts";
import type { PoolEnvironment } from "./pool-environment.ts";

/** Connects to a host; where it has several addresses, to the first of them that answers. */
export function connectHost(
  transport: UpstreamTransport,
  host: UpstreamHost,
  options: PoolOptions,
  handler: ConnectionHandler,
  environment: PoolEnvironment,
): Connection {
  const target = targetOf(host, options, environment);
  const { additionalAddresses } = host;
  if (additionalAddresses.length === 0) return transport.connect(target, handler);
  const targets = addressOrder([host.address, ...additionalAddresses], environment.happyEyeballs).map((address) => ({
    ...target,
    address,
    localAddress: sourceAddress(environment.bind, address),
  }));
  return connectToFirst(transport, targets, handler, environment.clock);
}

function targetOf(host: UpstreamHost, options: PoolOptions, environment: PoolEnvironment): UpstreamTarget {
  return {
    address: host.address,
    localAddress: sourceAddress(environment.bind, host.address),
    bufferBytes: environment.bufferBytes,
    keepAlive: environment.keepAlive,
    hostname: host.hostname,
    alpnOverride: options.alpnOverride,
    serverNameOverride: options.serverNameOverride,
    subjectAltNamesOverride: options.subjectAltNamesOverride,
    downstream: options.downstream,
    hostMetadata: host.metadata,
    clusterMetadata: environment.metadata,
  };
}
