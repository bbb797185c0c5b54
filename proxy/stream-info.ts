/**
 * What is known of a stream (or of a TCP connection): the one record that filters, access logs, statistics and tracing
 * read and write. A plain mutable object owned by the connection manager; nothing in it is computed unless asked.
 */
import type { Connection, SocketAddress } from "#lib/connection.ts";
import type { Protocol } from "./http/codec.ts";
import type { Host, Cluster } from "./upstream/types.ts";

/** Response flags, as bits in the order in which Envoy prints them (§4.1 of its documentation). */
export const ResponseFlag = {
  FailedLocalHealthCheck: 0x1,
  NoHealthyUpstream: 0x2,
  UpstreamRequestTimeout: 0x4,
  LocalReset: 0x8,
  UpstreamRemoteReset: 0x10,
  UpstreamConnectionFailure: 0x20,
  UpstreamConnectionTermination: 0x40,
  UpstreamOverflow: 0x80,
  NoRouteFound: 0x100,
  DelayInjected: 0x200,
  FaultInjected: 0x400,
  RateLimited: 0x800,
  UnauthorizedExternalService: 0x1000,
  RateLimitServiceError: 0x2000,
  DownstreamConnectionTermination: 0x4000,
  UpstreamRetryLimitExceeded: 0x8000,
  StreamIdleTimeout: 0x10000,
  InvalidEnvoyRequestHeaders: 0x20000,
  DownstreamProtocolError: 0x40000,
  UpstreamMaxStreamDurationReached: 0x80000,
  ResponseFromCacheFilter: 0x100000,
  NoFilterConfigFound: 0x200000,
  DurationTimeout: 0x400000,
  UpstreamProtocolError: 0x800000,
  NoClusterFound: 0x1000000,
  OverloadManager: 0x2000000,
  DnsResolutionFailed: 0x4000000,
  DropOverLoad: 0x8000000,
  DownstreamRemoteReset: 0x10000000,
  UnconditionalDropOverload: 0x20000000,
} as const;

export type ResponseFlagName = keyof typeof ResponseFlag;

export class StreamInfo {
  /** Wall clock at the first byte of the request, ms. */
  startTimeMs = 0;
  /** Monotonic clock, ms; 0 is "not yet". All below are on this clock. */
  start = 0;
  requestEnd = 0;
  upstreamFirstTx = 0;
  upstreamLastTx = 0;
  upstreamFirstRx = 0;
  upstreamLastRx = 0;
  responseFirstTx = 0;
  end = 0;

  protocol: Protocol | undefined = undefined;
  upstreamProtocol: Protocol | undefined = undefined;
  /** 0: no response. */
  responseCode = 0;
  responseCodeDetails = "";
  connectionTerminationDetails = "";
  /** Bits of `ResponseFlag`. */
  flags = 0;
  bytesReceived = 0;
  bytesSent = 0;
  requestHeaderBytes = 0;
  responseHeaderBytes = 0;

  routeName = "";
  virtualHostName = "";
  virtualClusterName = "";
  filterChainName = "";
  /** The cluster that the route chose; undefined when it is not known. */
  cluster: Cluster | undefined = undefined;
  upstreamHost: Host | undefined = undefined;
  /** The upstream connection of the last attempt: addresses, TLS. */
  upstreamConnection: Connection | undefined = undefined;
  upstreamTransportFailureReason = "";
  /** Why the TLS handshake with the client failed; for access logs of the listener. */
  downstreamTransportFailureReason = "";
  /** 0: never tried. */
  attemptCount = 0;
  /** Downstream connection; undefined only in tests. */
  connection: Connection | undefined = undefined;
  /** `ip:port` of the client, after XFF and PROXY protocol. Empty: the connection's own. */
  downstreamRemoteAddress = "";
  /** The restored original destination; undefined: the connection's own local address. */
  downstreamLocalAddress: SocketAddress | undefined = undefined;
  requestedServerName = "";
  isHealthCheck = false;
  isTraced = false;
  traceId = "";
  /** Namespace → key → JSON value. Created on first write. */
  dynamicMetadata: Map<string, Record<string, unknown>> | undefined = undefined;
  filterState: Map<string, unknown> | undefined = undefined;

  setFlag(flag: number): void {
    this.flags |= flag;
  }
  hasFlag(flag: number): boolean {
    return (this.flags & flag) !== 0;
  }
}
