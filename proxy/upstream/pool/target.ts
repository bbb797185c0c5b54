/** What a transport is told of the host that it connects to. */
import type { UpstreamTarget } from "../../tls/types.ts";
import { sourceAddress } from "../config/parse-bind.ts";
import type { UpstreamHost } from "../host.ts";
import type { PoolOptions } from "../types.ts";
import type { PoolEnvironment } from "./pool-environment.ts";

export function targetOf(host: UpstreamHost, options: PoolOptions, environment: PoolEnvironment): UpstreamTarget {
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
