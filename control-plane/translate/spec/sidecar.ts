/** networking.istio.io Sidecar, the fields that translation reads. */
import type { Labels } from "../labels.ts";
import type { ConnectionPool } from "./destination-rule.ts";
import type { Destination } from "./virtual-service.ts";

export type CaptureMode = "DEFAULT" | "IPTABLES" | "NONE";

export interface SidecarPort {
  readonly number?: number;
  readonly protocol?: string;
  readonly name?: string;
}

export interface SidecarEgress {
  readonly port?: SidecarPort;
  readonly bind?: string;
  readonly captureMode?: CaptureMode;
  readonly hosts?: readonly string[];
}

export interface SidecarIngress {
  readonly port?: SidecarPort;
  readonly bind?: string;
  readonly captureMode?: CaptureMode;
  readonly defaultEndpoint?: string;
  readonly connectionPool?: ConnectionPool;
}

export interface SidecarSpec {
  readonly workloadSelector?: { readonly labels?: Labels };
  readonly ingress?: readonly SidecarIngress[];
  readonly egress?: readonly SidecarEgress[];
  readonly outboundTrafficPolicy?: {
    readonly mode?: "REGISTRY_ONLY" | "ALLOW_ANY";
    readonly egressProxy?: Destination;
  };
  readonly inboundConnectionPool?: ConnectionPool;
}
