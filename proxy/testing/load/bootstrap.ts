/** The bootstrap of load tests, for our proxy and for Envoy. */
import { bootstrapOf, http2Options, httpListener, route, staticCluster } from "../bootstraps.ts";

/** Listeners and what each is for. */
export const listenerNames = ["http1", "http2", "hasty", "limited"] as const;
export type ListenerName = (typeof listenerNames)[number];

export interface LoadBootstrapOptions {
  /** Ports of the origin. */
  readonly origin: { readonly http1: number; readonly http2: number };
  /** Absent: any. */
  readonly ports?: Readonly<Record<ListenerName | "admin", number>>;
  /** `request_headers_timeout` and `idle_timeout` of the listener `hasty`. */
  readonly hastyMs: number;
  /** Connections that the listener `limited` takes. */
  readonly limit: number;
}

/** `http1` and `http2` go on in that protocol; streams may last as long as they like. */
export function loadBootstrap({
  origin,
  ports,
  hastyMs,
  limit,
}: LoadBootstrapOptions): Readonly<Record<string, unknown>> {
  const listener = (name: ListenerName, cluster: string, connectionManager = {}): Readonly<Record<string, unknown>> =>
    httpListener(name, {
      address: `127.0.0.1:${ports?.[name] ?? 0}`,
      routes: [route("/", cluster, { timeout: "0s" })],
      connectionManager: { stream_idle_timeout: "0s", ...connectionManager },
    });
  const hasty = `${hastyMs / 1000}s`;
  return bootstrapOf({
    clusters: [
      { ...unlimited, ...staticCluster("http1", `127.0.0.1:${origin.http1}`) },
      {
        ...unlimited,
        ...staticCluster("http2", `127.0.0.1:${origin.http2}`),
        typed_extension_protocol_options: http2Options(),
      },
    ],
    listeners: [
      listener("http1", "http1"),
      listener("http2", "http2"),
      listener("hasty", "http1", {
        request_headers_timeout: hasty,
        common_http_protocol_options: { idle_timeout: `${(2 * hastyMs) / 1000}s` },
      }),
      listener("limited", "http1"),
    ],
    more: {
      admin: { address: { socket_address: { address: "127.0.0.1", port_value: ports?.admin ?? 0 } } },
      layered_runtime: {
        layers: [
          { name: "limits", static_layer: { "envoy.resource_limits.listener.limited.connection_limit": limit } },
        ],
      },
    },
  });
}

const most = 4_294_967_295;
const unlimited = {
  circuit_breakers: { thresholds: [{ max_connections: most, max_pending_requests: most, max_requests: most }] },
};
