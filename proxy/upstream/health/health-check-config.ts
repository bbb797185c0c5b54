/** An active health check as the configuration describes it (§7.6). */
import type { HeaderMutations } from "../../router/types.ts";
import type { StringMatcher } from "../../router/string-matcher.ts";

export interface HealthCheckConfig {
  /** `name`: in statistics, where a cluster has several; "" otherwise. */
  readonly name: string;
  readonly timeoutMs: number;
  readonly intervals: HealthCheckIntervals;
  readonly unhealthyThreshold: number;
  readonly healthyThreshold: number;
  readonly reuseConnection: boolean;
  readonly check: HttpCheckConfig | TcpCheckConfig | GrpcCheckConfig;
  /** `tls_options.alpn_protocols`, in place of those of the transport socket; empty: those. */
  readonly alpn: readonly string[];
  /** In place of the endpoint's labels, where transports are chosen by labels. */
  readonly transportCriteria: Readonly<Record<string, unknown>> | undefined;
  /** Files that get a line for each event. */
  readonly eventLogs: readonly string[];
  readonly logsEveryFailure: boolean;
  readonly logsEverySuccess: boolean;
}

/** ms between checks (L-55). */
export interface HealthCheckIntervals {
  readonly healthyMs: number;
  readonly unhealthyMs: number;
  /** After a success that does not count yet. */
  readonly healthyEdgeMs: number;
  /** After a failure that does not count yet. */
  readonly unhealthyEdgeMs: number;
  /** For as long as the cluster never had a connection. */
  readonly noTrafficMs: number;
  readonly noTrafficHealthyMs: number;
  readonly initialJitterMs: number;
  readonly jitterMs: number;
  readonly jitterPercent: number;
}

export interface HttpCheckConfig {
  readonly kind: "http";
  readonly protocol: "http1" | "http2";
  /** "": the cluster's name. */
  readonly host: string;
  readonly path: string;
  readonly method: string;
  readonly headers: HeaderMutations | undefined;
  readonly send: Buffer | undefined;
  readonly receive: readonly Buffer[];
  /** Of the response's body; Infinity: all of it. */
  readonly maxBodyBytes: number;
  readonly isExpected: (status: number) => boolean;
  readonly isRetriable: (status: number) => boolean;
  readonly serviceName: StringMatcher | undefined;
}

export interface TcpCheckConfig {
  readonly kind: "tcp";
  readonly send: Buffer | undefined;
  readonly receive: readonly Buffer[];
}

export interface GrpcCheckConfig {
  readonly kind: "grpc";
  readonly serviceName: string;
  /** "": the cluster's name. */
  readonly authority: string;
  readonly metadata: HeaderMutations | undefined;
}

/** What one check found. */
export type CheckOutcome =
  | { readonly kind: "success"; readonly isDegraded: boolean }
  | {
      readonly kind: "failure";
      /** `active`: an answer that is not the wanted one. Passive failures are told by traffic (L-58). */
      readonly type: FailureType;
      /** Counts to the threshold, as failures of the network do. */
      readonly isRetriable: boolean;
      /** 0: none. */
      readonly status: number;
    };

export type FailureType = "active" | "network" | "network-timeout" | "passive";

/** Whether each block comes up after the one before it, anywhere (L-59). */
export function matchesPayload(blocks: readonly Buffer[], data: Buffer): boolean {
  let from = 0;
  for (const block of blocks) {
    const at = data.indexOf(block, from);
    if (at < 0) return false;
    from = at + block.length;
  }
  return true;
}
