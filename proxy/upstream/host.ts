/** One endpoint of a cluster, with its counts and what is known of its health. */
import { formatAddress, type Connection, type SocketAddress } from "#lib/connection.ts";
import type { HeaderMap } from "../http/header-map.ts";
import type { UpstreamTransport } from "../tls/types.ts";
import type { HttpConnectionPool } from "./pool/http-pool.ts";
import type { Host, HostOutlierSink, HostStats, Locality, Metadata } from "./types.ts";

/** Why a host is not (fully) healthy: bits, with the words of `/clusters`. */
export const HealthFlag = {
  failedActiveHc: 0x1,
  failedOutlierCheck: 0x2,
  failedEdsHealth: 0x4,
  degradedActiveHc: 0x8,
  degradedEdsHealth: 0x10,
  pendingDynamicRemoval: 0x20,
  pendingActiveHc: 0x40,
  excludedViaImmediateHcFail: 0x80,
  activeHcTimeout: 0x100,
  edsStatusDraining: 0x200,
} as const;

const flagWords: readonly (readonly [number, string])[] = [
  [HealthFlag.failedActiveHc, "/failed_active_hc"],
  [HealthFlag.failedOutlierCheck, "/failed_outlier_check"],
  [HealthFlag.failedEdsHealth, "/failed_eds_health"],
  [HealthFlag.degradedActiveHc, "/degraded_active_hc"],
  [HealthFlag.degradedEdsHealth, "/degraded_eds_health"],
  [HealthFlag.pendingDynamicRemoval, "/pending_dynamic_removal"],
  [HealthFlag.pendingActiveHc, "/pending_active_hc"],
  [HealthFlag.excludedViaImmediateHcFail, "/excluded_via_immediate_hc_fail"],
  [HealthFlag.activeHcTimeout, "/active_hc_timeout"],
  [HealthFlag.edsStatusDraining, "/eds_status_draining"],
];

const failedBits = HealthFlag.failedActiveHc | HealthFlag.failedOutlierCheck | HealthFlag.failedEdsHealth;
const degradedBits = HealthFlag.degradedActiveHc | HealthFlag.degradedEdsHealth;

/** What a discovery says of a host: everything but its address may change while the host lives. */
export interface HostAttributes {
  readonly hostname: string;
  readonly weight: number;
  readonly locality: Locality;
  readonly priority: number;
  readonly metadata: Metadata;
  /** EDS's view of its health. */
  readonly health: EdsHealth;
  /** Absent: checked where it serves. */
  readonly healthCheck?: HostHealthCheck | undefined;
  readonly additionalAddresses?: readonly SocketAddress[] | undefined;
}

/** `Endpoint.health_check_config`. */
export interface HostHealthCheck {
  /** undefined: the host's own. */
  readonly address: SocketAddress | undefined;
  /** "": none. */
  readonly hostname: string;
  readonly isDisabled: boolean;
}

export const defaultHealthCheck: HostHealthCheck = { address: undefined, hostname: "", isDisabled: false };

const noAddresses: readonly SocketAddress[] = [];

export type EdsHealth = "unknown" | "healthy" | "unhealthy" | "draining" | "timeout" | "degraded";

const noOutlier: HostOutlierSink = { putHttpStatus: () => {}, putLocalOrigin: () => {} };

export class UpstreamHost implements Host {
  readonly address: SocketAddress;
  readonly addressText: string;
  hostname: string;
  weight: number;
  locality: Locality;
  priority: number;
  metadata: Metadata;
  healthCheck: HostHealthCheck;
  /** Where else it can be reached. */
  additionalAddresses: readonly SocketAddress[];
  outlier: HostOutlierSink = noOutlier;
  /** Only with active health checks: traffic says that it is not well (`x-envoy-immediate-health-check-fail`). */
  failPassively: (() => void) | undefined = undefined;
  /** Only where the balancer goes by the load that hosts report: headers or trailers of a response. */
  onLoadReport: ((headers: HeaderMap) => void) | undefined = undefined;
  /** Bits of `HealthFlag`. */
  flags = 0;
  edsHealth: EdsHealth;
  /** Monotonic time since which it counts as healthy, for slow start. */
  healthySince: number;
  /** True once it has left the cluster. */
  isRemoved = false;
  /** The transport that its labels choose, for as long as they are these. */
  transport: { readonly metadata: Metadata; readonly value: UpstreamTransport } | undefined = undefined;
  /** HTTP connections to it, by protocol, priority and overrides. */
  readonly pools: HttpConnectionPool[] = [];
  /** TCP connections to it that are open; made with the first. */
  tcpConnections: Set<Connection> | undefined = undefined;
  readonly stats: HostStats = {
    cxActive: 0,
    cxTotal: 0,
    cxConnectFail: 0,
    rqActive: 0,
    rqPendingActive: 0,
    rqError: 0,
    rqSuccess: 0,
    rqTimeout: 0,
    rqTotal: 0,
  };

