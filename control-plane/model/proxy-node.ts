/** A proxy that connected, read from its xDS node (§4.6). */
export interface ProxyNode {
  /** `sidecar~10.1.2.10~frontend-1.default~default.svc.cluster.local` */
  readonly id: string;
  readonly type: "sidecar" | "router" | "waypoint";
  readonly ipAddresses: readonly string[];
  readonly name: string;
  readonly namespace: string;
  readonly dnsDomain: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
  readonly clusterId: string;
  readonly network: string;
  readonly locality: { readonly region: string; readonly zone: string; readonly subZone: string };
  readonly interceptionMode: "REDIRECT" | "TPROXY" | "NONE";
  readonly metadata: Readonly<Record<string, unknown>>;
  /** Extension names that the proxy says it has (`node.extensions`); undefined: not said. */
  readonly extensions?: ReadonlySet<string> | undefined;
  /** Present where `glassmesh up` runs the workload on one machine without interception. */
  readonly placement?: Placement | undefined;
}

/**
 * Where a workload of `glassmesh up` lives on this machine. Carried as JSON in the Pod annotation
 * `glassmesh.dev/placement`, so that a change of it is a change of configuration like any other.
 * With it the sidecar gets, instead of the listeners of interception, one listener per inbound port and one per
 * outbound service port, all on loopback.
 */
export interface Placement {
  /** Container port → where the sidecar listens for it, and where the application does. */
  readonly inbound: readonly PlacedInbound[];
  /** Service host and port → where the sidecar of this workload listens for it. */
  readonly outbound: readonly PlacedOutbound[];
  /** Where the sidecar serves as HTTP proxy for the application (`http_proxy`). */
  readonly httpProxy: PlacedAddress;
  /**
   * File to which the `http_proxy` listener and the outbound ones write a JSON line a request, beside the mesh's own
   * access log: `{id, code, flags, details, host, cluster, authority, duration}`. `glassmesh call` reads it.
   */
  readonly callLog?: string | undefined;
}

export interface PlacedAddress {
  readonly address: string;
  readonly port: number;
}
export interface PlacedInbound {
  /** The container port, as the manifests call it: cluster `inbound|<port>||`, port-level mTLS. */
  readonly port: number;
  readonly bind: PlacedAddress;
  readonly app: PlacedAddress;
}
export interface PlacedOutbound {
  /** Fully qualified. */
  readonly host: string;
  readonly port: number;
  readonly bind: PlacedAddress;
}
