/** The doing of one kind of health check for one host: what the checker starts and gives up. */
import type { Connection, ConnectionHandler, SocketAddress } from "#lib/connection.ts";
import type { ClientCodec, ClientCodecHandler } from "../../http/codec.ts";
import { StreamInfo } from "../../stream-info.ts";
import type { UpstreamHost } from "../host.ts";
import type { CheckOutcome } from "./health-check-config.ts";

export interface CheckSession {
  /** Begins a check; its outcome comes once, unless it is aborted. */
  check(): void;
  /** Gives up the check that is under way, and its connection: it took too long. */
  abort(): void;
  close(): void;
}

/** What sessions work with. */
export interface CheckEnvironment {
  /** The host's name for checks; "" where there is none. */
  readonly hostname: string;
  readonly clusterName: string;
  readonly host: UpstreamHost;
  readonly isSecure: boolean;
  readonly address: SocketAddress;
  /** False where a cluster has several checks: as in Envoy, none of them excludes a host. */
  readonly mayExclude: boolean;
  connect(handler: ConnectionHandler): Connection;
  createCodec(protocol: "http1" | "http2", connection: Connection, handler: ClientCodecHandler): ClientCodec;
  onOutcome(outcome: CheckOutcome): void;
  /** `health_check.verify_cluster`. */
  countVerifyCluster(): void;
}

export const networkFailure: CheckOutcome = { kind: "failure", type: "network", isRetriable: false, status: 0 };

/** What command operators in headers of a check may ask about. */
export function healthCheckInfo(host: UpstreamHost): StreamInfo {
  const info = new StreamInfo();
  info.upstreamHost = host;
  return info;
}