  constructor(address: SocketAddress, attributes: HostAttributes, now: number) {
    this.address = address;
    this.addressText = formatAddress(address);
    this.hostname = attributes.hostname;
    this.weight = attributes.weight;
    this.locality = attributes.locality;
    this.priority = attributes.priority;
    this.metadata = attributes.metadata;
    this.healthCheck = attributes.healthCheck ?? defaultHealthCheck;
    this.additionalAddresses = attributes.additionalAddresses ?? noAddresses;
    this.edsHealth = attributes.health;
    this.healthySince = now;
    this.flags = edsFlags(attributes.health);
  }

  get canary(): boolean {
    return this.metadata["envoy.lb"]?.["canary"] === true;
  }

  get health(): "healthy" | "degraded" | "unhealthy" {
    if ((this.flags & failedBits) !== 0) return "unhealthy";
    return (this.flags & degradedBits) !== 0 ? "degraded" : "healthy";
  }

  /** Words of its flags as `/clusters` prints them. */
  get healthFlags(): string {
    if (this.flags === 0) return "healthy";
    return flagWords.map(([bit, word]) => ((this.flags & bit) === 0 ? "" : word)).join("");
  }

  /** Takes over what an update says; true when balancing is affected. */
  update(attributes: HostAttributes, now: number): boolean {
    const wasHealthy = this.health === "healthy";
    const flags = (this.flags & ~allEdsFlags) | edsFlags(attributes.health);
    const isChanged =
      flags !== this.flags ||
      this.weight !== attributes.weight ||
      this.priority !== attributes.priority ||
      !isSameLocality(this.locality, attributes.locality) ||
      this.hostname !== attributes.hostname ||
      JSON.stringify(this.metadata) !== JSON.stringify(attributes.metadata);
    this.flags = flags;
    this.edsHealth = attributes.health;
    this.weight = attributes.weight;
    this.priority = attributes.priority;
    this.locality = attributes.locality;
    this.hostname = attributes.hostname;
    this.metadata = attributes.metadata;
    this.healthCheck = attributes.healthCheck ?? defaultHealthCheck;
    this.additionalAddresses = attributes.additionalAddresses ?? noAddresses;
    this.#noteRecovery(wasHealthy, now);
    return isChanged;
  }

  setFlag(flag: number): void {
    this.flags |= flag;
  }

  clearFlag(flag: number, now: number): void {
    const wasHealthy = this.health === "healthy";
    this.flags &= ~flag;
    this.#noteRecovery(wasHealthy, now);
  }

  #noteRecovery(wasHealthy: boolean, now: number): void {
    if (!wasHealthy && this.health === "healthy") this.healthySince = now;
  }
}

const allEdsFlags = HealthFlag.failedEdsHealth | HealthFlag.degradedEdsHealth | HealthFlag.edsStatusDraining;

/** L-01. */
function edsFlags(health: EdsHealth): number {
  switch (health) {
    case "unknown":
    case "healthy":
      return 0;
    case "unhealthy":
    case "timeout":
      return HealthFlag.failedEdsHealth;
    case "draining":
      return HealthFlag.failedEdsHealth | HealthFlag.edsStatusDraining;
    case "degraded":
      return HealthFlag.degradedEdsHealth;
  }
}

export function isSameLocality(a: Locality, b: Locality): boolean {
  return a.region === b.region && a.zone === b.zone && a.subZone === b.subZone;
}

/** Key of a locality in maps. */
export function localityKey({ region, zone, subZone }: Locality): string {
  return `${region}/${zone}/${subZone}`;
}
