/**
 * What is known of a stream (or of a TCP connection): the one record that filters, access logs, statistics and tracing
 * read and write. A plain mutable object owned by the connection manager; nothing in it is computed unless asked.
 */
import type { Connection } from "#lib/connection.ts";
import type { Protocol } from "./http/codec.ts";
import type { Host, Cluster } from "./upstream/types.ts";

/** Response flags, as bits in the order in which Envoy prints them (§4.1 of its documentation). */
export const ResponseFlag = {
  FailedLocalHealthCheck: 1 << 0,
  NoHealthyUpstream: 1 << 1,
  UpstreamRequestTimeout: 1 << 2,
  LocalReset: 1 << 3,
  UpstreamRemoteReset: 1 << 4,
  UpstreamConnectionFailure: 1 << 5,
  UpstreamConnectionTermination: 1 << 6,
  UpstreamOverflow: 1 << 7,
  NoRouteFound: 1 << 8,
  DelayInjected: 1 << 9,
  FaultInjected: 1 << 10,
  RateLimited: 1 << 11,
  UnauthorizedExternalService: 1 << 12,
  RateLimitServiceError: 1 << 13,
  DownstreamConnectionTermination: 1 << 14,
  UpstreamRetryLimitExceeded: 1 << 15,
  StreamIdleTimeout: 1 << 16,
  InvalidEnvoyRequestHeaders: 1 << 17,
  DownstreamProtocolError: 1 << 18,
  UpstreamMaxStreamDurationReached: 1 << 19,
  ResponseFromCacheFilter: 1 << 20,
  NoFilterConfigFound: 1 << 21,
  DurationTimeout: 1 << 22,
  UpstreamProtocolError: 1 << 23,
  NoClusterFound: 1 << 24,
  OverloadManager: 1 << 25,
  DnsResolutionFailed: 1 << 26,
  DropOverLoad: 1 << 27,
  DownstreamRemoteReset: 1 << 28,
  UnconditionalDropOverload: 1 << 29,
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
  filterChainName = "";
  /** The cluster that the route chose; undefined when it is not known. */
  cluster: Cluster | undefined = undefined;
  upstreamHost: Host | undefined = undefined;
  /** The upstream connection of the last attempt: addresses, TLS. */
  upstreamConnection: Connection | undefined = undefined;
  upstreamTransportFailureReason = "";
  /** 0: never tried. */
  attemptCount = 0;
  /** Downstream connection; undefined only in tests. */
  connection: Connection | undefined = undefined;
  /** `ip:port` of the client, after XFF and PROXY protocol. Empty: the connection's own. */
  downstreamRemoteAddress = "";
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
